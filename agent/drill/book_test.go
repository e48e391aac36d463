package drill_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"offsite/agent/drill"
	"offsite/configs"
)

func TestTheBookRemembers(t *testing.T) {
	state := t.TempDir()
	b, err := drill.OpenBook(state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := drill.OpenBook(state); !errors.Is(err, drill.ErrBusy) {
		t.Error(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 60 {
		r := drill.Record{Series: fmt.Sprint("s", i%2), Target: "nas", Result: drill.Result{Began: begin.AddDate(0, 0, i), Checks: []drill.Checked{{SQL: "q", Got: fmt.Sprint(i)}}}}
		if i > 50 {
			r.Reason = "broken"
		}
		if err := b.Add("shop", r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		if err := b.Add("shop", drill.Record{Series: "s2", Result: drill.Result{Began: begin.AddDate(0, 0, i)}}); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	b, err = drill.OpenBook(state)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if n := len(b.Records("shop", "s2")); n != 50 {
		t.Errorf("%d are remembered", n)
	}
	s0 := b.Records("shop", "s0")
	if last := drill.LastPassed(s0); len(s0) != 30 || last == nil || drill.Values(s0)[drill.Asked{SQL: "q"}] != "50" {
		t.Errorf("%d %+v", len(s0), drill.Values(s0))
	}
	if left, _ := filepath.Glob(filepath.Join(state, "*.new")); len(left) > 0 {
		t.Error(left)
	}
	os.WriteFile(filepath.Join(state, "drills.json"), []byte("{"), 0o600)
	if _, err := drill.ReadBook(state); err == nil {
		t.Error("a damaged book is read")
	}
}

func TestDue(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const days = 24 * time.Hour
	record := func(ago time.Duration, reason string) []drill.Record {
		return []drill.Record{{Result: drill.Result{Began: now.Add(-ago), Reason: reason}}}
	}
	var monthly configs.Schedule
	if err := monthly.UnmarshalText([]byte("30d")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		records []drill.Record
		want    bool
	}{
		{nil, true}, {record(29*days, ""), false}, {record(30*days-time.Hour, ""), true}, {record(31*days, ""), true},
		{record(23*time.Hour, "broken"), true}, {record(time.Hour, "broken"), false}, {record(-400*days, ""), true},
	} {
		if got := drill.Due(c.records, monthly, now); got != c.want {
			t.Errorf("%+v: %v", c.records, got)
		}
	}
}

// A calendar event counts in the zone that is asked in, to the second.
func TestDueAtACalendarEvent(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var sunday configs.Schedule
	if err := sunday.UnmarshalText([]byte("Sun 03:00")); err != nil {
		t.Fatal(err)
	}
	records := []drill.Record{{Result: drill.Result{Began: time.Date(2026, 3, 1, 2, 0, 7, 0, time.UTC)}}}
	if at := time.Date(2026, 3, 8, 2, 59, 59, 0, berlin); drill.Due(records, sunday, at) {
		t.Error("due before its time")
	}
	if at := time.Date(2026, 3, 8, 3, 0, 0, 0, berlin); !drill.Due(records, sunday, at) {
		t.Error("not due at its time")
	}
	records[0].Reason = "broken"
	if at := time.Date(2026, 3, 2, 3, 0, 0, 0, berlin); !drill.Due(records, sunday, at) {
		t.Error("not tried again the next day")
	}
}

// Who may write to the state directory must not have root write elsewhere.
func TestALinkBesideTheBookLeadsNowhere(t *testing.T) {
	state := t.TempDir()
	b, err := drill.OpenBook(state)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	victim := filepath.Join(state, "victim")
	if err := os.Symlink(victim, filepath.Join(state, "drills.json.new")); err != nil {
		t.Fatal(err)
	}
	err = b.Add("shop", drill.Record{Series: "s"})
	if _, there := os.Lstat(victim); there == nil || err == nil {
		t.Errorf("it was written where a link led: %v", err)
	}
}
