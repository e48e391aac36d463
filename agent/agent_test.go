package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"

	"offsite/agent"
	"offsite/agent/alarm"
	"offsite/agent/dump"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/agent/watch"
	"offsite/crypto"
	"offsite/providers/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a machine under test: a directory of dumps, a state directory, keys, and two targets in memory.
type host struct {
	t        *testing.T
	dumps    string
	state    string
	identity *age.X25519Identity
	signer   *crypto.Signer
	trusted  *crypto.Verifiers
	a, b     *mem.Target
	block    int64
	whole    int64                         // the largest block that is held in memory; 0: any
	policy   func(string) retention.Policy // of target a; nil: no retention
	mode     agent.Mode
	onlyA    bool      // the configuration has only target a
	store    *lockable // if set, it stands before target a
	now      func() time.Time
	log      io.Writer // if set
	machine  string
	journal  string
	scrub    agent.Scrub
	backfill bool
	ways     []alarm.Way
	pings    alarm.Pings
	expect   func(string) (time.Duration, bool)
	expected []string
	drills   map[string]agent.Drill
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dumps: t.TempDir(), state: t.TempDir(), a: mem.New(), b: mem.New(), block: 64 << 10, mode: agent.Enforce, now: time.Now, journal: "journal.db"}
	var err error
	if h.identity, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	h.signer = newSigner(t)
	if h.trusted, err = crypto.ParseVerifiers([]string{h.signer.VerifierKey()}); err != nil {
		t.Fatal(err)
	}
	return h
}

