package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/providers"
	"offsite/providers/mem"
)

// Every backup is read once in thirty days, about a thirtieth of them each day and never more than the budget; what rots is found
// within that time, and told until it is whole again.
func TestTheScrubReadsEverythingInTime(t *testing.T) {
	const days = 30
	for _, budget := range []int64{0, 2500} {
		t.Run(fmt.Sprint("budget ", budget), func(t *testing.T) {
			h := newHost(t)
			h.onlyA, h.scrub = true, agent.Scrub{Every: days * 24 * time.Hour, Budget: budget}
			now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
			h.now = func() time.Time { return now }
			for i := range 60 {
				h.write(fmt.Sprintf("db_202601%02d_%02d0000.sql", i/2+1, i%2), 1000)
			}
			h.once()
			var log bytes.Buffer
			h.log = &log
			rotten := object(t, h.a, "db_20260115_000000.sql")
			whole := bytes.Clone(h.a.Objects()[rotten])
			flip(h.a, rotten, 700)
			read := regexp.MustCompile(`compared them" target=a backups=(\d+) bytes=(\d+)`)
			looked, found := 0, 0
			for day := 1; day <= days; day++ {
				now = now.Add(24 * time.Hour)
				log.Reset()
				s := h.once()
				if s.Targets[0].Damaged > 0 {
					found++
					if s.Complete() {
						t.Error("a run that found damage counts as complete")
					}
				}
				for _, m := range read.FindAllStringSubmatch(log.String(), -1) {
					n, _ := strconv.Atoi(m[1])
					bytes, _ := strconv.Atoi(m[2])
					looked += n
					if most := 60*1300/days + 1300; bytes > most || budget > 0 && int64(bytes) > budget {
						t.Errorf("day %d: read %d bytes", day, bytes)
					}
				}
				h.once() // a second run of the day reads nothing
			}
			if looked < 60 || looked > 60+days || found == 0 {
				t.Errorf("looked %d times, found damage on %d days", looked, found)
			}
			h.a.Set(rotten, whole)
			now = now.Add(24 * time.Hour)
			if s := h.once(); s.Targets[0].Damaged > 0 {
				t.Error("what is whole again is still told")
			}
		})
	}
}

// One backup that cannot be read, though the target answers, keeps nothing else from being read, and counts as damaged.
func TestTheScrubPassesWhatCannotBeRead(t *testing.T) {
	h := newHost(t)
	h.onlyA, h.scrub = true, agent.Scrub{Every: 5 * 24 * time.Hour}
	now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	h.now = func() time.Time { return now }
	for i := range 10 {
		h.write(fmt.Sprintf("db_202601%02d.sql", i+1), 1000)
	}
	h.once()
	unreadable := object(t, h.a, "db_20260101.sql")
	for i := 1; i < 10; i++ {
		flip(h.a, object(t, h.a, fmt.Sprintf("db_202601%02d.sql", i+1)), 700)
	}
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "get" && c.Name == unreadable {
			return fmt.Errorf("input/output error: %w", providers.ErrPermanent)
		}
		return nil
	})
	for range 6 {
		now = now.Add(24 * time.Hour)
		if s := h.once(); s.Complete() {
			t.Error("a run that could not read everything counts as complete")
		}
	}
	a := h.start()
	defer a.Close()
	s, err := a.Status()
	if err != nil || s.Targets[0].Damaged != 10 {
		t.Errorf("%d are damaged or cannot be read, want 10: %v", s.Targets[0].Damaged, err)
	}
}

// The service, too, reads what lies on the targets, and looks again when it is asked to: somebody may have mended it.
func TestTheServiceScrubs(t *testing.T) {
	h := newHost(t)
	h.onlyA, h.scrub = true, agent.Scrub{Every: 24 * time.Hour}
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC).Unix())
	h.now = func() time.Time { return time.Unix(clock.Load(), 0).UTC() }
	h.write("db_20260101.sql", 1000)
	h.once()
	name := object(t, h.a, "db_20260101.sql")
	whole := bytes.Clone(h.a.Objects()[name])
	flip(h.a, name, 700)
	clock.Add(48 * 3600)
	a := h.start()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	until := func(damaged int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			s, err := a.Status()
			if err != nil {
				t.Fatal(err)
			}
			clock.Add(1) // so that the journal is read again
			if s.Targets[0].Damaged == damaged {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d are damaged, not %d", s.Targets[0].Damaged, damaged)
			}
		}
	}
	until(1)
	h.a.Set(name, whole)
	a.Look(nil)
	until(0)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A target with backfill gets what it lost, and what rotted on it, from another; what the policy does not keep it does not get.
func TestBackfill(t *testing.T) {
	h := newHost(t)
	h.backfill, h.scrub = true, agent.Scrub{Every: 24 * time.Hour}
	now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	h.now = func() time.Time { return now }
	want := map[string][]byte{}
	for day := 1; day <= 6; day++ {
		name := fmt.Sprintf("db_2026010%d.sql", day)
		want[name] = h.write(name, 1000)
	}
	h.once()
	for name := range want {
		os.Remove(filepath.Join(h.dumps, name))
	}
	lost, rotten := object(t, h.a, "db_20260103.sql"), object(t, h.a, "db_20260104.sql")
	h.a.Set(lost, nil)
	h.a.Set(lost+".manifest", nil)
	flip(h.a, rotten, 700)
	now = now.Add(25 * time.Hour)
	h.once()
	h.check(h.a, want)

	h.a.Set(lost, nil)
	h.a.Set(lost+".manifest", nil)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 2} }
	now = now.Add(25 * time.Hour)
	h.once()
	for name := range h.a.Objects() {
		if strings.Contains(name, "20260103") {
			t.Errorf("%s came back, which the policy does not keep", name)
		}
	}
}
