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

// scanDir walks a directory, which is a watched one or lies below one, in the order of the names, and notes each file in it. A scan is
// made every minute: of a file that was given out it costs one call of the system, and no memory.
func (w *Watcher) scanDir(dir int, root string, entered func(string)) error {
	info, err := os.Lstat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist) && root != w.dirs[dir].Path:
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is not a directory")
	}
	return w.enter(dir, root, root, 0, entered)
}

// enter notes what is in a directory, so many below root. That another one than root cannot be read is told, and no error.
func (w *Watcher) enter(dir int, root, path string, depth int, entered func(string)) error {
	w.turns(0)
	d := &w.dirs[dir]
	if path != d.Path && !d.wanted(d.rel(path), true) {
		return nil
	}
	if isTarget(path) {
		if path == d.Path {
			return fmt.Errorf("it is a target itself (%s lies in it): backups would be taken for dumps", targetMarker)
		}
		w.once("target "+path, w.log.Warn, "a target lies in a watched directory: it is passed over", "path", path)
		return nil
	}
	if entered != nil {
		entered(path)
	}
	fd, content, err := w.list(d, path, depth)
	switch {
	case err == nil:
		defer unix.Close(fd)
	case path != d.Path && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, errLink) || errors.Is(err, unix.ENOTDIR)):
		return nil // gone, or something else now
	case path == root:
		return err
	default:
		w.trouble(path, "the directory cannot be read", err)
		return nil
	}
	below := strings.TrimSuffix(path, "/") + "/"
	whole := []byte(below)
	for _, e := range content.in {
		name := content.name(e)
		whole = append(whole[:len(below)], name...)
		switch e.kind {
		case unix.DT_DIR:
			if err := w.enter(dir, root, string(whole), depth+1, entered); err != nil {
				return err
			}
		case unix.DT_LNK:
			w.link(d, d.rel(string(whole)))
		case unix.DT_REG:
			w.look(dir, fd, string(name), whole)
		}
	}
	return nil
}

// list opens a directory and reads what is in it. That holds until another directory of this depth is read.
func (w *Watcher) list(d *Dir, path string, depth int) (int, *directory, error) {
	fd, err := openBeneath(d.Path, d.rel(path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return -1, nil, err
	}
	for len(w.listed) <= depth {
		w.listed = append(w.listed, new(directory))
	}
	content := w.listed[depth]
	if err := content.read(fd, w.dirents); err != nil {
		unix.Close(fd)
		return -1, nil, &fs.PathError{Op: "readdir", Path: path, Err: err}
	}
	for i, e := range content.in {
		if e.kind != unix.DT_UNKNOWN { // some file systems do not say
			continue
		}
		if s, err := see(fd, string(content.name(e))); err == nil {
			content.in[i].kind = s.kind
		}
	}
	return fd, content, nil
}

// look notes a file by its name in an open directory. path may be changed afterwards.
func (w *Watcher) look(dir, fd int, name string, path []byte) {
	known := w.seen[string(path)] != nil // then it was wanted
	if !known && !w.dirs[dir].wanted(w.dirs[dir].rel(string(path)), false) {
		return
	}
	s, err := see(fd, name)
	if err != nil || !s.regular() {
		return // it went away
	}
	if !known || !w.same(path, s.FileID) {
		w.note(dir, string(path), s)
	}
}

// same is what a scan of every minute asks first: is this version, which was given out, still there?
func (w *Watcher) same(path []byte, id FileID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.met(path, id) && (len(w.again) == 0 || !w.again[string(path)])
}

// rel is a path below the watched directory, with slashes.
func (d *Dir) rel(path string) string {
	return filepath.ToSlash(strings.TrimPrefix(path[len(d.Path):], "/"))
}
