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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
