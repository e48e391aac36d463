package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offsite/configs"
	"offsite/providers/dir"
)

// TestMain lets the test's program look as somebody else, as offsite does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == LookCommand {
		if err := Look(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A shared directory belongs to root, and each host's part of it to its agent.
func TestOnlyTheHostsPartOfATargetIsItsOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("to look as another user takes root: run the tests as root")
	}
	nas, err := os.MkdirTemp("/dev/shm", "offsite-doctor-*") // other users get there
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(nas) })
	must(t, os.Chmod(nas, 0o755))
	p := &Patient{User: "nobody", Path: "/etc/passwd", Config: &configs.Config{Host: "db-server", State: "/dev/shm", SigningKey: "/etc/passwd", Targets: []configs.Target{{Name: "nas", Dir: &dir.Config{Path: nas}}}}}
	as, own := p.agentUser(unit{}), filepath.Join(nas, "db-server")
	told := func() string {
		t.Helper()
		r := p.reached(t.Context(), as)
		if r.err != nil {
			t.Fatal(r.err)
		}
		var found []string
		for _, c := range p.directories(as, r).Checks {
			if c.Name == "writable" {
				found = append(found, fmt.Sprint(c.Text, " -> ", c.Remedy))
			}
		}
		return strings.Join(found, "\n")
	}
	if text := told(); !strings.HasPrefix(text, "nobody cannot write to the target's directory "+nas+" (") || !strings.Contains(text, "mkdir -m 700 "+own+" && chown nobody "+own) {
		t.Errorf("without its part: %s", text)
	}
	must(t, os.Mkdir(own, 0o700))
	if text := told(); !strings.Contains(text, "-> chown -R nobody "+own) {
		t.Errorf("with another's part: %s", text)
	}
	must(t, os.Chown(own, as.uid, as.gid))
	if text := told(); text != "" {
		t.Errorf("with its own part: %s", text)
	}
}