// newSigner has a key of its own, though it is called as all others are.
func newSigner(t *testing.T) *crypto.Signer {
	t.Helper()
	skey, vkey, err := crypto.GenerateSigner("host")
	if err != nil {
		t.Fatal(err)
	}
	s, err := crypto.ParseSigner(skey + "\n" + vkey + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type silent struct{}

func (silent) Started(string, string, int64) {}
func (silent) Had(string, string, int64)     {}
func (silent) Sent(string, string, int64)    {}
func (silent) Ended(string, string, error)   {}

func (h *host) start() *agent.Agent {
	h.t.Helper()
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	if h.log != nil {
		log = h.log
	}
	targets := []agent.Target{
		{Name: "a", Location: "mem:a", Target: h.a.Handle(), Policy: h.policy, Retention: h.mode, Scrub: h.scrub, Backfill: h.backfill},
		{Name: "b", Location: "mem:b", Target: h.b.Handle()},
	}
	if h.store != nil {
		h.store.Target = targets[0].Target
		targets[0].Target, targets[0].Lock = h.store, true
	}
	if h.onlyA {
		targets = targets[:1]
	}
	a, err := agent.New(h.options(targets, log))
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *host) options(targets []agent.Target, log io.Writer) agent.Options {
	return agent.Options{
		Host: "host", Machine: h.machine, Zone: time.UTC,
		Sources:    []agent.Source{{Dir: watch.Dir{Path: h.dumps, Settle: 10 * time.Millisecond}, Rules: dump.Rules{Zone: time.UTC}}},
		Recipients: []age.Recipient{h.identity.Recipient()}, RecipientNames: []string{h.identity.Recipient().String()},
		Signer: h.signer, Trusted: h.trusted,
		Targets: targets,
		State:   h.state, Journal: h.journal, Afresh: h.journal != "journal.db", Memory: 1 << 20, BlockSize: h.block, Whole: h.whole, Program: "test",
		Now: h.now, Log: slog.New(slog.NewTextHandler(log, nil)), Observer: silent{},
		Ways: h.ways, Pings: h.pings, Expect: h.expect, Expected: h.expected, Drills: h.drills,
	}
}

func (h *host) once() agent.Summary {
	h.t.Helper()
	a := h.start()
	defer a.Close()
	s, err := a.Once(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *host) write(name string, size int) []byte {
	h.t.Helper()
	b := bytes.Repeat([]byte(name+"\n"), size/len(name)+1)[:size]
	if err := os.WriteFile(filepath.Join(h.dumps, name), b, 0o640); err != nil {
		h.t.Fatal(err)
	}
	return b
}

// check makes sure that a target has exactly these dumps, each once, and that stock age gives their bytes back.
func (h *host) check(target *mem.Target, want map[string][]byte) {
	h.t.Helper()
	objects := target.Objects()
	if left := target.Leftovers(); len(left) > 0 {
		h.t.Errorf("unfinished uploads are left: %q", left)
	}
	seen := map[string]bool{}
	for _, object := range slices.Sorted(maps.Keys(objects)) {
		if strings.HasSuffix(object, ".manifest") {
			continue
		}
		name, err := vault.Parse(object)
		if err != nil {
			h.t.Errorf("%v", err)
			continue
		}
		m, _, err := vault.New(target.Handle(), h.trusted).Manifest(h.t.Context(), name)
		if err != nil {
			h.t.Errorf("%v", err)
			continue
		}
		r, err := age.Decrypt(bytes.NewReader(objects[object]), h.identity)
		if err != nil {
			h.t.Errorf("%s: %v", object, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want[m.Name]) {
			h.t.Errorf("%s: %v, %d bytes, want %d, or others", object, err, len(got), len(want[m.Name]))
		}
		if seen[m.Name] {
			h.t.Errorf("%s is there twice", m.Name)
		}
		seen[m.Name] = true
	}
	if len(seen) != len(want) || len(objects) != 2*len(want) {
		h.t.Errorf("the target has %d objects of %d dumps, want %d", len(objects), len(seen), len(want))
	}
}

// ways are the largest blocks that are held in memory: any, and none, so that all are made while they are sent.
var ways = map[string]int64{"held": 0, "streamed": 1}

func TestADumpReachesEveryTargetOnce(t *testing.T) {
	for way, whole := range ways {
		t.Run(way, func(t *testing.T) { reachesEveryTargetOnce(t, whole) })
	}
}

func reachesEveryTargetOnce(t *testing.T, whole int64) {
	h := newHost(t)
	h.whole = whole
	want := map[string][]byte{
		"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 300_000),
		"db_20261121_030001.sql": h.write("db_20261121_030001.sql", 10),
		"other.dump":             h.write("other.dump", 64<<10),
	}
	os.Symlink("db_20261122_030001.sql", filepath.Join(h.dumps, "latest.sql"))
	if s := h.once(); !s.Complete() || s.Delivered() != 6 {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
	h.check(h.b, want)
	blocks := h.a.Calls("block")
	if s := h.once(); s.Delivered() != 0 || h.a.Calls("block") != blocks {
		t.Errorf("a second run shipped again: %+v", s)
	}
}

func TestATargetThatIsDownGetsItsDumpsNextTime(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 100_000)}
	down(h.b)
	s := h.once()
	if s.Complete() || s.Delivered() != 1 {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
	h.b.Fault(nil)
	if s := h.once(); !s.Complete() || s.Delivered() != 1 {
		t.Errorf("%+v", s)
	}
	h.check(h.b, want)
}

// crash is a process that dies at one step: from then on its target's calls hang until the context ends.
func crash(h *host, at mem.Call) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	dead := false
	h.a.Fault(func(c mem.Call) error {
		match := c.Op == at.Op && strings.HasSuffix(c.Name, at.Name) && c.Block == at.Block
		if dead = dead || match; dead {
			cancel()
			return errors.New("the process is gone")
		}
		return nil
	})
	a := h.start()
	a.Once(ctx)
	a.Close()
	h.a.Fault(nil)
	if !dead {
		h.t.Fatalf("the crash at %+v never came", at)
	}
}

func TestACrashAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	for _, at := range []mem.Call{
		{Op: "list"}, {Op: "put", Name: ".age"}, {Op: "block", Name: ".age"}, {Op: "block", Name: ".age", Block: 3}, {Op: "commit", Name: ".age"},
		{Op: "done", Name: ".age"}, {Op: "put", Name: ".manifest"}, {Op: "commit", Name: ".manifest"}, {Op: "done", Name: ".manifest"},
	} {
		for way, whole := range ways {
			if whole > 0 && at.Op != "block" {
				continue // it is all the same
			}
			t.Run(fmt.Sprintf("%s%s%d %s", at.Op, at.Name, at.Block, way), func(t *testing.T) { crashesAndGoesOn(t, at, whole) })
		}
	}
}

func crashesAndGoesOn(t *testing.T, at mem.Call, whole int64) {
	h := newHost(t)
	h.whole = whole
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 500_000)}
	crash(h, at)
	var sent atomic.Int32
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "block" && strings.HasSuffix(c.Name, ".age") {
			sent.Add(1)
		}
		return nil
	})
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
	h.check(h.b, want)
	most := int32(8)
	switch {
	case at.Block == 3:
		most = 8 - 3
	case at.Op == "done" || at.Name == ".manifest":
		most = 0
	}
	if sent.Load() > most {
		t.Errorf("after the crash %d blocks were sent, want %d at most", sent.Load(), most)
	}
}

