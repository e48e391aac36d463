package systemd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// laid lays the files as they are installed, with a program in the place of the real one.
func laid(t *testing.T) (dir string, units []string) {
	t.Helper()
	dir = t.TempDir()
	program := filepath.Join(dir, "offsite")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := fs.WalkDir(Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := Files.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.Base(path))
		if filepath.Dir(path) == "." {
			units = append(units, to)
		}
		return os.WriteFile(to, []byte(strings.ReplaceAll(string(text), Program, program)), 0o644)
	})
	if err != nil || len(units) < 8 {
		t.Fatalf("%d units: %v", len(units), err)
	}
	return dir, units
}

// systemd's own check has nothing to say of the units: a key that it does not know, say, it would pass over with a warning.
func TestVerifyIsSilent(t *testing.T) {
	_, units := laid(t)
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// Verify finds what is wrong with a unit, so that its silence means something.
func TestVerifyIsNotSilentAboutAMistake(t *testing.T) {
	dir, units := laid(t)
	service := filepath.Join(dir, "offsite.service")
	text, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(service, append(text, "\n[Service]\nProtectEverything=yes\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput(); len(out) == 0 {
		t.Error("a key that does not exist was not noticed")
	}
}

// mostExposed is what `systemd-analyze security` may give a service of ours, of 10.
const mostExposed = 1.5

func TestTheSandboxIsTight(t *testing.T) {
	dir, _ := laid(t)
	for _, name := range []string{"offsite.service", "offsite-drill.service", "offsite-alarm@.service"} {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if found == nil {
			t.Fatalf("%s: no exposure in %s", name, out)
		}
		if exposure, err := strconv.ParseFloat(string(found[1]), 64); err != nil || exposure > mostExposed {
			t.Errorf("%s: the exposure is %s, and may be %v:\n%s", name, found[1], mostExposed, out)
		}
	}
}

// The key that opens backups is given to drills, and to nothing else.
func TestTheAgentHasNoIdentity(t *testing.T) {
	err := fs.WalkDir(Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := Files.ReadFile(path)
		if has := strings.Contains(string(text), "\nLoadCredential="); has != (path == "offsite-drill.service") {
			t.Errorf("%s: has a credential: %v", path, has)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whether the agent is started again after a change of /etc/hosts: not if it sees the file that the host has, and never is looking given up.
func TestNameServersAreLookedAtForEver(t *testing.T) {
	path, err1 := Files.ReadFile("offsite-resolv.path")
	service, err2 := Files.ReadFile("offsite-resolv.service")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(path), "\nTriggerLimitIntervalSec=0\n") || !strings.Contains(string(service), "\nStartLimitIntervalSec=0\n") {
		t.Errorf("after some changes in a row none is seen any more:\n%s\n%s", path, service)
	}
	script := regexp.MustCompile(`\nExecCondition=/bin/sh -c '(.*)'\n`).FindSubmatch(service)
	if script == nil {
		t.Fatalf("nothing says whether it is to be started:\n%s", service)
	}
	fake := t.TempDir()
	t.Setenv("PATH", fake+":"+os.Getenv("PATH"))
	// One that runs with another /etc/hosts than the host has.
	other := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "mount --bind /etc/passwd /etc/hosts && echo bound && exec cat")
	in, err1 := other.StdinPipe()
	out, err2 := other.StdoutPipe()
	if err := errors.Join(err1, err2, other.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); other.Wait() }()
	if _, err := io.ReadFull(out, make([]byte, len("bound\n"))); err != nil {
		t.Fatalf("nothing can be bound (the tests run as root): %v", err)
	}
	for pid, started := range map[int]bool{os.Getpid(): false, 0: false, other.Process.Pid: true} { // 0: no agent runs
		if err := os.WriteFile(filepath.Join(fake, "systemctl"), fmt.Appendf(nil, "#!/bin/sh\necho %d\n", pid), 0o755); err != nil {
			t.Fatal(err)
		}
		err := exec.Command("/bin/sh", "-c", strings.ReplaceAll(string(script[1]), "$$", "$")).Run()
		if exit := (*exec.ExitError)(nil); (err == nil) != started || err != nil && !errors.As(err, &exit) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// sysusers.d and tmpfiles.d are read by the programs that will.
func TestUserAndDirectories(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	for _, of := range []string{"sysusers.d", "tmpfiles.d"} {
		text, err := Files.ReadFile(of + "/offsite.conf")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, of), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"systemd-sysusers", "--root=" + root, filepath.Join(dir, "sysusers.d")}, {"systemd-tmpfiles", "--create", "--root=" + root, filepath.Join(dir, "tmpfiles.d")}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	if users, err := os.ReadFile(filepath.Join(root, "etc/passwd")); err != nil || !strings.Contains(string(users), "offsite:x:") {
		t.Errorf("no user offsite: %v\n%s", err, users)
	}
	for path, mode := range map[string]fs.FileMode{"run/offsite": 0o750, "run/offsite-root": 0o755, "etc/offsite/credentials": 0o700} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, mode)
		}
	}
}
