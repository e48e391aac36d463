package agent

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
)

// crowd is a target that lists backups without holding them: a dump each day of each series.
type crowd struct {
	providers.Target
	series, each int
}

func (c crowd) List(_ context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		stored := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		for s := range c.series {
			series := fmt.Sprintf("database-%03d", s)
			for i := range c.each {
				taken := time.Date(2025, 7, 1+i, 3, 0, 0, 0, time.UTC)
				n := vault.Name{Host: "db-server", Series: series, Taken: taken, ID: fmt.Sprintf("%04x%04x", s, i), File: series + taken.Format("_20060102.sql.gz")}
				if !strings.HasPrefix(n.String(), prefix) {
					continue
				}
				if !yield(providers.Object{Name: n.String(), Size: 1 << 20, Modified: stored}, nil) || !yield(providers.Object{Name: n.Manifest(), Size: 2000, Modified: stored}, nil) {
					return
				}
			}
		}
	}
}

// BenchmarkPlanFromAListing plans for a target whose manifests have been read before: the listing of all objects, what the
// journal remembers of each, the plans. Ten times as many should take ten times as long.
func BenchmarkPlanFromAListing(b *testing.B) {
	for _, each := range []int{50, 500} {
		b.Run(fmt.Sprintf("%d backups in 200 series", 200*each), func(b *testing.B) {
			w := crowdWorker(b, crowd{series: 200, each: each})
			b.ReportAllocs()
			var all []SeriesPlan
			before := heap()
			for b.Loop() {
				h, err := w.history(b.Context(), "")
				if err != nil {
					b.Fatal(err)
				}
				kept, removed := 0, 0
				all = w.plans(h)
				for _, p := range all {
					kept, removed = kept+len(p.Keep), removed+len(p.Remove)
				}
				if kept+removed != 200*each || removed == 0 {
					b.Fatal(kept, removed)
				}
			}
			b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-held")
			runtime.KeepAlive(all)
		})
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what had a finalizer goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// crowdWorker is a worker whose journal knows all that the target lists.
func crowdWorker(b testing.TB, target crowd) *worker {
	j, err := journal.Open(filepath.Join(b.TempDir(), "journal.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { j.Close() })
	policy := retention.Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: retention.Forever, MinKeep: 3}
	a := &Agent{Options: Options{Host: "db-server", Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, journal: j}
	w := newWorker(a, Target{Name: "crowd", Target: target, Policy: func(string) retention.Policy { return policy }}, nil)
	verdicts := map[string]journal.Verdict{}
	for e, err := range w.vault.List(b.Context(), "db-server") {
		if err != nil {
			b.Fatal(err)
		}
		verdicts[e.Name.String()] = journal.Verdict{Version: w.version(e), Stored: e.Stored, Found: e.Taken}
	}
	if err := j.SetVerdicts("crowd", verdicts); err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkStatus is the status of a host with 50 series, all on one target, as it is read from the journal of an agent that does not run;
// what it costs a running one that knows all; the year of all series for the page; and what retention will remove next. Ten times as many
// backups should take ten times as long.
func BenchmarkStatus(b *testing.B) {
	for _, each := range []int{200, 2000} {
		b.Run(fmt.Sprintf("%d backups", 50*each), func(b *testing.B) { benchmarkStatus(b, each) })
	}
}

func benchmarkStatus(b *testing.B, each int) {
	w := crowdWorker(b, crowd{series: 50, each: each})
	a := w.agent
	w.target.Retention = Enforce
	a.Zone, a.Targets, a.State = time.UTC, []Target{w.target}, b.TempDir()
	a.underway = newUnderway(nil, a.Now, &a.changed)
	var dumps []*journal.Dump
	for e, err := range w.vault.List(b.Context(), "db-server") {
		if err != nil {
			b.Fatal(err)
		}
		dumps = append(dumps, &journal.Dump{
			ID: e.ID, Path: "/dumps/" + e.File, File: journal.File{Ino: uint64(len(dumps)), Size: 1 << 20}, Series: e.Series, Taken: e.Taken, Found: e.Taken, Name: e.File, Object: e.Object,
			Health: &journal.Health{State: "ok"}, Targets: map[string]journal.Delivery{w.target.Name: {State: journal.Delivered, Object: e.Object, At: e.Taken}},
		})
	}
	if err := a.journal.Add(dumps...); err != nil {
		b.Fatal(err)
	}
	dumps = nil
	for _, part := range []struct {
		name string
		do   func() (series int, err error)
	}{
		{"afresh", func() (int, error) {
			a.knowledge.facts = nil
			h, err := a.Status()
			if err == nil && h.Targets[0].Backups != 50*each {
				err = fmt.Errorf("%d backups", h.Targets[0].Backups)
			}
			return len(h.Series), err
		}},
		{"again", func() (int, error) { h, err := a.Status(); return len(h.Series), err }},
		{"years", func() (int, error) { days, err := a.Days(); return len(days), err }},
		{"next", func() (int, error) { next, err := a.Next(); return len(next), err }},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			before := heap()
			for b.Loop() {
				if n, err := part.do(); err != nil || n != 50 && part.name != "next" {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-held")
		})
	}
}
