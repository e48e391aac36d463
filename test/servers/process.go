package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", p.cmd.Path, said[max(0, len(said)-2000):])
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
	for deadline := time.Now().Add(time.Minute); !p.up(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(p.log.Name())
			p.t.Fatalf("%s did not start:\n%s", p.cmd.Path, said)
		}
	}
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
