package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"offsite/agent/dump"
)

// Health is how closely dumps are looked at.
type Health struct {
	// Workers is how many dumps are examined at once, each on one processor; less than 1 counts as 1.
	Workers int
	// FullBelow is the size from which on a packed dump is not unpacked, in bytes; 0: every dump is.
	FullBelow int64
}

// exams are the dumps whose bytes are being examined, beside the uploads and never in their way: an exam follows the bytes
// that an upload has read, out of the system's cache. Where unpacking is slower than the link, it could not have a verdict for
// the manifest anyway: then it leaves the processors to the upload, and goes on when that has read everything.
type exams struct {
	Health
	open  func(id string) (*os.File, error)
	pulse *pulse

	mu      sync.Mutex
	by      map[string]*exam // all that have begun or wait
	opened  int              // those that have their file
	waiting []*exam
	changed chan struct{} // closed and renewed when there is one more or one less
}

// exam is one dump under examination.
type exam struct {
	id   string
	file *os.File // nil: opened when it is its turn
	size int64
	done chan struct{} // closed when the verdict is there, or when there will be none

	mu      sync.Mutex
	next    int64         // what was examined
	allowed int64         // what may be
	waits   bool          // somebody waits for changed
	changed chan struct{} // closed when allowed has changed and somebody waits
}

// maxWaitingFiles bounds the descriptors of the exams that wait; more of them find their files when it is their turn.
const maxWaitingFiles = 256

// newExams has open find the file of a dump again; the caller of open closes it.
func newExams(h Health, open func(id string) (*os.File, error), p *pulse) *exams {
	h.Workers = max(1, h.Workers)
	return &exams{Health: h, open: open, pulse: p, by: map[string]*exam{}, changed: make(chan struct{})}
}

// begin queues a dump that has no verdict yet; its exam goes as far as it is allowed to. file is the dump when it is open
// already, and stays the caller's: an exam that keeps it can end when the dump has been deleted.
func (e *exams) begin(id string, file *os.File, size int64) (*exam, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.by[id]; x != nil {
		return x, nil
	}
	x := &exam{id: id, size: size, done: make(chan struct{}), changed: make(chan struct{})}
	if file != nil && e.opened < maxWaitingFiles {
		var err error
		if x.file, err = duplicate(file); err != nil {
			return nil, err
		}
		e.opened++
	}
	e.by[id] = x
	e.waiting = append(e.waiting, x)
	e.wake()
	return x, nil
}

// has says whether a dump is being examined, or waits for it.
func (e *exams) has(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.by[id] != nil
}

// duplicate is a descriptor of its own for an open file.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (e *exams) wake() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// verdictsAtOnce is how many verdicts are written down at once: they share an fdatasync, and the examiner goes on meanwhile.
const verdictsAtOnce = 16

// run examines until ctx ends; an exam that is cut off by that begins again at the next start. judge gets each verdict, several at
// once; its error ends all.
func (e *exams) run(ctx context.Context, judge func(id string, r dump.Report, failure error) error) error {
	group, ctx := errgroup.WithContext(ctx)
	judging := make(chan struct{}, verdictsAtOnce)
	for range e.Workers {
		group.Go(func() error {
			l := e.pulse.begin("an examiner")
			defer l.ends()
			examiner := newExaminer(ctx, e, l)
			defer examiner.close()
			for {
				x, err := e.take(ctx, l)
				if err != nil {
					return err
				}
				report, failure := examiner.examine(x)
				if ctx.Err() != nil {
					e.end(x)
					return ctx.Err()
				}
				judging <- struct{}{}
				group.Go(func() error {
					defer func() { <-judging }()
					defer e.end(x)
					return judge(x.id, report, failure)
				})
			}
		})
	}
	err := group.Wait()
	e.mu.Lock()
	left := e.waiting
	e.waiting = nil
	e.mu.Unlock()
	for _, x := range left {
		e.end(x)
	}
	return err
}

// take waits for the next exam.
func (e *exams) take(ctx context.Context, l *loop) (*exam, error) {
	for {
		l.turns()
		e.mu.Lock()
		if len(e.waiting) > 0 {
			x := e.waiting[0]
			e.waiting = e.waiting[1:]
			e.mu.Unlock()
			return x, nil
		}
		changed := e.changed
		e.mu.Unlock()
		l.rests(idle)
		if err := sleep(ctx, idle, changed); err != nil {
			return nil, err
		}
	}
}

