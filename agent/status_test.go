package agent_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/agent/status"
)

// Whoever asks without an agent gets what the last one knew, and that none runs.
func TestStatusWithoutAnAgent(t *testing.T) {
	y := newYear(t)
	y.scrub = agent.Scrub{Every: 2 * 24 * time.Hour}
	y.days(8, "shop", "sub")
	asked := func() *status.Host {
		t.Helper()
		o := y.options([]agent.Target{{Name: "a", Location: "mem:a", Scrub: y.scrub}, {Name: "b", Location: "mem:b"}}, io.Discard)
		a, err := agent.OpenToRead(o)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		s, err := a.Status()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := asked()
	if s.Running || s.Level != status.OK || len(s.Series) != 2 || len(s.Alarms) != 0 {
		t.Fatalf("%+v", s)
	}
	shop := s.Series[0]
	if shop.Last == nil || shop.Last.Size != 1000 || !shop.Last.Taken.Equal(y.now) || len(shop.Sizes) != 8 || !shop.Due.Equal(y.now.Add(24*time.Hour)) || shop.Usual != 24*time.Hour {
		t.Errorf("%+v", shop)
	}
	if c := shop.On[1]; c.Target != "b" || c.Backups != 8 || !c.Newest.Equal(y.now) || !c.Offsite.Equal(y.now) || c.Stored == 0 {
		t.Errorf("%+v", c)
	}
	if a := s.Targets[0]; a.Backups != 16 || a.Proven == 0 || !a.Delivered.Equal(y.now) {
		t.Errorf("%+v", a)
	}
	y.now = y.now.Add(49 * time.Hour)
	s = asked()
	if s.Level != status.Problem || s.Alarms[0].Kind != status.KindStopped || len(s.Alarms) != 3 {
		t.Errorf("two days later: %+v", s.Alarms)
	}
}

// Whoever asks while no agent runs hears of what the last one could not deliver, and of what only it can say is over.
func TestNoAgentIsNoAllClear(t *testing.T) {
	y := newYear(t)
	y.days(2, "shop")
	down(y.b)
	y.now = y.now.Add(24 * time.Hour)
	y.dump("shop", 1000)
	y.write("empty.sql", 0)
	if err := os.Chtimes(filepath.Join(y.dumps, "empty.sql"), y.now.Add(-24*time.Hour), y.now.Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	y.once()
	y.now = y.now.Add(2 * time.Hour)
	a, err := agent.OpenToRead(y.options([]agent.Target{{Name: "a", Location: "mem:a"}, {Name: "b", Location: "mem:b"}}, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s, err := a.Status()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, l := range s.Alarms {
		keys = append(keys, l.Key)
	}
	if got := strings.Join(keys, " "); got != "failing/b unsent/stuck" {
		t.Errorf("%s", got)
	}
}

// Days, tiers and silences of a known history.
func TestTheYearOfASeries(t *testing.T) {
	y := newYear(t)
	y.policy = func(string) retention.Policy { return retention.Policy{Daily: 3, Monthly: 2} }
	y.days(40, "shop")
	y.now = y.now.Add(3 * 24 * time.Hour) // three days of silence
	y.days(2, "shop")
	a := y.start()
	defer a.Close()
	d, err := a.SeriesStatus("shop")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Days) != 365 || d.Days[364].Date != y.now.Format(time.DateOnly) {
		t.Fatalf("%d days, the last is %s", len(d.Days), d.Days[364].Date)
	}
	var missing, kept, gone []string
	for _, day := range d.Days {
		switch {
		case day.Missing:
			missing = append(missing, day.Date)
		case day.Tier != "":
			kept = append(kept, day.Date+" "+day.Tier)
		case day.Dumps > 0:
			gone = append(gone, day.Date)
		}
	}
	if got := strings.Join(missing, " "); got != "2026-04-12 2026-04-13 2026-04-14" {
		t.Errorf("missing: %s", got)
	}
	// Target b keeps everything, so that every day is kept by something.
	if len(gone) != 0 || len(kept) != 42 || kept[41] != "2026-04-16 monthly" || kept[40] != "2026-04-15 daily" || kept[0] != "2026-03-03 other" {
		t.Errorf("kept %q, gone %q", kept, gone)
	}
	var next []string
	for _, r := range d.Next {
		next = append(next, r.Target+" "+r.Taken.Format(time.DateOnly))
	}
	if got := strings.Join(next, " "); got != "a 2026-04-11" {
		t.Errorf("next to go: %s", got)
	}
	if b := d.Backups[0]; len(b.On) != 2 || b.On[0].Target != "a" || len(b.On[0].Tiers) == 0 || b.Size != 1000 || b.Health == "" {
		t.Errorf("%+v", b)
	}
	if _, err := a.SeriesStatus("nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
