package drill

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// group makes a program end with all that it has started: when its context does, when it ends itself (wait), and, itself alone, when
// this process is killed.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killed
}

// start starts a program that group was called for. The kernel sends Pdeathsig when the thread that started it ends, so that one is
// kept until released is called; wait does not have to be called by the same goroutine.
func start(cmd *exec.Cmd) (released func(), err error) {
	started, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-over
	}()
	err = <-started
	if err != nil {
		close(over)
		return func() {}, err
	}
	return func() { close(over) }, nil
}

// wait waits for a program, and kills what it has left running, which would hold its output open, before it is forgotten: until then
// no other group can have its number.
func wait(cmd *exec.Cmd) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR { //nolint:errorlint // a system call's own
			break
		}
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return cmd.Wait()
}

// run starts a program and waits for it.
func run(cmd *exec.Cmd) error {
	released, err := start(cmd)
	if err != nil {
		return err
	}
	defer released()
	return wait(cmd)
}
