package agent_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"offsite/agent/retention"
	"offsite/providers/mem"
)

// With years of dumps in the directory the service, too, ships only what retention would keep.
func TestTheServiceAdoptsByPolicy(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 3} }
	var clock atomic.Int64 // goes on, so that the journal is read again
	h.now = func() time.Time { return time.Date(2026, 5, 1, 0, 0, int(clock.Add(1)), 0, time.UTC) }
	for i := range 90 {
		h.write(time.Date(2026, 1, 1+i, 3, 0, 0, 0, time.UTC).Format("db_20060102_150405.sql"), 1000)
	}
	time.Sleep(20 * time.Millisecond) // twice what a dump takes to settle: they had been there for long
	a := h.start()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s, err := a.Status()
		if err != nil {
			t.Fatal(err)
		}
		if s.Targets[0].Owed == 0 && len(s.Series) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d are owed, %d are there", s.Targets[0].Owed, len(h.a.Objects())/2)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// What retention looks at meanwhile may let a few more through, which it removes again; not the years.
	if n := h.a.Calls("put") / 2; n > 20 {
		t.Errorf("%d dumps were shipped, of 90, and 3 are to stay", n)
	}
}

// A target that does not answer when it is asked which dumps of the past it takes keeps no new dump from the others.
func TestASilentTargetHoldsUpNoDiscovery(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 3} }
	for i := range 9 {
		h.write(time.Date(2026, 1, 1+i, 3, 0, 0, 0, time.UTC).Format("db_20060102_150405.sql"), 1000)
	}
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	lists := 0
	var mu sync.Mutex
	h.a.Fault(func(c mem.Call) error {
		mu.Lock()
		if c.Op == "list" {
			lists++
		}
		silent := c.Op == "list" && lists > 2 // the survey and the first look have their answers
		mu.Unlock()
		if silent {
			asked <- struct{}{}
			<-answer
		}
		return nil
	})
	a := h.start()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-asked
	for i := range 3 {
		h.write(time.Date(2026, 2, 1+i, 3, 0, 0, 0, time.UTC).Format("db_20060102_150405.sql"), 1000)
	}
	for deadline := time.Now().Add(time.Minute); len(h.b.Objects()) < 2*12; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the other target has %d dumps, want 12", len(h.b.Objects())/2)
			break
		}
	}
	close(answer)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
