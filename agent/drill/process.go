package drill

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
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
// no other group can have its number. What has left the group is found by the mark of the state directory; empty: it is not.
func wait(cmd *exec.Cmd, state string) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	killMarked(state)
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and something that is not known here holds its output open
	}
	return err
}

// run starts a program and waits for it.
func run(cmd *exec.Cmd, state string) error {
	released, err := start(cmd)
	if err != nil {
		return err
	}
	defer released()
	return wait(cmd, state)
}

// markOf is in the environment of all that a drill starts, and says to which state directory it belongs: so what it has left running is found
// after kill -9, too, and if it is in a group of its own. Empty: there is no state directory, and no mark.
func markOf(state string) []string {
	if state == "" {
		return nil
	}
	if path, err := filepath.Abs(state); err == nil {
		state = path
	}
	return []string{"OFFSITE_DRILL=" + state}
}

// killMarked kills what has the mark of the state directory, but for this process. No other drill must be under way.
func killMarked(state string) (killed int) {
	mark := markOf(state)
	if mark == nil {
		return 0
	}
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return 0
	}
	for _, path := range all {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := os.FindProcess(pid) // before its environment is read: so it is no other one that got its number
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(path)
		if err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+mark[0]+"\x00")) && p.Kill() == nil {
			killed++
		}
		p.Release()
	}
	return killed
}
