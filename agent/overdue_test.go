package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/drill"
	"offsite/agent/status"
)

type monthly struct{}

func (monthly) Next(done time.Time) time.Time { return done.AddDate(0, 0, 30) }

func TestDrillsAreTold(t *testing.T) {
	y := newYear(t)
	y.drills = map[string]agent.Drill{"shop": {Schedule: monthly{}, Covers: func(s string) bool { return s == "shop" }}}
	y.days(1, "shop", "blog")
	setup := false
	record := func(reason string) {
		b, err := drill.OpenBook(y.state)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		r := drill.Record{Series: "shop", Target: "a", Name: "shop.sql", Taken: y.now, Result: drill.Result{Began: y.now, Took: time.Minute, Bytes: 1000, Rows: 7, Reason: reason, Setup: setup}}
		if err := b.Add("shop", r); err != nil {
			t.Fatal(err)
		}
	}
	record("relation users does not exist")
	y.now = y.now.Add(time.Minute)
	y.once()
	if got := y.ear.news(); got != "drill/shop/shop begun" {
		t.Errorf("failed: %q", got)
	}
	if d := y.status(); !strings.Contains(texts(d.Alarms), "could not be restored from a: relation users does not exist") {
		t.Error(texts(d.Alarms))
	}
	setup = true
	record("psql is not installed here")
	y.once()
	if d := y.status(); !d.Drills[0].Last.Setup || !strings.Contains(texts(d.Alarms), "drill shop could not be run, which says nothing of the backup: psql is not installed here") {
		t.Error(texts(d.Alarms))
	}
	setup = false
	record("")
	y.once()
	if got := y.ear.news(); got != "drill/shop/shop over" {
		t.Errorf("passed: %q", got)
	}
	y.now = y.now.Add(30 * 24 * time.Hour)
	y.once()
	if got := y.ear.news(); got != "" {
		t.Errorf("in time: %q", got)
	}
	y.now = y.now.Add(5 * 24 * time.Hour)
	y.once()
	if got := y.ear.news(); got != "drill/shop/shop begun" {
		t.Errorf("overdue: %q", got)
	}
	d := y.status().Drills
	if len(d) != 1 || !d[0].Overdue || len(d[0].Trend) != 3 || d[0].Last.Rows != 7 || d[0].Level != status.Warning {
		t.Errorf("%+v", d)
	}
	if err := os.WriteFile(filepath.Join(y.state, "drills.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "drill/records begun") {
		t.Errorf("no records: %q", got)
	}
}
