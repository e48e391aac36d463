package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Whoever writes the dumps owns the watched directory, while offsite may read files that they may not. So no path in it is believed
// for longer than one call of the system: what is looked at is opened without following a symbolic link anywhere on the way, and all
// that is learnt of it is learnt of the open file. Links on the way to the watched directory itself are followed, as its owner or root
// made them: see step.

// maxLinks is how many symbolic links are followed on the way to a watched directory, as the kernel has it.
const maxLinks = 40

// errLink can occur in openBeneath: a symbolic link lies where a file or directory is looked for.
var errLink = unix.ELOOP

// openBeneath opens rel, a path below a watched directory; "" is the directory itself. The caller closes the descriptor.
func openBeneath(root, rel string, flags int) (int, error) {
	path := filepath.Join(root, rel)
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NONBLOCK | unix.O_NOCTTY // it may be a pipe or a device
	}
	fd, err := openat2(path, flags)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, errLink), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // before Linux 5.6, or in a container that knows no openat2
		fd, err = walkBeneath(root, rel, flags)
	}
	if err != nil && !errors.As(err, new(*fs.PathError)) {
		err = &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, err
}

// openat2 opens a path on which no symbolic link lies, in one call of the system.
func openat2(path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_SYMLINKS})
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// walkBeneath is openBeneath step by step.
func walkBeneath(root, rel string, flags int) (int, error) {
	links := maxLinks
	dir, err := walk(unix.AT_FDCWD, "", root, &links)
	if err != nil || rel == "" {
		if err == nil {
			defer unix.Close(dir)
			return unix.Openat(dir, ".", flags, 0)
		}
		return -1, err
	}
	parts := strings.Split(rel, "/")
	for _, part := range parts[:len(parts)-1] {
		next, err := unix.Openat(dir, part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(dir)
		if err != nil {
			return -1, err // a link is ENOTDIR
		}
		dir = next
	}
	defer unix.Close(dir)
	return unix.Openat(dir, parts[len(parts)-1], flags, 0)
}

// walk opens the directory to which a path leads, from an open one if it is relative; at is that one's path, for errors.
func walk(from int, at, path string, links *int) (int, error) {
	start := "."
	if filepath.IsAbs(path) {
		start, at = "/", "/"
	}
	dir, err := unix.Openat(from, start, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for _, part := range strings.Split(path, "/") {
		if part == "" || part == "." {
			continue
		}
		next, err := step(dir, part, at, links)
		unix.Close(dir)
		if err != nil {
			return -1, err
		}
		dir, at = next, filepath.Join(at, part)
	}
	return dir, nil
}

// step opens the directory of that name in another one. A symbolic link is followed if it is root's or our own, for which there is no
// more to be had by it; one of anybody else only to what is theirs: else they would choose what offsite, which may read more than they
// may, takes for dumps.
func step(dir int, name, in string, links *int) (int, error) {
	at := filepath.Join(in, name)
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: at, Err: err}
	}
	var link unix.Stat_t
	if err := unix.Fstat(fd, &link); err != nil {
		unix.Close(fd)
		return -1, &fs.PathError{Op: "stat", Path: at, Err: err}
	}
	if link.Mode&unix.S_IFMT != unix.S_IFLNK {
		return fd, nil // that it is a directory is found out by the next step
	}
	defer unix.Close(fd)
	if *links--; *links < 0 {
		return -1, &fs.PathError{Op: "open", Path: at, Err: errLink}
	}
	to, err := linkText(fd)
	if err != nil {
		return -1, &fs.PathError{Op: "readlink", Path: at, Err: err}
	}
	there, err := walk(dir, in, to, links)
	if err != nil {
		return -1, err
	}
	var found unix.Stat_t
	if err = unix.Fstat(there, &found); err == nil && link.Uid != 0 && int(link.Uid) != os.Geteuid() && found.Uid != link.Uid {
		err = &fs.PathError{Op: "open", Path: at, Err: fmt.Errorf(
			"it is a symbolic link of the user %d to %s, which belongs to the user %d: write the path without that link", link.Uid, to, found.Uid)}
	}
	if err != nil {
		unix.Close(there)
		return -1, err
	}
	return there, nil
}

// linkText is where an open symbolic link leads.
func linkText(fd int) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// seeBeneath looks at a path below a watched directory, which may be a symbolic link itself.
func seeBeneath(root, rel string) (sight, error) {
	fd, err := openBeneath(root, rel, unix.O_PATH)
	if err != nil {
		return sight{}, err
	}
	defer unix.Close(fd)
	return see(fd, "")
}