func (e *exams) end(x *exam) {
	e.mu.Lock()
	if x.file != nil {
		x.file.Close()
		e.opened--
	}
	delete(e.by, x.id)
	e.wake()
	e.mu.Unlock()
	close(x.done)
}

// find opens the dump of an exam that has no file yet. A *sourceFailure says that this may be tried again.
func (e *exams) find(x *exam) error {
	if x.file != nil {
		return nil
	}
	file, err := e.open(x.id)
	if err != nil && !isGone(err) {
		err = &sourceFailure{err}
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	x.file = file
	e.opened++
	return nil
}

// idle waits until nothing is left to examine.
func (e *exams) idle(ctx context.Context) error {
	for {
		e.mu.Lock()
		left, changed := len(e.by), e.changed
		e.mu.Unlock()
		if left == 0 {
			return nil
		}
		if err := sleep(ctx, 0, changed); err != nil {
			return err
		}
	}
}

// examiner is a thread of the lowest priority that examines one dump after the other: uploads go first.
type examiner struct {
	dumps    chan *exam
	verdicts chan verdict
}

type verdict struct {
	report  dump.Report
	failure error
}

// newExaminer starts the thread. It ends with close.
func newExaminer(ctx context.Context, all *exams, l *loop) *examiner {
	e := &examiner{make(chan *exam), make(chan verdict)}
	go func() {
		defer close(e.verdicts)
		runtime.LockOSThread()                     // and never unlocked: the thread ends with this function
		unix.Setpriority(unix.PRIO_PROCESS, 0, 19) // of this thread alone; that it fails is no harm
		for x := range e.dumps {
			var v verdict
			if v.failure = all.find(x); v.failure == nil {
				v.report, v.failure = dump.Examine(&following{stop: ctx.Done(), exam: x, loop: l}, x.size, dump.Limits{FullBelow: all.FullBelow})
			}
			e.verdicts <- v
		}
	}()
	return e
}

// examine is for one caller at a time.
func (e *examiner) examine(x *exam) (dump.Report, error) {
	e.dumps <- x
	v := <-e.verdicts
	return v.report, v.failure
}

func (e *examiner) close() {
	close(e.dumps)
	<-e.verdicts
}

// advance allows the exam n bytes more.
func (x *exam) advance(n int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.allowed = min(x.size, x.allowed+n)
	if x.waits {
		x.waits = false
		close(x.changed)
		x.changed = make(chan struct{})
	}
}

// free allows all of the dump.
func (x *exam) free() { x.advance(x.size) }

// Write counts what an upload reads, so that an exam can be a tap of the sealing.
func (x *exam) Write(p []byte) (int, error) {
	x.advance(int64(len(p)))
	return len(p), nil
}

// errChanged: the file became shorter while it was examined.
var errChanged = errors.New("the dump changed while it was looked at")

// following reads the dump as far as it is allowed, and waits for more.
type following struct {
	stop   <-chan struct{}
	exam   *exam
	loop   *loop
	behind bool // too far, and until the upload has read everything
}

// maxLag is how far an exam may be behind an upload and still keep up with it.
const maxLag = 32 << 20

// Read waits until it may read. When the agent stops, it is context.Canceled.
func (f *following) Read(p []byte) (int, error) {
	x := f.exam
	for {
		f.loop.turns()
		if x.next == x.size {
			return 0, io.EOF
		}
		allowed, changed := f.may()
		if x.next < allowed {
			n, err := x.file.ReadAt(p[:min(int64(len(p)), allowed-x.next)], x.next)
			x.next += int64(n)
			if n > 0 {
				return n, nil
			}
			if errors.Is(err, io.EOF) {
				err = errChanged
			}
			return 0, err
		}
		f.loop.asks() // the upload, to read further
		select {
		case <-changed:
		case <-f.stop:
			return 0, context.Canceled
		}
	}
}

// may is how far the exam may read now, and what to wait for if it has got there.
func (f *following) may() (allowed int64, changed <-chan struct{}) {
	x := f.exam
	x.mu.Lock()
	defer x.mu.Unlock()
	f.behind = x.allowed < x.size && (f.behind || x.allowed-x.next > maxLag)
	allowed = x.allowed
	if f.behind {
		allowed = x.next
	}
	x.waits = x.waits || x.next >= allowed
	return allowed, x.changed
}
