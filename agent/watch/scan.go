package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Scan looks at every file once, gives out those that are finished, waits for those that are about to be, and returns
// those that are still being written, with the reason.
func (w *Watcher) Scan(ctx context.Context, out Out) ([]Pending, error) {
	clear(w.troubles)
	missing := w.scanAll(nil)
	begin := time.Now()
	var left []Pending
	for {
		if err := w.settle(ctx, out); err != nil {
			return nil, err
		}
		for _, k := range w.pending.by {
			if time.Since(begin) > w.dirs[k.dir].Settle+busyGrace {
				reason := "it keeps changing"
				if k.busy {
					reason = "it is still open for writing"
				}
				if w.troubles[k.path] == "" {
					left = append(left, Pending{Path: k.path, Reason: reason})
				}
				w.pending.drop(k.path)
			}
		}
		d, more := w.pending.wait(time.Now())
		if !more {
			for _, p := range slices.Sorted(maps.Keys(w.troubles)) {
				left = append(left, Pending{p, w.troubles[p], true})
			}
			return left, missing
		}
		// A file that keeps changing makes no event here: look often enough to see it.
		if err := sleep(ctx, min(max(d, 10*time.Millisecond), time.Second)); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// scanAll walks every watched directory. entered, which may be nil, is called for each directory before it is read.
// The error names the directories that cannot be read.
func (w *Watcher) scanAll(entered func(path string)) error {
	present := map[string]bool{}
	var errs []error
	for i, d := range w.dirs {
		if err := w.scanDir(i, d.Path, entered, present); err != nil {
			errs = append(errs, fmt.Errorf("watched directory %s: %w", d.Path, err))
			w.opts.Trouble(d.Path, fmt.Sprintf("the watched directory cannot be read: %v", err))
		}
	}
	if errs == nil {
		w.forget(present)
	}
	return errors.Join(errs...)
}

// scanDir walks a directory and notes each file in it.
func (w *Watcher) scanDir(dir int, root string, entered func(string), present map[string]bool) error {
	d := &w.dirs[dir]
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(d.Path, p)
		if err != nil {
			if p == root && !errors.Is(err, fs.ErrNotExist) || p == d.Path {
				return err
			}
			if !errors.Is(err, fs.ErrNotExist) {
				w.trouble(p, "the directory cannot be read", err)
			}
			return nil
		}
		if p == d.Path && !e.IsDir() {
			return errors.New("it is not a directory")
		}
		if e.IsDir() && isTarget(p) {
			if p == d.Path {
				return fmt.Errorf("it is a target itself (%s lies in it): backups would be taken for dumps", targetMarker)
			}
			w.once("target "+p, w.log.Warn, "a target lies in a watched directory: it is passed over", "path", p)
			return filepath.SkipDir
		}
		if e.IsDir() {
			if rel != "." && !d.wanted(rel, true) {
				return filepath.SkipDir
			}
			if entered != nil {
				entered(p)
			}
			return nil
		}
		if e.Type()&fs.ModeSymlink != 0 {
			w.link(d, rel)
			return nil
		}
		if !isRegular(e.Type()) || !d.wanted(rel, false) {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil // it went away
		}
		if present != nil {
			present[p] = true
		}
		w.note(dir, p, idOf(info))
		return nil
	})
}

// link says that what a symbolic link leads to is not shipped, unless that lies in a watched directory itself: a directory of
// dumps that was moved to a bigger disk must not be missed in silence.
func (w *Watcher) link(d *Dir, rel string) {
	p := filepath.Join(d.Path, rel)
	info, err := os.Stat(p)
	if !d.wanted(rel, err == nil && info.IsDir()) || matches(d.Exclude, rel) {
		return
	}
	to, err := filepath.EvalSymlinks(p)
	if err != nil { // it may lead to a disk that is not mounted
		if to, err = os.Readlink(p); err != nil {
			return
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(p), to)
		}
	}
	for _, d := range w.dirs {
		for _, root := range []string{d.Path, resolved(d.Path)} {
			if rel, err := filepath.Rel(root, to); err == nil && filepath.IsLocal(rel) {
				return
			}
		}
	}
	w.trouble(p, "it is a symbolic link to "+to+", and links are not followed: watch that directory too, or exclude the link", nil)
}

func resolved(p string) string {
	if r, err := filepath.EvalSymlinks(p); err == nil {
		return r
	}
	return p
}

