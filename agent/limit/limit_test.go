package limit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/limit"
)

func TestTimetable(t *testing.T) {
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	table := limit.Timetable{Rate: 5, Zone: prague, Hours: []limit.Hours{{8 * 60, 18 * 60, 1}, {22*60 + 30, 6 * 60, 0}}}
	for at, want := range map[string]int64{
		"2026-11-23T06:59:59Z": 5, "2026-11-23T07:00:00Z": 1, "2026-11-23T16:59:59Z": 1, "2026-11-23T17:00:00Z": 5, // winter
		"2026-07-01T05:59:59Z": 5, "2026-07-01T06:00:00Z": 1, // summer
		"2026-11-23T21:29:59Z": 5, "2026-11-23T21:30:00Z": 0, "2026-11-23T23:00:00Z": 0, "2026-11-24T04:59:59Z": 0, "2026-11-24T05:00:00Z": 5,
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := table.At(now); got != want {
			t.Errorf("%s: %d, want %d", at, got, want)
		}
	}
	if limit.New(limit.Timetable{Hours: []limit.Hours{{0, 60, 0}}}, time.Now) != nil {
		t.Error("a limiter without a limit")
	}
}

// several reads through the limiter at once, each size bytes in pieces of the given size.
func several(t *testing.T, l *limit.Limiter, readers, size, piece int) {
	t.Helper()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			end, err := l.Open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer end()
			r := io.NewSectionReader(l.Reader(t.Context(), bytes.NewReader(make([]byte, size))), 0, int64(size))
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, piece))
			if err != nil || n != int64(size) {
				t.Error(n, err)
			}
		})
	}
	all.Wait()
}

func TestAllReadersShareTheRate(t *testing.T) {
	for _, rate := range []int64{40e3, 1e6, 20e6} {
		synctest.Test(t, func(t *testing.T) {
			l := limit.New(limit.Timetable{Rate: rate}, time.Now)
			begin := time.Now()
			size := int(rate) / 2 // of 8, together four seconds
			several(t, l, 8, size, 256<<10)
			want := 8 * float64(size) / float64(rate)
			if got := time.Since(begin).Seconds(); math.Abs(got-want) > 0.05*want {
				t.Errorf("%d bytes at %d a second took %.2f s, want %.2f", 8*size, rate, got, want)
			}
		})
	}
}

func TestTheRateChangesWithTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight, UTC
		l := limit.New(limit.Timetable{Rate: 10e6, Hours: []limit.Hours{{0, 1, 100e3}}}, time.Now)
		begin := time.Now()
		several(t, l, 4, 4e6, 64<<10) // 6 MB in the first minute, 10 MB in one second
		if got := time.Since(begin).Seconds(); math.Abs(got-61) > 2 {
			t.Errorf("took %.1f s, want 61", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := limit.New(limit.Timetable{Hours: []limit.Hours{{0, 1, 100e3}}}, time.Now)
		begin := time.Now()
		several(t, l, 4, 50e6, 1<<20)
		if got := time.Since(begin); got < time.Minute || got > time.Minute+3*time.Second {
			t.Errorf("took %v: outside of the hours there is no limit", got)
		}
	})
}

// A small rate is not divided so far that servers would take each stream for dead.
func TestFewStreamsAtASmallRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limit.New(limit.Timetable{Rate: 150e3}, time.Now)
		var ends []func()
		for range 2 {
			end, err := l.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := l.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third stream of 150 KB/s: %v", err)
		}
		ends[0]()
		ends[0]() // twice is once
		if end, err := l.Open(t.Context()); err != nil {
			t.Error(err)
		} else {
			end()
		}
		ends[1]()
	})
}

func TestNoLimit(t *testing.T) {
	var none *limit.Limiter
	several(t, none, 3, 1<<20, 1<<10)
	if err := none.Wait(t.Context(), 1<<30); err != nil {
		t.Error(err)
	}
}

func TestAReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := limit.New(limit.Timetable{Rate: 10}, time.Now)
	if _, err := l.Reader(ctx, bytes.NewReader(make([]byte, 1000))).ReadAt(make([]byte, 1000), 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
