package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	return w.enter(dir, root, root, entered)
}

// enter notes what is in a directory. That another one than root cannot be read is told, and no error.
func (w *Watcher) enter(dir int, root, path string, entered func(string)) error {
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
	f, entries, err := list(path)
	switch {
	case err == nil:
		defer f.Close()
	case errors.Is(err, fs.ErrNotExist) && path != d.Path:
		return nil
	case path == root:
		return err
	default:
		w.trouble(path, "the directory cannot be read", err)
		return nil
	}
	fd := int(f.Fd())
	below := strings.TrimSuffix(path, "/") + "/"
	name := []byte(below)
	for _, e := range entries {
		name = append(name[:len(below)], e.Name()...)
		switch kind := e.Type(); {
		case kind.IsDir():
			if err := w.enter(dir, root, string(name), entered); err != nil {
				return err
			}
		case kind&fs.ModeSymlink != 0:
			w.link(d, d.rel(string(name)))
		case isRegular(kind):
			w.look(dir, fd, e.Name(), name)
		}
	}
	return nil
}

// list opens a directory, and gives what is in it in the order of the names.
func list(path string) (*os.File, []fs.DirEntry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	entries, err := f.ReadDir(-1)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return f, entries, nil
}

// look notes a file by its name in an open directory. path may be changed afterwards.
func (w *Watcher) look(dir, fd int, name string, path []byte) {
	known := w.seen[string(path)] != nil // then it was wanted
	if !known && !w.dirs[dir].wanted(w.dirs[dir].rel(string(path)), false) {
		return
	}
	s, err := see(fd, name)
	if err != nil || !s.regular {
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
