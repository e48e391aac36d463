package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A process with keys in its memory makes no core dump, and others of its user neither trace it nor read its environment. The kernel
// shows that by giving its files in /proc to root (proc(5), "Dumpable").
func TestMemoryIsConcealed(t *testing.T) {
	for _, c := range []struct {
		program   string
		args      []string
		concealed bool
	}{
		{"/proc/self/exe", []string{"offsite", "init", "--host", "h"}, true}, // it waits for answers
		{"/bin/sleep", []string{"sleep", "60"}, false},                       // that the test sees what it looks for
	} {
		stdin, answers, err := os.Pipe()
		must(t, err)
		cmd := exec.Command(c.program)
		cmd.Args, cmd.Stdin, cmd.Dir = c.args, stdin, "/"
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		must(t, cmd.Start())
		root := func() bool {
			info, err := os.Stat("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
			must(t, err)
			return info.Sys().(*syscall.Stat_t).Uid == 0
		}
		for end := time.Now().Add(20 * time.Second); root() != c.concealed && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		}
		if got := root(); got != c.concealed {
			t.Errorf("%s: concealed is %v", c.args[0], got)
		}
		must(t, cmd.Process.Kill())
		cmd.Wait()
		stdin.Close()
		answers.Close()
	}
}

// A socket is its owner's from the first instant, whatever the umask is.
func TestASocketIsItsOwnersFromTheFirstInstant(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := listenUnix(t.Context(), path)
	must(t, err)
	defer l.Close()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	if now := syscall.Umask(0); now != 0 {
		t.Errorf("the umask is %04o afterwards", now)
	}
}
