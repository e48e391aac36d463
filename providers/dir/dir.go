// Package dir keeps objects in a mounted directory: a NAS or a disk.
//
// Nothing is read or written unless the marker file .offsite-target lies in it, which Init writes: a mount point
// without its mount is an empty directory on the root disk, which backups must not fill.
//
// An object is a file of mode 0600 in directories of mode 0700: the names say which databases there are, and the
// mount may be shared. Put writes to a hidden file beside the object, syncs it, renames it, and syncs the directory.
// The hidden file's name follows from the object's, so that a later Put finds it; it is locked (flock(2)) while it is
// written. No symbolic link leads out of the directory (os.Root).
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"offsite/providers"
	"offsite/providers/files"
)

// Marker is the file that makes a directory a target.
const Marker = ".offsite-target"

const markerText = `This directory holds encrypted backups that offsite put here.
Without this file offsite neither reads nor writes here: it tells the mounted disk from an empty mount point.
`

// Target is a directory. It opens nothing before it is used.
type Target struct {
	path   string
	closed atomic.Bool
}

var (
	_ providers.Target    = (*Target)(nil)
	_ providers.Preserver = (*Target)(nil)
)

// New needs no mounted directory yet: while it is missing, each call fails and says so.
func New(cfg Config) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Target{path: filepath.Clean(cfg.Path)}, nil
}

// Init makes the directory if it is not there, and writes the marker into it.
func Init(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Path, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(cfg.Path, Marker), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(markerText); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// open gives the directory, if it is the target and not an empty mount point.
func (t *Target) open() (*os.Root, error) {
	if t.closed.Load() {
		return nil, fs.ErrClosed
	}
	root, err := os.OpenRoot(t.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %v; is it mounted?", providers.ErrPermanent, err) // not %w: no object is missing
	}
	if _, err := root.Lstat(Marker); err != nil {
		root.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s has no %s: either it is not mounted, or `offsite init` has not prepared it; if it is the right directory, with a host's backups below it: touch %s", providers.ErrPermanent, t.path, Marker, filepath.Join(t.path, Marker))
	}
	return root, nil
}

// with runs one call in the directory and translates its error.
func (t *Target) with(ctx context.Context, op, name string, call func(*os.Root) error) error {
	err := ctx.Err()
	if err == nil && op != "list" {
		err = providers.CheckName(name)
	}
	var root *os.Root
	if err == nil {
		root, err = t.open()
	}
	if err == nil {
		defer root.Close()
		err = call(root)
	}
	return t.translate(op, name, err)
}

// translate sorts an error of the operating system.
func (t *Target) translate(op, name string, err error) error {
	if err == nil {
		return nil
	}
	e := &providers.Error{Op: op, Name: name, Err: err}
	for _, kind := range []error{fs.ErrNotExist, fs.ErrPermission, providers.ErrSourceChanged, providers.ErrPermanent} {
		if errors.Is(err, kind) {
			e.Kind = kind
		}
	}
	switch {
	case e.Kind == providers.ErrPermanent:
		// a missing mount is no missing object
	case errors.Is(err, syscall.EROFS):
		e.Kind, e.Err = providers.ErrPermanent, fmt.Errorf("%s is mounted read-only: %w", t.path, err)
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		e.Err = fmt.Errorf("no space left on %s: %w", t.path, err)
	}
	return e
}

// Get is part of providers.Target.
func (t *Target) Get(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = t.with(ctx, "get", name, func(root *os.Root) error {
		f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe, for which nobody is to wait
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			f.Close()
			return errors.Join(err, fs.ErrNotExist)
		}
		left := max(0, info.Size()-offset)
		if length >= 0 {
			left = min(left, length)
		}
		r = &reader{ctx.Err, io.NewSectionReader(f, offset, left), f}
		return nil
	})
	return r, err
}

// reader ends when its context does.
type reader struct {
	ended func() error // of the Get's context
	*io.SectionReader
	f *os.File
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, err
	}
	n, err := r.SectionReader.Read(p)
	if n == 0 && err == io.EOF && r.Size() > 0 {
		if at, _ := r.Seek(0, io.SeekCurrent); at < r.Size() {
			return 0, io.ErrUnexpectedEOF // it was cut short meanwhile
		}
	}
	return n, err
}

func (r *reader) Close() error { return r.f.Close() }

// Stat is part of providers.Target.
func (t *Target) Stat(ctx context.Context, name string) (o providers.Object, err error) {
	err = t.with(ctx, "stat", name, func(root *os.Root) error {
		info, err := root.Lstat(name)
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
		if err == nil {
			o = providers.Object{Name: name, Size: info.Size(), Modified: info.ModTime()}
		}
		return err
	})
	return o, err
}

// Delete is part of providers.Target. Directories that it leaves empty go too.
func (t *Target) Delete(ctx context.Context, name string) error {
	return t.with(ctx, "delete", name, func(root *os.Root) error {
		for _, n := range []string{name, files.Partial(name), files.Damaged(name)} {
			if err := root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				return err
			}
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if root.Remove(dir) != nil { // not empty, or gone
				break
			}
		}
		return nil
	})
}

// Preserve is part of providers.Preserver, on file systems with hard links.
func (t *Target) Preserve(ctx context.Context, name string) error {
	return t.with(ctx, "preserve", name, func(root *os.Root) error {
		kept := files.Damaged(name)
		if err := root.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		err := root.Link(name, kept)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EMLINK) { // link(2), of a file system without
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Close is part of providers.Target.
func (t *Target) Close() error {
	t.closed.Store(true)
	return nil
}
