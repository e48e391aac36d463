package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// FileID tells one version of a file from another.
type FileID struct {
	Dev, Ino uint64
	// Size in bytes.
	Size int64
	// MTime and CTime in nanoseconds since 1970.
	MTime, CTime int64
}

// ModTime is MTime as a time.
func (id FileID) ModTime() time.Time { return time.Unix(0, id.MTime) }

// inode is what stays when a version is renamed, linked or chmodded.
type inode struct {
	dev, ino    uint64
	size, mtime int64
}

func (id FileID) inode() inode { return inode{id.Dev, id.Ino, id.Size, id.MTime} }

// Stat describes what is at path, without following a link.
func Stat(path string) (FileID, fs.FileMode, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return FileID{}, 0, err
	}
	return idOf(info), info.Mode(), nil
}

// FStat describes an open file.
func FStat(f *os.File) (FileID, error) {
	info, err := f.Stat()
	if err != nil {
		return FileID{}, err
	}
	return idOf(info), nil
}

func idOf(info fs.FileInfo) FileID {
	id := FileID{Size: info.Size(), MTime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.Dev, id.Ino, id.CTime = uint64(st.Dev), st.Ino, st.Ctim.Nano()
	}
	return id
}

// birth is when a file was made, in nanoseconds since 1970; 0: the file system does not tell.
func birth(path string) int64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}

// Check says whether the file at path is finished as far as one look can tell: regular, not empty, and not open for
// writing. It is for a file that a person names; a Watcher also waits for it to settle.
func Check(path string) (FileID, error) {
	id, mode, err := Stat(path)
	switch {
	case err != nil:
		return id, err
	case mode&fs.ModeSymlink != 0:
		return id, fmt.Errorf("%s is a symbolic link: name the file that it points to", path)
	case !isRegular(mode):
		return id, fmt.Errorf("%s is not a regular file", path)
	case id.Size == 0:
		return id, fmt.Errorf("%s is empty: a failed dump?", path)
	}
	busy, err := openForWriting(path)
	if busy {
		return id, fmt.Errorf("%s is still open for writing: wait until the dump is finished", path)
	}
	if errors.Is(err, errNoLease) {
		err = nil
	}
	return id, err
}

// errNoLease: the kernel gives no lease on this file, for whatever reason but a writer.
var errNoLease = errors.New("no leases here")

// openForWriting takes a read lease and drops it at once. A writer that comes in between waits for no longer than
// that. The SIGIO by which the kernel would ask for the lease is ignored by the Go runtime unless a program asks for
// it with os/signal.
func openForWriting(path string) (bool, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return false, err
	case errors.Is(err, unix.EAGAIN):
		return true, nil
	}
	return false, fmt.Errorf("%w: %w", errNoLease, err)
}

// isRemote says whether the file system may change without an event: NFS, SMB, FUSE and their like.
func isRemote(path string) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC:
		return true
	}
	return false
}
