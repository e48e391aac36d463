package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"offsite/configs"
)

// give gives the service's user what it must write: the state, and its host's part of targets that are directories. What root has shipped
// before by hand is there already.
func (in *installing) give(c *configs.Config) error {
	dirs := []string{c.State}
	for _, t := range c.Targets {
		if t.Dir != nil {
			dirs = append(dirs, filepath.Join(t.Dir.Path, c.Host))
		}
	}
	var errs []error
	for _, dir := range dirs {
		err := in.step(func() error { return giveTo(serviceUser, dir) }, "gives %s to the user %s", dir, serviceUser)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w; let the user %s write to %s where it is stored", err, serviceUser, dir))
		}
	}
	return errors.Join(errs...)
}

// giveTo makes a directory and all in it a user's.
func giveTo(name, dir string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return giveTree(dir, uid, gid)
}

// giveTree makes a directory, unless it is there, and gives it and all in it to a user. That user may have been there before, and put links
// there, or put them there now: none is followed out of the directory, and a file that has another name, too, which may be one elsewhere,
// stays whose it is.
func giveTree(dir string, uid, gid int) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	root, err := parent.OpenRoot(filepath.Base(dir))
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := parent.Lstat(filepath.Base(dir)); err != nil || !info.IsDir() { // a link within the parent
		return errors.Join(err, fmt.Errorf("%s is no directory", dir))
	}
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = root.Lstat(path)
		}
		if errors.Is(err, fs.ErrNotExist) && path != "." {
			return nil // what an agent that runs has just finished or removed
		}
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && int(st.Uid) == uid && int(st.Gid) == gid || ok && info.Mode().IsRegular() && st.Nlink > 1 {
			return nil
		}
		if err := root.Lchown(path, uid, gid); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
