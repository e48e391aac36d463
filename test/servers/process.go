package servers

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Process is a server's, which a test may kill and start again.
type Process struct {
	t       testing.TB
	command func() *exec.Cmd
	up      func() bool
	cmd     *exec.Cmd
	done    chan struct{} // is closed when it has ended
	log     *os.File
}

// run runs a server until the test ends, and waits until it is up.
func run(t testing.TB, command func() *exec.Cmd, up func() bool) *Process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, command: command, up: up, log: log}
	t.Cleanup(func() {
		p.Kill()
		log.Close()
		if t.Failed() {
			t.Logf("%s:\n%s", p.cmd.Path, p.said())
		}
	})
	p.Start()
	return p
}

// Start starts the server, with what it had stored when it was killed, and waits until it is up.
func (p *Process) Start() {
	p.t.Helper()
	p.cmd = p.command()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	p.done = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // it dies with the thread that starts it, and others may end before the test does
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); !p.up(); {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended at once:\n%s", p.cmd.Path, p.said())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s did not start:\n%s", p.cmd.Path, p.said())
		}
	}
}

// said is the end of what the server has written.
func (p *Process) said() []byte {
	all, _ := os.ReadFile(p.log.Name())
	return all[max(0, len(all)-4000):]
}

// Kill kills the server at once, as a power cut would.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the server by a signal to end, and waits until it has.
func (p *Process) Stop(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}

// unprivileged is how to run a server that refuses to be root: as the user of that name, to whom dir is given, if the test is
// root. It dies with the thread that starts it.
func unprivileged(t testing.TB, name, dir string) *syscall.SysProcAttr {
	t.Helper()
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return as
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return as
}

// ask runs a client program, with input if it is not nil, and gives what it prints.
func ask(t testing.TB, cmd *exec.Cmd, input []byte) string {
	t.Helper()
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v: %s", cmd.Args, err, errs.String())
	}
	return out.String()
}
