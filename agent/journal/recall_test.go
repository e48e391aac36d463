package journal

import (
	"fmt"
	"testing"
	"time"
)

// What is remembered of a dump is what the file has, whatever callers do with what they got.
func TestWhatIsRecalledIsWhatIsInTheFile(t *testing.T) {
	j, _ := newJournal(t)
	defer j.Close()
	for i := range 3 * maxRecalled { // more than are remembered
		if err := j.Add(owed(fmt.Sprintf("%08x", i), uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	first, err := j.ByID("00000001")
	if err != nil {
		t.Fatal(err)
	}
	first.Targets["a"] = Delivery{State: Lost}
	first.Health = &Health{State: "spoilt"}
	if d, err := j.ByID("00000001"); err != nil || d.Targets["a"].State != Owed || d.Health != nil {
		t.Errorf("a caller has changed what another one reads: %+v, %v", d, err)
	}

	failed := func(d *Dump) { d.File.Ino = 7; d.Path = ""; d.Targets["a"] = Delivery{State: Delivered} }
	if _, err := j.Update("00000001", failed); err == nil { // bbolt takes no empty key
		t.Fatal("a dump without a path was written")
	}
	if d, err := j.ByID("00000001"); err != nil || d.Targets["a"].State != Owed || d.Path == "" {
		t.Errorf("a change that failed is remembered: %+v, %v", d, err)
	}
	when := time.Date(2026, 11, 26, 3, 0, 1, 0, time.UTC)
	if _, err := j.Update("00000001", func(d *Dump) {
		d.Health = &Health{State: "ok", Accepted: when}
		d.Targets["a"] = Delivery{State: Delivered, At: when}
	}); err != nil {
		t.Fatal(err)
	}
	d, err := j.ByID("00000001")
	if err != nil || d.Targets["a"].State != Delivered || d.Health == nil || !d.Health.Accepted.Equal(when) {
		t.Errorf("%+v, %v", d, err)
	}
	d.Health.State = "spoilt"
	if d, err := j.ByID("00000001"); err != nil || d.Health.State != "ok" {
		t.Errorf("a caller has changed what another one reads: %+v, %v", d.Health, err)
	}
}
