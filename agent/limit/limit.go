// Package limit holds transfers to a target back to a rate, by the hour of the day.
package limit

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Timetable says how many bytes a second are allowed at each hour. The zero Timetable is no limit.
type Timetable struct {
	// Rate in bytes a second, outside of Hours; 0: no limit.
	Rate int64
	// Hours do not overlap.
	Hours []Hours
	// Zone in which the hours are meant; nil: UTC.
	Zone *time.Location
}

// Hours are a part of each day.
type Hours struct {
	// From and To are minutes since midnight by the clock on the wall, From included, To not; From after To goes past
	// midnight.
	From, To int
	// Rate in bytes a second; 0: no limit.
	Rate int64
}

// Unlimited says that there is no limit at any hour.
func (t Timetable) Unlimited() bool {
	for _, h := range t.Hours {
		if h.Rate != 0 {
			return false
		}
	}
	return t.Rate == 0
}

// At is the rate at that instant, 0: no limit.
func (t Timetable) At(now time.Time) int64 {
	zone := t.Zone
	if zone == nil {
		zone = time.UTC
	}
	now = now.In(zone)
	minute := now.Hour()*60 + now.Minute()
	for _, h := range t.Hours {
		if h.From < h.To && h.From <= minute && minute < h.To || h.From > h.To && (minute >= h.From || minute < h.To) {
			return h.Rate
		}
	}
	return t.Rate
}

const (
	// breath is how much of a rate may pass at once: short enough that a new hour's rate holds at once.
	breath = time.Second / 20
	// stream is the rate, in bytes a second, below which servers take a stream for dead: what is allowed is divided
	// among so few streams that each has that.
	stream = 64 << 10
	// maxStreams is no limit in practice: memory ends before.
	maxStreams = 256
)

// Limiter holds all that is read through it together back to the rate of the hour. A nil Limiter holds nothing back.
type Limiter struct {
	table Timetable
	now   func() time.Time

	mu      sync.Mutex
	bucket  *rate.Limiter
	current int64 // the bucket's rate
	streams int   // that are open
	changed chan struct{}
}

// New returns a limiter; nil if the timetable is no limit.
func New(table Timetable, now func() time.Time) *Limiter {
	if table.Unlimited() {
		return nil
	}
	return &Limiter{table: table, now: now, bucket: rate.NewLimiter(0, 0), changed: make(chan struct{})}
}

// Open waits until one more stream has enough of the rate to live on. end must be called when it has ended.
func (l *Limiter) Open(ctx context.Context) (end func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	for {
		allowed, _ := l.refresh()
		l.mu.Lock()
		changed := l.changed
		if l.streams < allowed {
			l.streams++
			l.mu.Unlock()
			return sync.OnceFunc(l.end), nil
		}
		l.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(time.Minute): // another hour may allow more
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// end gives back the place of a stream.
func (l *Limiter) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
	close(l.changed)
	l.changed = make(chan struct{})
}

// refresh sets the bucket to the rate of the hour, and says how many streams that allows, and how many bytes at once; 0
// bytes: there is no limit now.
func (l *Limiter) refresh() (streams, burst int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := l.table.At(l.now())
	if bytes == 0 {
		l.current = 0
		return maxStreams, 0
	}
	burst = max(1, int(float64(bytes)*breath.Seconds()))
	if bytes != l.current {
		l.current = bytes
		l.bucket = rate.NewLimiter(rate.Limit(bytes), burst)
	}
	return min(maxStreams, max(1, int(bytes/stream))), burst
}

// Wait returns when n more bytes may pass.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	for l != nil && n > 0 {
		_, burst := l.refresh()
		if burst == 0 {
			return nil
		}
		l.mu.Lock()
		bucket := l.bucket
		l.mu.Unlock()
		some := min(n, burst)
		if err := bucket.WaitN(ctx, some); err != nil {
			return err
		}
		n -= some
	}
	return nil
}

// Reader is r, held back. Its reads fail when ctx ends.
func (l *Limiter) Reader(ctx context.Context, r io.ReaderAt) io.ReaderAt {
	if l == nil {
		return r
	}
	return readerAt(func(p []byte, off int64) (int, error) {
		n, err := r.ReadAt(p, off)
		if waitErr := l.Wait(ctx, n); waitErr != nil {
			return 0, waitErr
		}
		return n, err
	})
}

type readerAt func(p []byte, off int64) (int, error)

// ReadAt is the function itself.
func (read readerAt) ReadAt(p []byte, off int64) (int, error) { return read(p, off) }
