package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"offsite/agent/dump"
)

// Each verdict waits for an fdatasync: of many small dumps they are written down together, or the manifests would wait for one after
// the other.
func TestVerdictsAreWrittenDownTogether(t *testing.T) {
	e := newExams(Health{Workers: 1}, nil, newPulse(time.Now))
	for i := range verdictsAtOnce {
		f, err := os.Create(filepath.Join(t.TempDir(), strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		x, err := e.begin(strconv.Itoa(i), f, 0)
		if err != nil {
			t.Fatal(err)
		}
		x.free()
		f.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var begun atomic.Int32
	err := e.run(ctx, func(string, dump.Report, error) error {
		if begun.Add(1) == verdictsAtOnce {
			cancel()
		}
		<-ctx.Done() // the others are there: one after the other, they never come
		return nil
	})
	if !errors.Is(err, context.Canceled) || begun.Load() != verdictsAtOnce {
		t.Errorf("%v: %d of %d verdicts were written down at once", err, begun.Load(), verdictsAtOnce)
	}
}

// An exam that finds its file when it is its turn, and cannot open it, is no verdict, unless the dump is gone.
func TestAnExamThatCannotOpenItsFile(t *testing.T) {
	for cause, again := range map[error]bool{os.ErrPermission: true, errVanished: false} {
		e := newExams(Health{Workers: 1}, func(string) (*os.File, error) { return nil, cause }, newPulse(time.Now))
		x, err := e.begin("id", nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		x.free()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		e.run(ctx, func(_ string, _ dump.Report, failure error) error {
			if !errors.Is(failure, cause) || errors.As(failure, new(*sourceFailure)) != again {
				t.Errorf("%v: %v, to be tried again: %v", cause, failure, !again)
			}
			cancel()
			return nil
		})
		if ctx.Err() != context.Canceled {
			t.Error("no verdict at all")
		}
		cancel()
	}
}
