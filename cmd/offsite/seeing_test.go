package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel tells where a directory is that is bound somewhere, also when it has been moved.
func TestBindsFollowWhatIsMoved(t *testing.T) {
	if os.Getenv("OFFSITE_TEST_BINDS") == "" { // once more, where mounts are nobody else's
		cmd := exec.Command("unshare", "--mount", os.Args[0], "-test.run", "^TestBindsFollowWhatIsMoved$", "-test.v")
		cmd.Env = append(os.Environ(), "OFFSITE_TEST_BINDS=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	dir := t.TempDir()
	dumps, seen := filepath.Join(dir, "dumps"), filepath.Join(dir, "what is\tseen")
	must(t, os.Mkdir(dumps, 0o700))
	must(t, os.Mkdir(seen, 0o700))
	if out, err := exec.Command("mount", "--bind", dumps, seen).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer exec.Command("umount", seen).Run()
	was, err := binds()
	must(t, err)
	again, err := binds()
	must(t, err)
	if !strings.HasSuffix(was[seen], "/dumps") || again[seen] != was[seen] {
		t.Errorf("%q, and then %q, is mounted at %s", was[seen], again[seen], seen)
	}
	must(t, os.Rename(dumps, dumps+".old"))
	must(t, os.Mkdir(dumps, 0o700))
	is, err := binds()
	must(t, err)
	if !strings.HasSuffix(is[seen], "/dumps.old") {
		t.Errorf("moved, %q is mounted there", is[seen])
	}
}

// Whoever gives the service another root than our units do, such as the host's, sees the host's directories without binds.
func TestOnlyOurSandboxHasStandIns(t *testing.T) {
	if seen, err := bound("/srv"); err != nil || !seen {
		t.Errorf("outside of the units' root: %v, %v", seen, err)
	}
}