// targetMarker is the file that makes a directory a target (package providers/dir).
const targetMarker = ".offsite-target"

func isTarget(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, targetMarker))
	return err == nil
}

// forget drops what is known of files that are gone, so that memory follows the directory's size.
func (w *Watcher) forget(present map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pending.by {
		if !present[p] {
			w.pending.drop(p)
		}
	}
	for p := range w.seen {
		if !present[p] {
			delete(w.seen, p)
		}
	}
	for k, given := range w.inodes {
		if id, ok := w.seen[given.path]; !ok || id.inode() != k {
			delete(w.inodes, k)
		}
	}
}

// note makes a file a candidate unless this version of it was given out already, under this name or another.
func (w *Watcher) note(dir int, p string, id FileID) {
	now := time.Now()
	if id.Size == 0 {
		if now.Sub(id.ModTime()) > emptyGrace {
			w.trouble(p, "the file is empty: a failed dump?", nil)
		}
		return
	}
	w.mu.Lock()
	again := w.again[p]
	if !again && w.seen[p] == id {
		w.mu.Unlock()
		return
	}
	alias := !again && w.alias(p, id)
	if alias {
		w.seen[p] = id
	}
	w.mu.Unlock()
	if alias {
		return
	}
	if !again && w.opts.Known != nil && w.opts.Known(p, id) {
		w.remember(p, id)
		return
	}
	w.pending.observe(dir, p, id, w.dirs[dir].Settle, now)
}

// alias says whether p is another name of a version that was given out: a hard link, or what it was renamed to. An inode that
// was given to another file, of the same size and mtime, was born at another time; where the file system does not tell, it
// is looked at again. The caller holds the lock.
func (w *Watcher) alias(p string, id FileID) bool {
	given, ok := w.inodes[id.inode()]
	if !ok || given.path == p {
		return false
	}
	if now, _, err := Stat(given.path); err == nil && now.inode() == id.inode() {
		return true
	}
	if given.born == 0 || given.born != birth(p) {
		return false
	}
	given.path = p
	w.inodes[id.inode()] = given
	return true
}

func (w *Watcher) remember(p string, id FileID) {
	born := birth(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.again, p)
	w.seen[p] = id
	w.inodes[id.inode()] = given{p, born}
	w.pending.drop(p)
}

// settle looks at every candidate that is due and gives out those that are finished.
func (w *Watcher) settle(ctx context.Context, out Out) error {
	for {
		now := time.Now()
		k := w.pending.next(now)
		if k == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !w.finished(k, now) {
			continue
		}
		if w.linked(k) {
			continue
		}
		_, rel := w.dirOf(k.path)
		f := File{Dir: k.dir, Path: k.path, Rel: filepath.ToSlash(rel), ID: k.id}
		w.remember(k.path, k.id)
		if err := out(ctx, f); err != nil {
			return err
		}
	}
}

// linked says whether the candidate is another name of a version that was given out since it became one.
func (w *Watcher) linked(k *candidate) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.again[k.path] || !w.alias(k.path, k.id) {
		return false
	}
	w.seen[k.path] = k.id
	w.pending.drop(k.path)
	return true
}

// finished looks at a candidate whose time has come. If it is not finished, it is dropped or looked at again later.
func (w *Watcher) finished(k *candidate, now time.Time) bool {
	settle := w.dirs[k.dir].Settle
	id, mode, err := Stat(k.path)
	if err != nil || !isRegular(mode) || id.Size == 0 {
		w.pending.drop(k.path) // gone, or something else now
		return false
	}
	if id != k.id {
		w.pending.observe(k.dir, k.path, id, settle, now)
		return false
	}
	busy, err := openForWriting(k.path)
	k.busy = busy
	switch {
	case busy:
		w.pending.retry(k, now.Add(settle))
		return false
	case errors.Is(err, errNoLease):
		dir := filepath.Dir(k.path)
		w.once("lease "+dir, w.log.Info, "no read leases here: only the quiet time tells a finished dump", "dir", dir, "err", err)
	case errors.Is(err, fs.ErrNotExist):
		w.pending.drop(k.path)
		return false
	case err != nil:
		w.trouble(k.path, "the file cannot be read", err)
		w.pending.retry(k, now.Add(time.Minute))
		return false
	}
	// The writer may have closed it between the first look and the lease.
	if id, _, err := Stat(k.path); err != nil || id != k.id {
		w.pending.retry(k, now)
		return false
	}
	return true
}
