package agent

import (
	"testing"
	"time"

	"offsite/agent/journal"
)

// An agent that has nothing to do gives back what it does not need, once, and knows it again when it is asked.
func TestRestGivesBackAndNothingIsLost(t *testing.T) {
	w := crowdWorker(t, crowd{series: 2, each: 30})
	a := w.agent
	a.Zone, a.Targets, a.State, a.workers = time.UTC, []Target{w.target}, t.TempDir(), []*worker{w}
	a.underway = newUnderway(nil, a.Now, &a.changed)
	a.memory = newMemory(64<<20, 16<<20, 1)
	w.share = &share{memory: a.memory}
	b, give, err := w.share.take(t.Context(), 2<<20)
	if err != nil || len(b) == 0 {
		t.Fatal(err)
	}
	give()
	before, err := a.SeriesStatus("database-000")
	if err != nil || len(before.Backups) != 30 {
		t.Fatal(err)
	}
	var r rest
	r.look(a)
	if len(w.share.memory.pool) != 1 || a.knowledge.facts.brief {
		t.Error("it rests before anybody knows that nothing goes on")
	}
	r.look(a)
	if len(w.share.memory.pool) != 0 || !a.knowledge.facts.brief {
		t.Error("nothing was given back")
	}
	h, err := a.Status()
	if err != nil || h.Targets[0].Backups != 60 || !a.knowledge.facts.brief {
		t.Errorf("the status needs no more, and is the same: %+v, %v", h.Targets, err)
	}
	after, err := a.SeriesStatus("database-000")
	if err != nil || len(after.Backups) != 30 || after.Backups[0].Name != before.Backups[0].Name {
		t.Errorf("one by one: %d backups, %v", len(after.Backups), err)
	}
	rested := r.rested
	r.look(a)
	r.look(a)
	if r.rested == rested {
		t.Error("what was read anew stays")
	}
	if err := a.journal.Add(&journal.Dump{ID: "00000001", Path: "/x", Series: "database-000", Found: a.Now(), Taken: a.Now()}); err != nil {
		t.Fatal(err)
	}
	rested = r.rested
	if r.look(a); r.rested != rested {
		t.Error("it rests while something goes on")
	}
}
