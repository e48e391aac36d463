package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers/mem"
)

// A target is dead for a week, in which 200 dumps are made; the other goes on. When it is back it gets all of them, those
// that waited longest first, and the newest does not wait for the others.
func TestATargetIsDeadForAWeek(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	down(h.b)
	start := time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	for day := range 4 { // each run of the agent is a restart, too
		for i := range 50 {
			name := fmt.Sprintf("db%d_%s.sql", i%5, start.AddDate(0, 0, 2*day).Add(time.Duration(i)*30*time.Minute).Format("20060102_150405"))
			want[name] = h.write(name, 200+i)
		}
		if s := h.once(); s.Complete() || s.Targets[0].Failed > 0 {
			t.Fatalf("%+v", s)
		}
		h.check(h.a, want)
	}
	const atOnce = 16 // as many as go to a target
	var mu sync.Mutex
	var order []string
	all := make(chan struct{}) // the first ones wait for each other: whose turn comes first is the scheduler's business
	h.b.Fault(func(c mem.Call) error {
		name, isManifest := strings.CutSuffix(c.Name, ".manifest")
		n, err := vault.Parse(name)
		if err != nil || c.Op != "put" || isManifest {
			return nil
		}
		mu.Lock()
		order = append(order, n.Taken.Format("0102_1504"))
		if len(order) == atOnce {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-t.Context().Done():
		}
		return nil
	})
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.b, want)
	sorted := slices.Sorted(slices.Values(order))
	if first := order[:atOnce]; !slices.Contains(first, sorted[len(sorted)-1]) || !slices.Contains(first, sorted[0]) {
		t.Errorf("first went %q, want the oldest and the newest among them", first)
	}
	// One that is slow is passed by others: each of those that go at once may be so.
	var misplaced []string
	for i, when := range order[20:150] {
		if place := slices.Index(sorted, when); place < 150 && (place < i-30 || place > i+60) {
			misplaced = append(misplaced, fmt.Sprintf("%s was number %d to go, of the waiting it was number %d", when, i+20, place))
		}
	}
	if len(misplaced) > atOnce {
		t.Error(strings.Join(misplaced, "\n"))
	}
}

// A host whose clock is wrong by a year, in either direction, loses nothing, and when the clock is right again it goes on.
func TestTheClockIsWrongByAYear(t *testing.T) {
	for _, wrong := range []time.Duration{-365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		h := newHost(t)
		h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 3} }
		right := time.Now()
		h.now = func() time.Time { return right }
		stamp := func(days int) string {
			return fmt.Sprintf("db_%s.sql", right.AddDate(0, 0, days).Format("20060102_150405"))
		}
		for i := range 8 {
			h.write(stamp(i-10), 100+i)
		}
		h.once()
		before := h.backups(h.a)

		h.now = func() time.Time { return right.Add(wrong) }
		for i := range 3 {
			h.write(stamp(i-2), 200+i)
			if s := h.once(); !s.Complete() {
				t.Errorf("%v: %+v", wrong, s)
			}
		}
		after := h.backups(h.a)
		healthy := 0
		for _, name := range before {
			if slices.Contains(after, name) {
				healthy++
			}
		}
		if wrong < 0 && healthy != len(before) || healthy < 4 {
			t.Errorf("%v: of %q only %q are left", wrong, before, after)
		}

		h.now = func() time.Time { return right.Add(time.Hour) }
		last := fmt.Sprintf("db_%s.sql", right.Add(time.Minute).Format("20060102_150405"))
		h.write(last, 300)
		if s := h.once(); !s.Complete() {
			t.Errorf("%v: %+v", wrong, s)
		}
		if left := h.backups(h.a); !slices.Contains(left, last) {
			t.Errorf("%v: the dump of the right clock is not among %q", wrong, left)
		}
		h.check(h.b, h.allDumps())
	}
}

// allDumps are the dumps that lie on the disk.
func (h *host) allDumps() map[string][]byte {
	h.t.Helper()
	all := map[string][]byte{}
	entries, err := os.ReadDir(h.dumps)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(h.dumps, e.Name())); err != nil {
			h.t.Fatal(err)
		}
	}
	return all
}
