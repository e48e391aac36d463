package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Who may not read what the service has is told so, and not that the set-up is broken.
func TestSomebodyElseIsToldToUseSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root: they become somebody else")
	}
	dir, err := os.MkdirTemp("", "offsite-unprivileged-*") // others must get as far as to it
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "dumps"), 0o755))
	config := filepath.Join(dir, "etc", "offsite.yaml")
	offsite := func(uid uint32, args ...string) (code int, said string) {
		cmd := exec.Command("/proc/self/exe", append([]string{"--config", config}, args...)...)
		cmd.Args[0], cmd.Dir = "offsite", "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, said := offsite(0, "init", "--yes", "--state", filepath.Join(dir, "state"), "--watch", filepath.Join(dir, "dumps"), "--target", "nas="+filepath.Join(dir, "nas")); code != 0 {
		t.Fatal(said)
	}
	for _, args := range []string{"list", "doctor", "restore x"} {
		code, said := offsite(65534, strings.Fields(args)...)
		if code != 2 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "signing.key: permission denied; what the service has is root's: try it with sudo") {
			t.Errorf("%s: exit code %d\n%s", args, code, said)
		}
	}
	must(t, os.Chmod(config, 0o600))
	if code, said := offsite(65534, "status"); code != 2 || !strings.Contains(said, "offsite.yaml: permission denied; what the service has is root's: try it with sudo") {
		t.Errorf("status: exit code %d\n%s", code, said)
	}
}
