package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"offsite/test/servers"
)

// terminal is a person at one, before whom the program runs.
type terminal struct {
	t       *testing.T
	pty     *os.File
	cmd     *exec.Cmd
	answers int

	mu   sync.Mutex
	more *sync.Cond
	said string
	end  bool
	seen int // what was said up to here has been read
}

// sit starts the program at a terminal of its own.
func sit(t *testing.T, home string, args ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, cmd: exec.Command("/proc/self/exe", args...)}
	x.more = sync.NewCond(&x.mu)
	x.cmd.Args[0] = "offsite"
	x.cmd.Env = append(os.Environ(), "HOME="+home, "SSH_AUTH_SOCK=", "TERM=xterm")
	file, err := pty.StartWithSize(x.cmd, &pty.Winsize{Rows: 40, Cols: 160})
	must(t, err)
	x.pty = file
	t.Cleanup(func() { file.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := file.Read(b)
			x.mu.Lock()
			x.said += strings.ReplaceAll(string(b[:n]), "\r\n", "\n")
			x.end = err != nil
			x.more.Broadcast()
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

// read waits for a text that has not been read yet.
func (x *terminal) read(text string) {
	x.t.Helper()
	late := time.AfterFunc(time.Minute, func() {
		x.mu.Lock()
		x.end = true
		x.more.Broadcast()
		x.mu.Unlock()
	})
	defer late.Stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		if i := strings.Index(x.said[x.seen:], text); i >= 0 {
			x.seen += i + len(text)
			return
		}
		if x.end {
			x.t.Fatalf("%q does not come:\n%s", text, x.said)
		}
		x.more.Wait()
	}
}

// answer types a line when the question is there.
func (x *terminal) answer(question, text string) {
	x.t.Helper()
	x.read(question)
	x.answers++
	if _, err := fmt.Fprintln(x.pty, text); err != nil {
		x.t.Fatal(err)
	}
}

// wait is how the program ended, and all that it said.
func (x *terminal) wait() (code int, said string) {
	x.t.Helper()
	x.cmd.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.end {
		x.more.Wait()
	}
	return x.cmd.ProcessState.ExitCode(), x.said
}

// home is a newcomer's: a directory with dumps, and a key for an account on an SSH server.
func home(t *testing.T, s *servers.OpenSSH) (home, dumps string) {
	t.Helper()
	home = t.TempDir()
	dumps = filepath.Join(home, "dumps")
	must(t, os.MkdirAll(dumps, 0o755))
	must(t, os.MkdirAll(filepath.Join(home, ".ssh"), 0o700))
	key, err := os.ReadFile(s.KeyFile)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), key, 0o600))
	for day := 1; day <= 9; day++ {
		for _, series := range []string{"shop", "wiki"} {
			dump := filepath.Join(dumps, fmt.Sprintf("%s_2026110%d_030001.sql", series, day))
			must(t, os.WriteFile(dump, []byte(strings.Repeat("-- a line\n", 1000*day)), 0o644))
		}
	}
	return home, dumps
}

// A newcomer with a directory of dumps and an OpenSSH account is shipping in under two minutes and fewer than ten answers, one of
// which is a typo and another a wrong port.
func TestANewcomerIsShippingInFewerThanTenAnswers(t *testing.T) {
	t.Parallel()
	s := servers.StartOpenSSH(t)
	home, dumps := home(t, s)
	config, state := filepath.Join(home, "etc", "offsite.yaml"), filepath.Join(home, "state")
	began := time.Now()
	x := sit(t, home, "--config", config, "init", "--state", state)
	x.answer("Directory with the database dumps: ", dumps+"x")
	x.read("is not there; is it spelt right?")
	x.answer("Directory with the database dumps: ", "~/dumps")
	x.read("Found 2 series:")
	x.answer("Where should the backups go (1-4, or a place): ", "1")
	x.answer("Server, as user@host or user@host:port: ", fmt.Sprintf("%s@%s:%d", s.User, s.Host, s.Port))
	x.answer("Directory there, below the one that the login leads to [offsite]: ", "")
	x.read("shows the host key SHA256:")
	x.answer("Is it the same (yes/no): ", "yes")
	x.answer("/.ssh/id_ed25519]: ", "")
	x.read("target ssh works: wrote, read and deleted a probe")
	x.answer("Another place (empty: no more)", "")
	code, said := x.wait()
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	once := sit(t, home, "--config", config, "agent", "--once")
	if code, said := once.wait(); code != 0 || !strings.Contains(said, " delivered") {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	if took := time.Since(began); took > 2*time.Minute || x.answers >= 10 {
		t.Errorf("%v and %d answers", took, x.answers)
	} else {
		t.Logf("shipping after %v and %d answers", took.Round(time.Millisecond), x.answers)
	}
	for _, series := range []string{"shop", "wiki"} {
		there, err := filepath.Glob(filepath.Join(s.Data, "offsite", "*", series, "*.manifest"))
		if err != nil || len(there) == 0 {
			t.Errorf("no backup of %s lies there: %v", series, err)
		}
	}
	for _, want := range []string{"shop", "every day", "in a year there will be:", "ssh: about ", "IMPORTANT: it holds the only key", "offsite doctor"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q was not said:\n%s", want, said)
		}
	}
}

