package agent

import (
	"testing"
	"time"

	"offsite/agent/journal"
)

// What lies on the disk at the start comes in several transactions, each with a newest dump: one run is told, that of the newest of all.
func TestAHistoryIsOneRun(t *testing.T) {
	var r runs
	r.gather()
	for day := range 3 {
		r.follow(&journal.Dump{ID: string(rune('a' + day)), Series: "shop", Name: time.Date(2026, 3, 1+day, 0, 0, 0, 0, time.UTC).Format("shop_20060102.sql")}, true)
	}
	if got := r.take(); len(got) != 0 {
		t.Errorf("told before all was found: %v", got)
	}
	r.gathered()
	if got := r.take(); len(got) != 1 || got[0].text != "found shop_20260303.sql, 0 B" || !r.follows("c") || r.follows("a") {
		t.Errorf("%v", got)
	}
	r.follow(&journal.Dump{ID: "d", Series: "shop", Name: "shop_20260304.sql"}, true)
	if got := r.take(); len(got) != 1 || !r.follows("d") {
		t.Errorf("%v", got)
	}
}
