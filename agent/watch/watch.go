// Package watch turns directories into finished dumps.
//
// fsnotify's events are hints; a scan of the whole tree is the truth, made at the start, when events were lost, and
// on a ticker. A file counts as finished when it is regular and not empty, nothing has it open for writing, and its
// size, mtime, ctime and inode have been unchanged for the settle time.
//
// "Open for writing" is asked by a read lease, fcntl(F_SETLEASE, F_RDLCK), taken and dropped at once: the kernel
// refuses it while a writer exists (fcntl(2)). Where leases do not work (network file systems, files of others without
// CAP_LEASE) the quiet time alone decides, and a log line says so once for each directory.
//
// Not dumps: symbolic links (latest.sql.gz), names that start with a dot or end in .tmp, .part, .partial or ~, a second
// hard link to a file that was given out, and a file that was only renamed since.
package watch

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Dir is one watched directory, with all below it.
type Dir struct {
	// Path is absolute.
	Path string
	// Include and Exclude are patterns of path.Match: for the file name, or for the path below the directory when the
	// pattern has a slash. An empty Include is everything.
	Include, Exclude []string
	// Settle is how long a file must be unchanged; 0: 2 seconds.
	Settle time.Duration
}

const (
	defaultSettle = 2 * time.Second
	// busyGrace is how much longer than the settle time Scan waits for a file that is still being written.
	busyGrace = 3 * time.Second
	// troubleKept is for how long a trouble is remembered after it was met last: it is met again each minute, and then not logged anew.
	troubleKept = 10 * time.Minute
	// emptyGrace is how long a file may be empty before that is reported.
	emptyGrace = time.Hour
)

// File is one finished version of a file.
type File struct {
	// Dir is the index of its watched directory, Rel its path below that, with slashes.
	Dir  int
	Path string
	Rel  string
	ID   FileID
}

// Pending is a file that was not finished when Scan ended.
type Pending struct {
	Path, Reason string
	// Trouble says that waiting will not help: a person must look.
	Trouble bool
}

// Options of a Watcher. Every field may be left out.
type Options struct {
	Log *slog.Logger
	// Rescan is how often the whole tree is scanned; 0: every minute, every 10 seconds where events do not work.
	Rescan time.Duration
	// Known says that the caller has this version of the file already: it is not given out.
	Known func(path string, id FileID) bool
	// Trouble is called each time that something is found that cannot be shipped, or a directory that cannot be read.
	Trouble func(path, why string)
}

// Out is given each finished version of a file once, never concurrently. An error of it ends the watcher.
type Out func(context.Context, File) error

// Watcher watches directories. Make it with New, and call either Run or Scan, once.
type Watcher struct {
	dirs []Dir
	opts Options
	log  *slog.Logger

	ready chan struct{} // closed after the first scan of Run
	turns func(rest time.Duration)

	mu      sync.Mutex
	again   map[string]bool // paths to give out once more
	wake    chan struct{}
	inodes  map[inode]given // where each version lies that was given out; guarded by mu for Find
	pending *candidates
	seen    map[string]*version // given out, or known
	scans   uint32              // how often everything was scanned
	told    map[string]bool     // log lines that are said once
	listed  []*directory        // what is read of directories, by their depth
	dirents []byte              // the buffer for that

	troubles map[string]string    // what cannot be shipped, and why
	troubled map[string]time.Time // when each of these was met last
	linkable bool                 // whoever may write to a directory can link files of others into it
}

// given is a version that was given out.
type given struct {
	path string
	born int64 // see sight
}

// version is what lay at a path, and which scan met it last.
type version struct {
	FileID
	scan uint32
}

// New starts nothing.
func New(dirs []Dir, opts Options) *Watcher {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Trouble == nil {
		opts.Trouble = func(string, string) {}
	}
	w := &Watcher{
		opts: opts, log: opts.Log, ready: make(chan struct{}), turns: func(time.Duration) {}, again: map[string]bool{}, wake: make(chan struct{}, 1),
		inodes: map[inode]given{}, pending: newCandidates(), seen: map[string]*version{}, told: map[string]bool{}, linkable: hardLinksAreFree(),
		troubles: map[string]string{}, troubled: map[string]time.Time{}, dirents: make([]byte, 32<<10),
	}
	for _, d := range dirs {
		if d.Settle == 0 {
			d.Settle = defaultSettle
		}
		d.Path = filepath.Clean(d.Path)
		w.dirs = append(w.dirs, d)
	}
	return w
}

// Ready is closed when Run has scanned every directory once, and given out what had settled before.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Requeue gives the file at path out once more when it is finished, even if it is the version of last time.
func (w *Watcher) Requeue(path string) {
	w.mu.Lock()
	w.again[path] = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Find is the path at which a version that was given out lies now, for one that was renamed; "" if it is nowhere.
func (w *Watcher) Find(id FileID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inodes[id.inode()].path
}

// dirOf is the index of the watched directory that holds path, and -1 for none.
func (w *Watcher) dirOf(p string) (index int, rel string) {
	for i, d := range w.dirs {
		if rel, ok := strings.CutPrefix(p, strings.TrimSuffix(d.Path, "/")+"/"); ok {
			return i, rel
		}
	}
	return -1, ""
}

// wanted says whether a file or directory of this name can be or hold a dump.
func (d *Dir) wanted(rel string, isDir bool) bool {
	base := path.Base(rel)
	if strings.HasPrefix(base, ".") || base == "lost+found" && isDir {
		return false
	}
	if isDir {
		return true
	}
	for _, suffix := range []string{".tmp", ".part", ".partial", "~"} {
		if strings.HasSuffix(base, suffix) {
			return false
		}
	}
	return (len(d.Include) == 0 || matches(d.Include, rel)) && !matches(d.Exclude, rel)
}

// hidden says whether some directory on the way to rel is one that is not entered.
func (d *Dir) hidden(rel string) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if !d.wanted(dir, true) {
			return true
		}
	}
	return false
}

func matches(patterns []string, rel string) bool {
	for _, p := range patterns {
		name := path.Base(rel)
		if strings.Contains(p, "/") {
			name = rel
		}
		if ok, err := path.Match(p, name); ok && err == nil { // configs has refused bad patterns
			return true
		}
	}
	return false
}

// once logs a line the first time only.
func (w *Watcher) once(key string, log func(msg string, args ...any), msg string, args ...any) {
	if !w.told[key] {
		w.told[key] = true
		log(msg, args...)
	}
}

// trouble says once why something cannot be shipped, and keeps it for Scan.
func (w *Watcher) trouble(path, why string, err error) {
	if err != nil {
		why = fmt.Sprintf("%s: %v", why, err)
	}
	key, now := why+path, time.Now()
	if w.troubled[key].IsZero() {
		w.log.Error("this cannot be shipped", "path", path, "reason", why)
	}
	w.troubled[key] = now
	w.troubles[path] = why
	w.opts.Trouble(path, why)
}

func isRegular(mode fs.FileMode) bool { return mode&fs.ModeType == 0 }
