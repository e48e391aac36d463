package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"
)

// Found is what List meets.
type Found struct {
	// Path and Rel as in File; IsDir: it is a directory that is watched.
	Path, Rel string
	IsDir     bool
	ID        FileID
}

// List yields what is in the directory now, by the rules of a Watcher, finished or not: directories, and files that can be dumps.
// What cannot be read is an error with its path, after which the rest follows. Nothing is waited for.
func (d Dir) List(ctx context.Context) iter.Seq2[Found, error] {
	d.Path = filepath.Clean(d.Path)
	return func(yield func(Found, error) bool) {
		filepath.WalkDir(d.Path, func(p string, e fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(d.Path, p)
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) || p == d.Path {
					if !yield(Found{Path: p, Rel: rel}, err) {
						return fs.SkipAll
					}
				}
				if ctx.Err() != nil {
					return fs.SkipAll
				}
				return nil
			}
			if e.IsDir() && rel != "." && (isTarget(p) || !d.wanted(rel, true)) {
				return filepath.SkipDir
			}
			if !e.IsDir() && (!isRegular(e.Type()) || !d.wanted(filepath.ToSlash(rel), false)) {
				return nil
			}
			info, err := e.Info()
			if err == nil && !yield(Found{Path: p, Rel: filepath.ToSlash(strings.TrimPrefix(rel, "./")), IsDir: e.IsDir(), ID: idOf(info)}, nil) {
				return fs.SkipAll
			}
			return nil
		})
	}
}

// ErrNoLease can occur in Leases: only the quiet time tells when a file there is finished.
var ErrNoLease = errNoLease

// Leases says whether the kernel tells that nothing has the file at path open for writing, by asking it as a Watcher does.
func Leases(path string) error {
	_, _, err := examineAt(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Remote says whether files may change there without an event: NFS, SMB, FUSE and their like.
func Remote(path string) bool { return isRemote(path) }
