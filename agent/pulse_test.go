package agent

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/alarm"
	"offsite/agent/dump"
	"offsite/agent/status"
	"offsite/agent/watch"
	"offsite/crypto"
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

// quietly is an observer that hears nothing.
type quietly struct{}

func (quietly) Started(string, string, int64) {}
func (quietly) Had(string, string, int64)     {}
func (quietly) Sent(string, string, int64)    {}
func (quietly) Ended(string, string, error)   {}

// In a running agent no loop is stuck while its target is silent; one that cannot get its alarms out is.
func TestARunningAgentIsAlive(t *testing.T) {
	dir := t.TempDir()
	dumps, state := filepath.Join(dir, "dumps"), filepath.Join(dir, "state")
	for _, d := range []string{dumps, state} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	signing, verifier, err := crypto.GenerateSigner("db-server")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := crypto.ParseSigner(signing + "\n" + verifier)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypto.ParseVerifiers([]string{verifier})
	if err != nil {
		t.Fatal(err)
	}
	_, public, err := crypto.GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := crypto.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
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
	a, err := New(Options{
		Host: "db-server", Zone: time.UTC, State: state, Journal: "journal.db", Recipients: recipients, RecipientNames: []string{public}, Signer: signer, Trusted: keys,
		Sources: []Source{{Dir: watch.Dir{Path: dumps, Settle: time.Millisecond}, Rules: dump.Rules{Zone: time.UTC}}},
		Targets: []Target{{Name: "slow", Location: "mem", Target: target}}, Memory: 96 << 20, Ways: []alarm.Way{way},
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Observer: quietly{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if err := os.WriteFile(filepath.Join(dumps, "shop_20261001_030000.sql"), []byte("-- dump\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-put // the target is asked, and says nothing
	const long = 2 * time.Second
	stuck := func() string { return strings.Join(a.Stuck(long), "; ") }
	for end := time.Now().Add(long + long/2); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s := stuck(); strings.Contains(s, "target") {
			t.Fatalf("a slow target is no fault: %s", s)
		}
	}
	a.event(status.Alarm{Key: "test", Kind: status.KindTest, Level: status.Problem, Text: "a test"})
	a.hurry()
	for end := time.Now().Add(time.Minute); !strings.Contains(stuck(), "what tells of alarms"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("alarms that hang were never noticed: %q", a.Stuck(0))
		}
	}
	if s := stuck(); strings.Contains(s, "target") {
		t.Errorf("a slow target is no fault: %s", s)
	}
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
