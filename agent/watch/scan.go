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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Scan looks at every file once, gives out those that are finished, waits for those that are about to be, and returns
// those that are still being written, with the reason.
func (w *Watcher) Scan(ctx context.Context, out Out) ([]Pending, error) {
	clear(w.troubles)
	missing := w.scanAll(nil)
	begin := time.Now()
	var left []Pending
	for {
		looked := time.Since(begin) // before they are: however late this goes on, each was looked at when its time was over
		if err := w.settle(ctx, out); err != nil {
			return nil, err
		}
		for _, k := range w.pending.by {
			if looked > w.dirs[k.dir].Settle+busyGrace {
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

// unscanned is how an error of scanAll begins.
const unscanned = "watched directory"

// scanAll walks every watched directory. entered, which may be nil, is called for each directory before it is read.
// The error names the directories that cannot be read.
func (w *Watcher) scanAll(entered func(path string)) error {
	w.scans++
	var errs []error
	for i, d := range w.dirs {
		if err := w.scanDir(i, d.Path, entered); err != nil {
			errs = append(errs, fmt.Errorf(unscanned+" %s: %w", d.Path, err))
			w.opts.Trouble(d.Path, fmt.Sprintf("the watched directory cannot be read: %v", err))
		}
	}
	if errs == nil {
		w.forget()
	}
	return errors.Join(errs...)
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

// forget drops what is known of files that the last scan did not meet, so that memory follows the directory's size.
func (w *Watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, met := range w.troubled {
		if time.Since(met) > troubleKept {
			delete(w.troubled, key)
		}
	}
	for p, k := range w.pending.by {
		if k.scan != w.scans {
			w.pending.drop(p)
		}
	}
	for p, v := range w.seen {
		if v.scan != w.scans {
			delete(w.seen, p)
		}
	}
	for k, given := range w.inodes {
		if v := w.seen[given.path]; v == nil || v.inode() != k {
			delete(w.inodes, k)
		}
	}
}

// note makes a file a candidate unless this version of it was given out already, under this name or another.
func (w *Watcher) note(dir int, p string, s sight) {
	now := time.Now()
	if s.Size == 0 {
		if now.Sub(s.ModTime()) > emptyGrace {
			w.trouble(p, "the file is empty: a failed dump?", nil)
		}
		return
	}
	w.mu.Lock()
	again := w.again[p]
	given := w.met([]byte(p), s.FileID) && !again || !again && w.alias(p, s)
	w.mu.Unlock()
	if given {
		return
	}
	if !again && w.opts.Known != nil && w.opts.Known(p, s.FileID) {
		w.remember(p, s)
		return
	}
	w.pending.observe(dir, p, s.FileID, w.dirs[dir].Settle, now).scan = w.scans
}

// met notes that the path is still there, and says whether this version of it was given out. The caller holds the lock.
func (w *Watcher) met(p []byte, id FileID) bool {
	v := w.seen[string(p)]
	if v == nil {
		return false
	}
	v.scan = w.scans
	return v.FileID == id
}

// alias says whether p is another name of a version that was given out: a hard link, or what it was renamed to; then it is seen.
// An inode that was given to another file, of the same size and mtime, was born at another time; where the file system does not
// tell, it is looked at again. The caller holds the lock.
func (w *Watcher) alias(p string, s sight) bool {
	given, ok := w.inodes[s.inode()]
	if !ok || given.path == p {
		return false
	}
	if now, _, err := Stat(given.path); err != nil || now.inode() != s.inode() {
		if given.born == 0 || given.born != s.born {
			return false
		}
		given.path = p
		w.inodes[s.inode()] = given
	}
	w.seen[p] = &version{s.FileID, w.scans}
	return true
}

func (w *Watcher) remember(p string, s sight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.again, p)
	w.seen[p] = &version{s.FileID, w.scans}
	w.inodes[s.inode()] = given{p, s.born}
	w.pending.drop(p)
}

// settle looks at every candidate that is due and gives out those that are finished.
func (w *Watcher) settle(ctx context.Context, out Out) error {
	for {
		w.turns(0)
		now := time.Now()
		k := w.pending.next(now)
		if k == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s, finished := w.finished(k, now)
		if !finished || w.linked(k, s) {
			continue
		}
		_, rel := w.dirOf(k.path)
		f := File{Dir: k.dir, Path: k.path, Rel: filepath.ToSlash(rel), ID: k.id}
		w.remember(k.path, s)
		if err := out(ctx, f); err != nil {
			return err
		}
	}
}

// linked says whether the candidate is another name of a version that was given out since it became one.
func (w *Watcher) linked(k *candidate, s sight) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.again[k.path] || !w.alias(k.path, s) {
		return false
	}
	w.pending.drop(k.path)
	return true
}

// finished looks at a candidate whose time has come, once. If it is not finished, it is dropped or looked at again later.
func (w *Watcher) finished(k *candidate, now time.Time) (s sight, is bool) {
	settle := w.dirs[k.dir].Settle
	s, busy, err := w.examine(k)
	k.busy = busy
	switch noLease := errors.Is(err, errNoLease); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR), (err == nil || noLease) && (!s.regular() || s.Size == 0):
		w.pending.drop(k.path) // gone, or something else now
	case err != nil && !noLease:
		w.trouble(k.path, "the file cannot be read", err)
		w.pending.retry(k, now.Add(time.Minute))
	case s.FileID != k.id:
		w.pending.observe(k.dir, k.path, s.FileID, settle, now)
	case busy:
		w.pending.retry(k, now.Add(settle))
	default:
		if noLease {
			dir := filepath.Dir(k.path)
			w.once("lease "+dir, w.log.Info, "no read leases here: only the quiet time tells a finished dump", "dir", dir, "err", err)
		}
		return s, true
	}
	return s, false
}

// examine looks at a candidate as it is now.
func (w *Watcher) examine(k *candidate) (s sight, busy bool, err error) {
	d := &w.dirs[k.dir]
	open := openBeneath
	if w.linkable {
		open = openOwn
	}
	fd, err := open(d.Path, d.rel(k.path), unix.O_RDONLY)
	if err != nil {
		return s, false, err
	}
	defer unix.Close(fd)
	return examine(fd)
}