// Credentials that may only write are usual: nobody who takes the host can read or delete its past. After a crash the
// agent cannot look, and sends again what may be there.
func TestCredentialsThatMayOnlyWriteAreEnough(t *testing.T) {
	for _, at := range []mem.Call{{Op: "put", Name: ".age"}, {Op: "block", Name: ".age", Block: 3}, {Op: "done", Name: ".age"}, {Op: "done", Name: ".manifest"}} {
		t.Run(fmt.Sprintf("%s%s%d", at.Op, at.Name, at.Block), func(t *testing.T) {
			h := newHost(t)
			want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 500_000)}
			crash(h, at)
			h.a.Fault(func(c mem.Call) error {
				if slices.Contains([]string{"get", "stat", "list", "delete"}, c.Op) {
					return fmt.Errorf("write only: %w", fs.ErrPermission)
				}
				return nil
			})
			if s := h.once(); !s.Complete() {
				t.Errorf("%+v", s)
			}
			h.a.Fault(nil)
			h.check(h.a, want)
		})
	}
}

func TestALostStateIsRebuiltFromTheTargets(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	for _, name := range []string{"db_20261121_030001.sql", "db_20261122_030001.sql", "plain.sql"} {
		want[name] = h.write(name, 100_000)
	}
	h.once()
	blocks := h.a.Calls("block")
	h.state = t.TempDir()
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	if h.a.Calls("block") != blocks {
		t.Error("something was uploaded twice")
	}
	h.check(h.a, want)
	h.check(h.b, want)

	// The same name, time and size, but other bytes: not the same dump.
	other := bytes.Repeat([]byte("X"), 100_000)
	os.WriteFile(filepath.Join(h.dumps, "db_20261122_030001.sql"), other, 0o640)
	h.state = t.TempDir()
	if s := h.once(); s.Delivered() != 2*3 {
		t.Errorf("%+v", s)
	}
	if n := len(h.a.Objects()); n != 8 {
		t.Errorf("%d objects, want 8: the changed dump is a backup of its own", n)
	}
}

func TestADumpThatChangesWhileItIsShippedIsShippedAnew(t *testing.T) {
	for way, whole := range ways {
		t.Run(way, func(t *testing.T) { changesAndIsShippedAnew(t, whole) })
	}
}

func changesAndIsShippedAnew(t *testing.T, whole int64) {
	h := newHost(t)
	h.whole = whole
	name := "db_20261122_030001.sql"
	h.write(name, 500_000)
	path := filepath.Join(h.dumps, name)
	changed := false
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "block" && c.Block == 2 && strings.HasSuffix(c.Name, ".age") && !changed {
			changed = true
			os.WriteFile(path, bytes.Repeat([]byte("y"), 400_000), 0o640)
		}
		return nil
	})
	if s := h.once(); s.Complete() {
		t.Error("the loss of a version went unnoticed")
	}
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.a, map[string][]byte{name: bytes.Repeat([]byte("y"), 400_000)})
	h.check(h.b, map[string][]byte{name: bytes.Repeat([]byte("y"), 400_000)})
}

func TestRunShipsWhatComesAndEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"before.sql": h.write("before.sql", 1000)}
	a := h.start()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	for i := range 20 {
		name := fmt.Sprintf("db%d_20261122_030001.sql", i)
		want[name] = h.write(name, 1000*i+1)
	}
	deadline := time.After(time.Minute)
	for len(h.a.Objects()) < 2*len(want) || len(h.b.Objects()) < 2*len(want) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d and %d objects", len(h.a.Objects()), len(h.b.Objects()))
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	h.check(h.a, want)
	h.check(h.b, want)
}

func TestASecondAgentIsRefused(t *testing.T) {
	h := newHost(t)
	a := h.start()
	defer a.Close()
	_, err := agent.New(agent.Options{State: h.state, Journal: "journal.db"})
	if !errors.Is(err, agent.ErrRunning) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Error(err)
	}
}