// A password does not show, and lies in a file of its own.
func TestAPasswordDoesNotShow(t *testing.T) {
	t.Parallel()
	s := servers.StartOpenSSH(t)
	home, dumps := home(t, s)
	must(t, os.RemoveAll(filepath.Join(home, ".ssh")))
	config := filepath.Join(home, "etc", "offsite.yaml")
	x := sit(t, home, "--config", config, "init", "--state", filepath.Join(home, "state"), "--watch", dumps)
	x.answer("Where should the backups go (1-4, or a place): ", fmt.Sprintf("shore=sftp://%s@%s:%d/backups", s.User, s.Host, s.Port))
	x.answer("Is it the same (yes/no): ", "yes")
	x.answer("empty: the key agent): ", "password")
	x.answer("(does not show): ", "wrong")
	x.read("unable to authenticate")
	x.answer("What now [1]: ", "1")
	x.answer("[1]: ", fmt.Sprintf("sftp://%s@%s:%d/backups", s.User, s.Host, s.Port))
	x.answer("Is it the same (yes/no): ", "yes")
	x.answer("empty: the key agent): ", "password")
	x.answer("(does not show): ", s.Password)
	x.read("target shore works")
	x.answer("Another place", "")
	code, said := x.wait()
	if code != 0 || strings.Contains(said, s.Password) {
		t.Errorf("exit code %d\n%s", code, said)
	}
	if b, err := os.ReadFile(filepath.Join(home, "etc", "shore-password")); err != nil || string(b) != s.Password+"\n" {
		t.Errorf("%q, %v", b, err)
	}
	if b, _ := os.ReadFile(config); strings.Contains(string(b), s.Password) {
		t.Errorf("the password is in the configuration")
	}
}

// Whoever presses Ctrl-C half way finds everything as it was.
func TestAnInterruptedInitLeavesNothing(t *testing.T) {
	t.Parallel()
	s := servers.StartOpenSSH(t)
	home, dumps := home(t, s)
	config := filepath.Join(home, "etc", "offsite.yaml")
	nas := filepath.Join(home, "mnt", "nas")
	x := sit(t, home, "--config", config, "init", "--state", filepath.Join(home, "state"), "--watch", dumps)
	x.answer("Where should the backups go (1-4, or a place): ", nas)
	x.read("target disk works")
	x.answer("Another place", "3")
	x.answer("Address of the store", "http://127.0.0.1:1")
	x.answer("Bucket", "b")
	x.answer("Access key", "AKIA")
	x.read("(does not show): ")
	before, err := os.ReadDir(home)
	must(t, err)
	x.pty.Write([]byte{3}) // Ctrl-C
	code, said := x.wait()
	if code != exitInterrupted || !strings.Contains(said, "interrupted: nothing was written") {
		t.Errorf("exit code %d, signal %v\n%s", code, x.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), said)
	}
	for _, path := range []string{filepath.Join(home, "etc"), filepath.Join(home, "mnt"), filepath.Join(home, "state")} {
		if exists(path) {
			t.Errorf("%s is left; before: %v", path, before)
		}
	}
}
