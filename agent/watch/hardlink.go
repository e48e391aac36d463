package watch

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hardLinksAreFree says whether anybody may make a hard link to a file of somebody else (proc_sys_fs(5), protected_hardlinks). systemd
// and the distributions forbid that; where it cannot be known, as in a sandbox without /proc/sys, they are believed.
func hardLinksAreFree() bool {
	b, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	return err == nil && bytes.Equal(bytes.TrimSpace(b), []byte("0"))
}

// openOwn is openBeneath for a host on which hard links are free: it opens what nobody can have linked from elsewhere, because only its
// owner and root may write to the directory that it lies in. That it has one link says nothing: the other name may be gone by now.
func openOwn(root, rel string, flags int) (int, error) {
	dir, err := openBeneath(root, filepath.Dir(rel), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	path := filepath.Join(root, rel)
	fd, err := unix.Openat(dir, filepath.Base(rel), flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := owned(dir, fd); err != nil {
		unix.Close(fd)
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// owned says whether only the owner of the file and root may write to the directory.
func owned(dir, file int) error {
	var d, f unix.Stat_t
	if err := unix.Fstat(dir, &d); err != nil {
		return err
	}
	if err := unix.Fstat(file, &f); err != nil {
		return err
	}
	if d.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0 && (d.Uid == 0 || d.Uid == f.Uid) {
		return nil
	}
	return fmt.Errorf("it belongs to the user %d, others may write to its directory, and this host lets them link files there that they may not read: "+
		"set the sysctl fs.protected_hardlinks to 1, as distributions do", f.Uid)
}
