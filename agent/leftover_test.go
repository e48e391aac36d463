package agent_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"offsite/agent/vault"
	"offsite/providers"
	"offsite/providers/mem"
)

// down makes a target fail as one that is not reached.
func down(target *mem.Target) {
	target.Fault(func(mem.Call) error { return fmt.Errorf("connection refused: %w", providers.ErrPermanent) })
}

// Whoever changes the recipients may not have the old keys much longer.
func TestWhatIsOwedIsSealedForTheRecipientsOfNow(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 300_000)}
	h.b.Fault(func(c mem.Call) error {
		if c.Op == "block" && c.Block == 2 {
			return fmt.Errorf("down: %w", providers.ErrPermanent)
		}
		return nil
	})
	if s := h.once(); s.Complete() {
		t.Fatalf("%+v", s)
	}
	h.check(h.a, want)
	old := h.identity
	var err error
	if h.identity, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	h.b.Fault(nil)
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.b, want) // opens with the new key, and nothing is left of the old upload
	h.identity = old
	h.check(h.a, want)
}

// One dump that cannot be taken keeps no other from its target, and is said in the end.
func TestADumpThatCannotBeReadStandsInNobodysWay(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	for i := range 6 {
		name := fmt.Sprintf("db_2026112%d_030001.sql", i)
		want[name] = h.write(name, 1000)
	}
	tooLong := strings.Repeat("я", 45) + "_20261122_030001.sql"
	h.write(tooLong, 10)
	s := h.once()
	if s.Complete() || len(s.Unshipped) != 1 || !strings.Contains(s.Unshipped[0], tooLong) {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
}

// The key of a dump that is owed to a target which the configuration no longer has is not kept.
func TestNothingIsOwedToATargetThatIsGone(t *testing.T) {
	h := newHost(t)
	h.write("db_20261122_030001.sql", 300_000)
	h.b.Fault(func(c mem.Call) error {
		if c.Op == "block" && c.Block == 2 {
			return fmt.Errorf("down: %w", providers.ErrPermanent)
		}
		return nil
	})
	h.once()
	if d := h.journalled()[0]; d.Sealing == nil {
		t.Fatal("the dump is owed, and its key is gone")
	}
	h.onlyA = true
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	if d := h.journalled()[0]; d.Sealing != nil || len(d.Targets) != 1 {
		t.Errorf("the key is kept, for %v", d.Targets)
	}
	h.onlyA = false
	h.b.Fault(nil)
	if s := h.once(); s.Delivered() != 1 || !s.Complete() {
		t.Errorf("when it is back: %+v", s)
	}
	if len(h.a.Objects()) != 2 {
		t.Errorf("%d objects", len(h.a.Objects()))
	}
}

// The process dies after the manifest and before the journal; then the dump goes away. The backup, the only copy that is
// left, stays whole, and the agent finds that out.
func TestABackupWhoseRecordWasLostIsNotTidiedAway(t *testing.T) {
	h := newHost(t)
	name := "db_20261122_030001.sql"
	want := map[string][]byte{name: h.write(name, 300_000)}
	crash(h, mem.Call{Op: "done", Name: ".manifest"})
	if err := os.Remove(filepath.Join(h.dumps, name)); err != nil {
		t.Fatal(err)
	}
	h.once()
	h.check(h.a, want)
}

// Whoever deletes all manifests by accident has not told us to delete the data.
func TestDataWhoseManifestsWereLostStays(t *testing.T) {
	for _, seen := range []bool{true, false} {
		h := full(t, 8)
		h.policy = standing
		if seen {
			h.once() // reads the manifests
		}
		for name, b := range h.a.Objects() {
			if strings.HasSuffix(name, ".manifest") {
				h.a.Set(name, nil)
			} else {
				h.a.SetAt(name, b, time.Now().Add(-30*24*time.Hour))
			}
		}
		h.once()
		if n := len(h.a.Objects()); n != 8 {
			t.Errorf("manifests seen before: %v: %d data objects are left of 8", seen, n)
		}
	}
}

// One upload that nobody finished goes when it is old, and not before.
func TestAnAbandonedUploadIsSwept(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		left int
	}{{6 * 24 * time.Hour, 3}, {8 * 24 * time.Hour, 2}} {
		h := full(t, 1)
		h.policy = standing
		h.a.SetAt("host/db/20240101T000000Z_0badcafe_db.sql.age", []byte("data"), time.Now().Add(-c.age))
		h.once()
		if n := len(h.a.Objects()); n != c.left {
			t.Errorf("after %v %d objects are there, want %d", c.age, n, c.left)
		}
	}
}

// The journal is torn at any byte: the agent goes on, finds what the targets hold, sends nothing twice, and ships the next
// dump; the torn one is set aside.
func TestATornJournalCostsNothing(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	for i := range 5 {
		name := fmt.Sprintf("db_2026112%d_030001.sql", i)
		want[name] = h.write(name, 1000+i)
	}
	if s := h.once(); !s.Complete() {
		t.Fatalf("%+v", s)
	}
	path := filepath.Join(h.state, "journal.db")
	asideCount := 0
	for i := range 30 {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		torn := bytes.Clone(whole)
		at := len(bytes.TrimRight(torn, "\x00")) * i / 30 // bbolt makes room for pages that nothing has used yet
		switch i % 3 {
		case 0:
			torn = torn[:at]
		case 1:
			copy(torn[at:], bytes.Repeat([]byte{0xa5}, 4096))
		case 2:
			clear(torn[at:])
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(path + ".unusable")
		name := fmt.Sprintf("db_202611%02d_040001.sql", i+1)
		want[name] = h.write(name, 500+i)
		if s := h.once(); !s.Complete() {
			t.Fatalf("torn at %d: %+v", at, s)
		}
		h.check(h.a, want)
		h.check(h.b, want)
		if _, err := os.Stat(path + ".unusable"); err == nil {
			asideCount++
		}
	}
	if asideCount < 10 {
		t.Errorf("only %d of 30 were set aside", asideCount)
	}
}

// After the state was lost a manifest whose data is gone does not count for a backup: the dump is sent.
func TestAManifestWithoutItsDataIsNoBackup(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 1000)}
	h.once()
	var gone string
	for name := range h.a.Objects() {
		if !strings.HasSuffix(name, ".manifest") {
			gone = name
		}
	}
	h.state = t.TempDir()
	a := h.start()
	defer a.Close()
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "get" { // the data goes between the survey and the look at the manifest
			h.a.Fault(nil)
			return h.a.Delete(t.Context(), gone)
		}
		return nil
	})
	if s, err := a.Once(t.Context()); err != nil || !s.Complete() {
		t.Errorf("%+v %v", s, err)
	}
	whole := 0
	for e, err := range vault.New(h.a.Handle(), h.trusted).List(t.Context(), "host") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Manifest && e.Stored >= 0 {
			whole++
		}
	}
	if whole != len(want) {
		t.Errorf("%d whole backups, want %d", whole, len(want))
	}
}
