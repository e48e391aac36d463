package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/providers"
	"offsite/providers/mem"
)

// Two targets have a part of a dump that is gone. One of them is still being asked something about it when the other finds out: what they
// have of it is tidied up on both.
func TestWhatIsGoneIsTidiedUpOnEveryTarget(t *testing.T) {
	slow, quick := mem.New(), mem.New()
	o := options(t,
		Target{Name: "slow", Location: "mem:slow", Target: slow, Retention: Enforce, Policy: func(string) retention.Policy { return retention.Policy{Daily: 7} }},
		Target{Name: "quick", Location: "mem:quick", Target: quick})
	o.BlockSize = 64 << 10
	gone := filepath.Join(o.Sources[0].Path, "shop_20261001_030000.sql")
	if err := os.WriteFile(gone, make([]byte, 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*mem.Target{slow, quick} {
		s.Fault(func(c mem.Call) error {
			if c.Op == "block" && c.Block == 2 {
				return fmt.Errorf("down: %w", providers.ErrPermanent)
			}
			return nil
		})
	}
	a := begun(t, o)
	a.Once(t.Context()) // ships a part to each
	a.Close()
	if len(slow.Leftovers()) != 1 || len(quick.Leftovers()) != 1 {
		t.Fatalf("%q and %q were begun", slow.Leftovers(), quick.Leftovers())
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	quick.Fault(nil)
	a = begun(t, o)
	defer a.Close()
	a.newest.note(&journal.Dump{Series: "shop", Taken: a.Now()}) // of what is not the newest the target is asked whether it keeps it
	late, first := a.workers[0], a.workers[1]
	tried := make(chan error, 1)
	slow.Fault(func(c mem.Call) error {
		slow.Fault(nil)
		id, err := first.queue.take(t.Context(), a.Now, false, true, nil)
		if err != nil {
			return err
		}
		go func() { tried <- first.attempt(t.Context(), id, onceTries, nil) }()
		for end := time.Now().Add(time.Minute); !first.queue.holds(id); time.Sleep(time.Millisecond) { // to be tidied up
			if time.Now().After(end) {
				return fmt.Errorf("%s was never given up", id)
			}
		}
		return nil
	})
	id, err := late.queue.take(t.Context(), a.Now, false, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := late.attempt(t.Context(), id, onceTries, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-tried; err != nil {
		t.Fatal(err)
	}
	if err := a.work(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range a.workers {
		if w.result.Lost != 1 {
			t.Errorf("%s says that it lost %d", w.target.Name, w.result.Lost)
		}
	}
	if len(slow.Leftovers()) > 0 || len(quick.Leftovers()) > 0 {
		t.Errorf("%q and %q are left", slow.Leftovers(), quick.Leftovers())
	}
}

// begun is an agent that was made and does nothing yet.
func begun(t *testing.T, o Options) *Agent {
	t.Helper()
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// holds says whether a dump waits, and is not in hand.
func (q *queue) holds(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, is := q.queued[id]
	return is
}

// A target that does not answer when it is asked what it holds keeps nobody from giving up a dump, or from judging one.
func TestASilentTargetHoldsUpNoVerdict(t *testing.T) {
	store := mem.New()
	asked, answer := make(chan struct{}), make(chan struct{})
	store.Fault(func(c mem.Call) error {
		if c.Op == "list" {
			close(asked)
			<-answer
		}
		return nil
	})
	policy := func(string) retention.Policy { return retention.Policy{Daily: 7} }
	a := begun(t, options(t, Target{Name: "silent", Location: "mem", Target: store, Retention: Enforce, Policy: policy}))
	defer a.Close()
	a.newest.note(&journal.Dump{Series: "shop", Taken: a.Now()})
	wanted, reconsidered := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := a.workers[0].wants(t.Context(), &journal.Dump{Series: "shop", Object: "an older one"})
		wanted <- err
	}()
	<-asked
	go func() { reconsidered <- a.reconsider("shop") }()
	select {
	case err := <-reconsidered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for the target")
	}
	close(answer)
	if err := <-wanted; err != nil {
		t.Error(err)
	}
}
