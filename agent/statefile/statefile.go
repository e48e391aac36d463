// Package statefile writes files of the state directory. That belongs to the user whom the agent runs as, and root may work there too, by
// hand: what root makes there belongs to the directory's owner, so that the agent can write to it afterwards, and a link, laid there by
// whoever runs as that user, does not lead root to a file elsewhere.
package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Open is os.OpenFile for a file of the state directory.
func Open(path string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW, mode)
	if err != nil || flag&os.O_CREATE == 0 || os.Geteuid() != 0 {
		return f, err
	}
	if err := give(f, filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("give %s to the owner of its directory: %w", path, err), f.Close())
	}
	return f, nil
}

// give gives a file of root's to the owner of its directory. One that has another name, too, may have come from elsewhere.
func give(f *os.File, dir string) error {
	var file, in syscall.Stat_t
	if err := errors.Join(syscall.Fstat(int(f.Fd()), &file), syscall.Stat(dir, &in)); err != nil {
		return err
	}
	if file.Uid != 0 || in.Uid == 0 || file.Nlink > 1 {
		return nil
	}
	return f.Chown(int(in.Uid), int(in.Gid))
}

// Replace writes a file aside, and puts it under its name when it is on the disk: whoever reads it has the old one or the new one.
func Replace(path string, text []byte) error {
	next := path + ".new"
	f, err := Open(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return os.Rename(next, path)
}
