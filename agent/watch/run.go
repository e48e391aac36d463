package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

const (
	rescanLocal  = time.Minute
	rescanRemote = 10 * time.Second
)

// Turns makes Run tell each time that it does something (0), and how long it will then do nothing, unless something happens. It is called
// before Run.
func (w *Watcher) Turns(tell func(rest time.Duration)) { w.turns = tell }

// Run gives out finished files until ctx ends, and returns its error, or out's. It starts no goroutine that outlives
// it.
func (w *Watcher) Run(ctx context.Context, out Out) error {
	n, err := newNotifier(w)
	if err != nil {
		return err
	}
	defer n.close()
	interval := w.interval()
	rescan := time.NewTicker(interval)
	defer rescan.Stop()
	w.rescan(n)
	first := w.ready
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := w.settle(ctx, out); err != nil {
			return err
		}
		if first != nil {
			close(first)
			first = nil
		}
		if d, ok := w.pending.wait(time.Now()); ok {
			timer.Reset(d)
		} else {
			timer.Stop()
		}
		w.turns(interval)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-n.events():
			if ok {
				w.event(n, e)
			}
		case err := <-n.errors():
			w.log.Warn("file events were lost: scanning everything", "err", err)
			w.rescan(n)
		case <-rescan.C:
			w.rescan(n)
		case <-w.wake:
			w.requeued()
		case <-timer.C:
		}
	}
}

func (w *Watcher) interval() time.Duration {
	if w.opts.Rescan > 0 {
		return w.opts.Rescan
	}
	interval := rescanLocal
	for _, d := range w.dirs {
		if isRemote(d.Path) {
			w.log.Info("a network or FUSE file system: it is scanned, since events are not reliable there", "dir", d.Path, "every", rescanRemote)
			interval = rescanRemote
		}
	}
	return interval
}

// rescan is the truth, and renews the watches on directories that are new or were replaced.
func (w *Watcher) rescan(n *notifier) {
	clear(w.troubles) // which are for Scan
	if err := w.scanAll(n.add); err != nil {
		w.once(err.Error(), w.log.Error, "cannot scan; trying again", "err", err)
	} else {
		for key := range w.told {
			if strings.HasPrefix(key, unscanned) {
				delete(w.told, key) // it is back: say so if it goes away again
			}
		}
	}
}

// event follows a hint.
func (w *Watcher) event(n *notifier, e fsnotify.Event) {
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(n.inode, e.Name) // if it was a directory, its watch went with it
	}
	dir, rel := w.dirOf(e.Name)
	if dir < 0 || w.dirs[dir].hidden(rel) {
		return
	}
	s, err := seeBeneath(w.dirs[dir].Path, rel)
	switch {
	case err != nil:
		w.pending.drop(e.Name)
	case s.kind == unix.DT_DIR && w.dirs[dir].wanted(rel, true):
		// What was put into a new directory before it was watched made no event.
		if err := w.scanDir(dir, e.Name, n.add); err != nil {
			w.log.Warn("cannot scan a new directory", "path", e.Name, "err", err)
		}
	case s.regular() && w.dirs[dir].wanted(rel, false):
		w.note(dir, e.Name, s)
	}
}

// requeued looks again at the paths that Requeue named.
func (w *Watcher) requeued() {
	w.mu.Lock()
	var paths []string
	for p := range w.again {
		paths = append(paths, p)
	}
	w.mu.Unlock()
	for _, p := range paths {
		dir, rel := w.dirOf(p)
		var s sight
		err := fs.ErrNotExist
		if dir >= 0 {
			s, err = seeBeneath(w.dirs[dir].Path, rel)
		}
		if err != nil || !s.regular() {
			w.mu.Lock()
			delete(w.again, p)
			w.mu.Unlock()
			continue
		}
		w.note(dir, p, s)
	}
}

// notifier is fsnotify with the watches that it has. Without inotify it is nil inside, and only the ticker works.
type notifier struct {
	w     *Watcher
	fs    *fsnotify.Watcher
	inode map[string]place // of each watched directory
}

type place struct{ dev, ino uint64 }

func newNotifier(w *Watcher) (*notifier, error) {
	n := &notifier{w: w, inode: map[string]place{}}
	watcher, err := fsnotify.NewBufferedWatcher(512)
	if errors.Is(err, syscall.EMFILE) {
		w.log.Warn("no more inotify instances: raise the sysctl fs.inotify.max_user_instances; scanning instead", "err", err)
		return n, nil
	}
	n.fs = watcher
	return n, err
}

func (n *notifier) close() {
	if n.fs != nil {
		n.fs.Close()
	}
}

func (n *notifier) events() <-chan fsnotify.Event {
	if n.fs == nil {
		return nil
	}
	return n.fs.Events
}

func (n *notifier) errors() <-chan error {
	if n.fs == nil {
		return nil
	}
	return n.fs.Errors
}

// add watches a directory, anew if it is another one than before.
func (n *notifier) add(path string) {
	if n.fs == nil {
		return
	}
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	id := idOf(info)
	now := place{id.Dev, id.Ino}
	if n.inode[path] == now {
		return
	}
	if n.inode[path] != (place{}) {
		n.fs.Remove(path) // of the directory that was replaced; it may be gone already
	}
	err = n.fs.Add(path)
	switch {
	case err == nil:
		n.inode[path] = now
	case errors.Is(err, syscall.ENOSPC):
		n.w.once("max_user_watches", n.w.log.Warn, "no more inotify watches: raise the sysctl fs.inotify.max_user_watches; scanning instead", "dir", path)
	default:
		n.w.once("add "+path, n.w.log.Warn, "cannot watch a directory; scanning instead", "dir", path, "err", err)
	}
}
