package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"offsite/test/servers"
)

const (
	cycles = 20 // of a round
	every  = 10 // so many cycles everything heals, and is checked
)

// TestNothingIsLost runs rounds of faults.
func TestNothingIsLost(t *testing.T) {
	program := filepath.Join(t.TempDir(), "offsite")
	if out, err := exec.Command("go", "build", "-o", program, "offsite/cmd/offsite").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	total := number(t, "OFFSITE_FAULT_CYCLES", cycles)
	seed := number(t, "OFFSITE_FAULT_SEED", int(time.Now().UnixNano()&0xffffff))
	killed := 0
	for round := 0; round*cycles < total && !t.Failed(); round++ {
		t.Run(fmt.Sprintf("seed %d", seed+round), func(t *testing.T) {
			w := newWorld(t, program)
			w.round(rand.New(rand.NewPCG(uint64(seed+round), 0)))
			killed += w.killed
		})
	}
	t.Logf("killed %d times", killed)
	if killed < total/2 {
		t.Error("the agent was hardly ever killed")
	}
}

func number(t *testing.T, name string, otherwise int) int {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) round(r *rand.Rand) {
	c := newCron(w.t, w.dumps, r)
	names := map[string]int{}
	for cycle := 1; cycle <= cycles && !w.t.Failed(); cycle++ {
		w.cycle(r, c, names)
		if cycle%every == 0 {
			w.finish()
			w.check(c)
		}
	}
	w.t.Logf("%d kills, %d dumps, %d contents, at most %d runs more, %d late uploads, faults %v", w.killed, c.n, len(c.complete), w.tried, len(w.late), names)
	if len(w.late) > w.killed {
		w.t.Errorf("more than a late upload for each kill: %v", w.late)
	}
	if w.t.Failed() {
		said, _ := os.ReadFile(w.log.Name())
		w.t.Logf("%s", tail(said))
	}
}

// cycle runs the agent for a while, with things happening around it, and kills it.
func (w *world) cycle(r *rand.Rand, c *cron, names map[string]int) {
	w.t.Helper()
	kill := w.agent()
	end := time.Now().Add(time.Duration(200+r.IntN(2000)) * time.Millisecond)
	var undo []func()
	choice := chosen()
	for range r.IntN(3) {
		f := choice[r.IntN(len(choice))]
		names[f.name]++
		fmt.Fprintf(w.log, "== %s\n", f.name)
		undo = append(undo, f.begin(w, r))
	}
	for time.Now().Before(end) {
		c.act()
		time.Sleep(time.Duration(r.IntN(250)) * time.Millisecond)
	}
	kill()
	for _, back := range undo {
		back()
	}
	w.toxi.Heal(w.t)
}

// fault is one of those that can go on while the agent runs; begin gives what ends it.
type fault struct {
	name  string
	begin func(*world, *rand.Rand) (end func())
}

func nothing() {}

// chosen are all faults, or those that OFFSITE_FAULT_ONLY names, between commas.
func chosen() (some []fault) {
	only := os.Getenv("OFFSITE_FAULT_ONLY")
	for _, f := range faults {
		if only == "" || slices.Contains(strings.Split(only, ","), f.name) {
			some = append(some, f)
		}
	}
	return some
}

// dying makes a disk give errors until it is mended.
func dying(eio *atomic.Bool) (mended func()) {
	eio.Store(true)
	return func() { eio.Store(false) }
}

var faults = append([]fault{
	{"connections reset", toxic("reset_peer", func(r *rand.Rand) map[string]any { return map[string]any{"timeout": r.IntN(500)} })},
	{"stall", toxic("timeout", func(*rand.Rand) map[string]any { return map[string]any{"timeout": 0} })},
	{"1 KiB/s", toxic("bandwidth", func(*rand.Rand) map[string]any { return map[string]any{"rate": 1} })},
	{"latency", toxic("latency", func(r *rand.Rand) map[string]any { return map[string]any{"latency": 50 + r.IntN(300), "jitter": 50} })},
	{"truncation", toxic("limit_data", func(r *rand.Rand) map[string]any { return map[string]any{"bytes": 1 + r.IntN(2<<20)} })},
	{"way cut", func(w *world, r *rand.Rand) func() {
		p := w.way(r)
		p.Enable(w.t, false)
		return nothing // heal opens it
	}},
	{"server killed", func(w *world, r *rand.Rand) func() {
		p := []*servers.Process{w.minio.Process, w.versity.Process, w.ssh.Process}[r.IntN(3)]
		p.Kill()
		return p.Start
	}},
	{"NAS full", func(w *world, r *rand.Rand) func() {
		return w.fill(w.nas + ".disk")
	}},
	{"NAS unmounted", func(w *world, r *rand.Rand) func() {
		if !w.nasMounted {
			return nothing
		}
		w.unmountNAS()
		return w.remountNAS
	}},
	{"state full", func(w *world, r *rand.Rand) func() {
		return w.fill(w.state + ".disk")
	}},
	{"NAS EIO", func(w *world, _ *rand.Rand) func() { return dying(w.nasEIO) }},
	{"state EIO", func(w *world, _ *rand.Rand) func() { return dying(w.stateEIO) }},
}, httpModes()...)

func httpModes() (all []fault) {
	for mode := range strings.SplitSeq("500 503 403 garbage lost", " ") {
		all = append(all, fault{"HTTP " + mode, func(w *world, r *rand.Rand) func() {
			h := []*httpFaults{w.atMinIO, w.atVersity}[r.IntN(2)]
			h.set(mode)
			return func() { h.set("") }
		}})
	}
	return all
}

// way is one of those to the servers.
func (w *world) way(r *rand.Rand) *servers.Proxy {
	return []*servers.Proxy{w.toMinIO, w.toVersity, w.toSSH}[r.IntN(3)]
}

func toxic(kind string, attributes func(*rand.Rand) map[string]any) func(*world, *rand.Rand) func() {
	return func(w *world, r *rand.Rand) func() {
		stream := []string{"upstream", "downstream"}[r.IntN(2)]
		w.way(r).Toxic(w.t, kind, stream, attributes(r))
		return nothing // heal takes it away
	}
}
