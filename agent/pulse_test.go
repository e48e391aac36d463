package agent

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/alarm"
	"offsite/agent/status"
	"offsite/providers/mem"
)

// Of what a loop said last it follows when it is stuck; one that asks somebody else, or has ended, never is.
func TestALoopThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{pulse: newPulse(time.Now)}
		l, other := a.pulse.begin("a loop"), a.pulse.begin("another")
		stuck := func(want string) {
			t.Helper()
			if got := strings.Join(a.Stuck(5*time.Minute), "; "); got != want {
				t.Errorf("stuck: %q, want %q", got, want)
			}
		}
		other.asks()
		time.Sleep(5 * time.Minute)
		stuck("")
		time.Sleep(time.Minute)
		stuck("a loop, for 6m0s")
		l.turns()
		stuck("")
		l.rests(time.Hour)
		time.Sleep(time.Hour + 4*time.Minute)
		stuck("")
		time.Sleep(2 * time.Minute)
		stuck("a loop, for 6m0s")
		other.turns()
		time.Sleep(10 * time.Minute)
		stuck("a loop, for 16m0s; another, for 10m0s")
		l.ends()
		other.ends()
		stuck("")
	})
}

// A worker that waits for dumps turns all the same; one that hangs is seen to do so.
func TestAWorkerWithoutWorkTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{pulse: newPulse(time.Now)}
		q, l := newQueue(), a.pulse.begin("a worker")
		ctx, cancel := context.WithCancel(t.Context())
		hang := make(chan struct{})
		var hanging atomic.Bool
		go q.take(ctx, func() time.Time {
			if hanging.Load() {
				<-hang
			}
			return time.Now()
		}, false, false, l)
		for range 100 {
			time.Sleep(time.Hour)
			if stuck := a.Stuck(idle); len(stuck) > 0 {
				t.Fatal(stuck)
			}
		}
		hanging.Store(true)
		time.Sleep(3 * idle)
		if stuck := a.Stuck(idle); len(stuck) != 1 {
			t.Errorf("a worker that never gets at its queue: %q", stuck)
		}
		close(hang)
		cancel()
		synctest.Wait()
	})
}

// An exam that is behind a slow upload waits for it, and one whose reading stands still is stuck.
func TestAnExamWaitsForASlowUpload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.sql")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{pulse: newPulse(time.Now)}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		x := &exam{size: 4096, file: file, changed: make(chan struct{})}
		f := &following{stop: t.Context().Done(), exam: x, loop: a.pulse.begin("an examiner")}
		read := make(chan error)
		go func() {
			_, err := io.ReadFull(f, make([]byte, 4096))
			read <- err
		}()
		time.Sleep(10 * time.Hour)
		if stuck := a.Stuck(time.Minute); len(stuck) > 0 {
			t.Errorf("it waits for the upload: %q", stuck)
		}
		x.free()
		if err := <-read; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute) // with what was read, it does something that never ends
		if stuck := a.Stuck(time.Minute); len(stuck) != 1 {
			t.Errorf("it does nothing: %q", stuck)
		}
	})
}

// deafWay is a way out of alarms that hangs and heeds no limit, as a fault of ours would have it.
type deafWay struct{ until chan struct{} }

func (deafWay) Name() string { return "deaf" }

func (w deafWay) Send(context.Context, alarm.Message) error {
	<-w.until
	return nil
}

// eventually waits until what is said is as it should be.
func eventually(t *testing.T, what string, said func() string, is func(string) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(said()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never; in the end it was %q", what, said())
		}
	}
}

// In a running agent no loop is stuck while its target is silent; one that cannot get its alarms out is.
func TestARunningAgentIsAlive(t *testing.T) {
	way := deafWay{make(chan struct{})}
	release := make(chan struct{})
	target := mem.New()
	put := make(chan struct{}, 100)
	target.Fault(func(c mem.Call) error {
		if c.Op == "put" {
			put <- struct{}{}
			<-release
		}
		return nil
	})
	o := options(t, Target{Name: "slow", Location: "mem", Target: target})
	o.Ways = []alarm.Way{way}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if err := os.WriteFile(filepath.Join(o.Sources[0].Path, "shop_20261001_030000.sql"), []byte("-- dump\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-put // the target is asked, and says nothing
	const long = 2 * time.Second
	stuck := func() string { return strings.Join(a.Stuck(long), "; ") }
	time.Sleep(long + long/2)
	nothing := func(s string) bool { return !strings.Contains(s, "target") }
	// One that does not get a processor now may seem to be stuck for a moment; one that is never heard of again is.
	eventually(t, "the slow target is no fault", stuck, nothing)
	a.event(status.Alarm{Key: "test", Kind: status.KindTest, Level: status.Problem, Text: "a test"})
	a.hurry()
	eventually(t, "alarms that hang are noticed", stuck, func(s string) bool { return strings.Contains(s, "what tells of alarms") })
	eventually(t, "the slow target is no fault", stuck, nothing)
	close(way.until)
	close(release)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if stuck := a.Stuck(0); len(stuck) > 0 {
		t.Errorf("it has ended: %q", stuck)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
