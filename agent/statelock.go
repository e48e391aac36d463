package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"offsite/agent/statefile"
)

// ErrRunning can occur in New: another process has the state directory.
var ErrRunning = errors.New("another offsite is running")

// stateLock keeps two agents from working on one state directory: a flock, which the kernel drops with the process.
type stateLock struct{ file *os.File }

func lockState(path string) (*stateLock, error) {
	f, err := statefile.Open(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		owner := make([]byte, 100)
		n, _ := f.Read(owner)
		return nil, fmt.Errorf("%w (%s)", ErrRunning, strings.TrimSpace(string(owner[:n])))
	}
	l := &stateLock{f}
	if err := l.sign(); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return l, nil
}

// lockWait is how long whoever only asks may hold the lock: nobody gives up for that.
const lockWait = time.Second

// flock takes the lock, or EWOULDBLOCK.
func flock(f *os.File) error {
	for begin := time.Now(); ; time.Sleep(lockWait / 50) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begin) > lockWait {
			return err
		}
	}
}

// sign leaves word of who holds the lock.
func (l *stateLock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(l.file, "pid %d", os.Getpid())
	return err
}

// check says whether the lock is still where others look for it: the state directory may have been removed or replaced. What
// is written then is seen by nobody, and nothing keeps a second agent out.
func (l *stateLock) check() error {
	ours, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, there) {
		return fmt.Errorf("%s was removed or replaced while offsite was running; start it again", l.file.Name())
	}
	return err
}

func (l *stateLock) release() error { return l.file.Close() }

// Running is the process that has the state directory with that journal; 0: none has. It is seen by asking for the lock, and giving
// it back at once.
func Running(state, journal string) (pid int, err error) {
	f, err := os.OpenFile(filepath.Join(state, journal+".lock"), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, err
	}
	if _, err := fmt.Fscanf(f, "pid %d", &pid); err != nil || pid <= 0 {
		return -1, nil // it has not signed yet
	}
	return pid, nil
}
