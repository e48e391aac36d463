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

// sight is all that one look at a file tells.
type sight struct {
	FileID
	kind uint8 // unix.DT_REG and its like
	// born is when the file was made, in nanoseconds since 1970; 0: the file system does not tell.
	born int64
}

// see looks at a name in the directory that fd has open, or at fd itself when the name is empty, without following a link. It is one
// call of the system.
func see(fd int, name string) (sight, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var st unix.Statx_t
	err := unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // before Linux 4.11, or in a container that knows no statx
		return seeOld(fd, name, flags)
	}
	if err != nil {
		return sight{}, &fs.PathError{Op: "statx", Path: name, Err: err}
	}
	s := sightOf(uint32(st.Mode))
	s.FileID = FileID{
		Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Size: int64(st.Size),
		MTime: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec), CTime: st.Ctime.Sec*1e9 + int64(st.Ctime.Nsec),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		s.born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return s, nil
}

func sightOf(mode uint32) sight { return sight{kind: uint8(mode & unix.S_IFMT >> 12)} } // as getdents has it

func (s *sight) regular() bool { return s.kind == unix.DT_REG }

// seeOld is see without a birth.
func seeOld(fd int, name string, flags int) (sight, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, flags); err != nil {
		return sight{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	s := sightOf(st.Mode)
	s.FileID = FileID{Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano()}
	return s, nil
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
	_, busy, err := examineAt(path)
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

// examine says what an open file is, and whether something has it open for writing: it takes a read lease and drops it at once. What it
// sees is seen under the lease, so that nobody is writing then. A writer that comes in between waits for no longer than that. (The
// SIGIO by which the kernel would ask for the lease is ignored by the Go runtime unless a program asks for it with os/signal.)
// With errNoLease there is what was seen, too.
func examine(fd int) (s sight, busy bool, err error) {
	_, lease := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	s, err = see(fd, "")
	if err != nil {
		return s, false, err
	}
	switch {
	case lease == nil:
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return s, false, err
	case errors.Is(lease, unix.EAGAIN):
		return s, true, nil
	}
	return s, false, fmt.Errorf("%w: %w", errNoLease, lease)
}

// examineAt is examine for a file that a person named.
func examineAt(path string) (s sight, busy bool, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return s, false, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return examine(fd)
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
