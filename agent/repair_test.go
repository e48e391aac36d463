package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
	"offsite/providers/mem"
)

// repair runs a Repair as the command does, and gives what it did by "target file".
func (h *host) repair(o agent.RepairOptions) map[string]agent.Repaired {
	h.t.Helper()
	h.journal = "repair.db"
	defer func() { h.journal = "journal.db" }()
	a := h.start()
	defer a.Close()
	if o.Level == "" {
		o.Level = vault.Hash
	}
	all, err := a.Repair(h.t.Context(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	found := map[string]agent.Repaired{}
	for _, r := range all {
		name, err := vault.Parse(r.Object)
		if err != nil {
			h.t.Fatal(err)
		}
		found[r.Target+" "+name.File] = r
	}
	return found
}

// object is the name of a dump's data on a target.
func object(t *testing.T, target *mem.Target, file string) string {
	t.Helper()
	for name := range target.Objects() {
		if strings.HasSuffix(name, "_"+file+".age") {
			return name
		}
	}
	t.Fatalf("%s is not there", file)
	return ""
}

func flip(target *mem.Target, name string, at int) {
	b := bytes.Clone(target.Objects()[name])
	b[at] ^= 1
	target.Set(name, b)
}

// A backup that no target has whole is put together from the blocks of all; what is replaced is kept aside.
func TestRepairPutsBlocksTogether(t *testing.T) {
	h := newHost(t)
	h.block = 32 << 10
	want := map[string][]byte{"a_20260101.sql": h.write("a_20260101.sql", 200_000)}
	h.once()
	os.Remove(filepath.Join(h.dumps, "a_20260101.sql"))
	name := object(t, h.a, "a_20260101.sql")
	flip(h.a, name, 10)
	flip(h.b, name, 150_000)
	if dry := h.repair(agent.RepairOptions{DryRun: true}); len(dry) != 2 || dry["a a_20260101.sql"].Done != "" {
		t.Errorf("%+v", dry)
	}
	for target, r := range h.repair(agent.RepairOptions{}) {
		if r.Err != nil || !strings.Contains(r.Done, "a") {
			t.Errorf("%s: %+v", target, r)
		}
	}
	h.check(h.a, want)
	h.check(h.b, want)
	if got := h.a.Preserved(); !slices.Contains(got, name) {
		t.Errorf("kept aside: %q", got)
	}
	if again := h.repair(agent.RepairOptions{}); len(again) > 0 {
		t.Errorf("%+v", again)
	}
}

// What no target has whole is sealed anew from the dump on the host, whatever its name is now; the damaged backup goes when the new
// one is there. Without the dump nothing is touched.
func TestRepairSealsAnew(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	for _, name := range []string{"a_20260101.sql", "a_20260102.sql", "b_20260101.sql"} {
		want[name] = h.write(name, 100_000)
	}
	h.once()
	lost, here := object(t, h.a, "a_20260101.sql"), object(t, h.a, "a_20260102.sql")
	for _, target := range []*mem.Target{h.a, h.b} {
		flip(target, lost, 50_000)
		flip(target, here, 50_000)
	}
	os.Remove(filepath.Join(h.dumps, "a_20260101.sql"))
	os.Rename(filepath.Join(h.dumps, "a_20260102.sql"), filepath.Join(h.dumps, "moved.sql"))
	spoilt := maps.Clone(h.a.Objects())
	got := h.repair(agent.RepairOptions{})
	for _, target := range []string{"a ", "b "} {
		if r := got[target+"a_20260102.sql"]; r.Err != nil || !strings.Contains(r.Done, "sealed anew") {
			t.Errorf("%s%+v", target, r)
		}
		if r := got[target+"a_20260101.sql"]; !errors.Is(r.Err, vault.ErrIntegrity) || r.Done != "" {
			t.Errorf("%s%+v", target, r)
		}
	}
	now := h.a.Objects()
	if !bytes.Equal(now[lost], spoilt[lost]) || now[lost+".manifest"] == nil {
		t.Error("what could not be repaired was touched")
	}
	if now[here] != nil {
		t.Error("the damaged backup is still there")
	}
	for _, target := range []*mem.Target{h.a, h.b} {
		target.Set(lost, nil)
		target.Set(lost+".manifest", nil)
	}
	delete(want, "a_20260101.sql")
	h.check(h.a, want)
	h.check(h.b, want)
	h.once() // the agent takes the new backup for that of its dump
	h.check(h.a, want)
}

// A target gets what its own policy keeps, and nothing else; what another key has signed is left alone.
func TestRepairFillsByPolicy(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	for day := 1; day <= 9; day++ {
		name := fmt.Sprintf("a_2026010%d.sql", day)
		want[name] = h.write(name, 1000)
	}
	h.once()
	for name := range want {
		os.Remove(filepath.Join(h.dumps, name))
	}
	for name := range h.a.Objects() {
		if !strings.Contains(name, "20260109") { // the target is new, but for the newest
			h.a.Set(name, nil)
		}
	}
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 4} }
	foreign := object(t, h.b, "a_20260108.sql")
	name, err := vault.Parse(foreign)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := vault.New(h.b.Handle(), h.trusted).Manifest(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := vault.Sign(newSigner(t), m)
	if err != nil {
		t.Fatal(err)
	}
	h.b.Set(foreign+".manifest", signed)
	got := h.repair(agent.RepairOptions{})
	var filled []string
	for what, r := range got {
		if r.Target == "a" && r.Err == nil {
			filled = append(filled, what)
		}
	}
	slices.Sort(filled)
	if wantFilled := []string{"a a_20260105.sql", "a a_20260106.sql", "a a_20260107.sql"}; !slices.Equal(filled, wantFilled) {
		t.Errorf("filled %q, want %q", filled, wantFilled)
	}
	if r := got["b a_20260108.sql"]; r.Err == nil || !bytes.Equal(h.b.Objects()[foreign+".manifest"], signed) {
		t.Errorf("%+v", r)
	}
}

// Data that has lost its manifest is whole all the same: it gets the manifest that another target has, and its blocks mend the
// data that is damaged there.
func TestRepairOfDataWithoutItsManifest(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"a_20260101.sql": h.write("a_20260101.sql", 100_000)}
	h.once()
	os.Remove(filepath.Join(h.dumps, "a_20260101.sql"))
	name := object(t, h.a, "a_20260101.sql")
	h.a.Set(name+".manifest", nil)
	h.b.Set(name, h.b.Objects()[name][:50_000])
	got := h.repair(agent.RepairOptions{})
	if r := got["a a_20260101.sql"]; r.Err != nil || !strings.Contains(r.Done, "its manifest is that of b") {
		t.Errorf("%+v", r)
	}
	if r := got["b a_20260101.sql"]; r.Err != nil || !strings.Contains(r.Done, "copied from a") {
		t.Errorf("%+v", r)
	}
	h.check(h.a, want)
	h.check(h.b, want)
}

// One manifest that cannot be read keeps no other backup from being repaired, and nothing is removed meanwhile.
func TestRepairPassesWhatCannotBeRead(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{}
	for _, name := range []string{"a_20260101.sql", "a_20260102.sql"} {
		want[name] = h.write(name, 100_000)
	}
	h.once()
	flip(h.a, object(t, h.a, "a_20260102.sql"), 50_000)
	unreadable := object(t, h.a, "a_20260101.sql") + ".manifest"
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "get" && c.Name == unreadable {
			return fmt.Errorf("input/output error: %w", providers.ErrPermanent)
		}
		return nil
	})
	h.journal = "repair.db"
	a := h.start()
	all, err := a.Repair(t.Context(), agent.RepairOptions{Level: vault.Hash})
	a.Close()
	if err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("%v", err)
	}
	var done []string
	for _, r := range all {
		done = append(done, fmt.Sprint(r.Target, " ", r.Done != "", " ", r.Err != nil))
	}
	if got := strings.Join(done, ", "); got != "a false true, a true false" {
		t.Errorf("%s: %+v", got, all)
	}
	h.a.Fault(nil)
	h.journal = "journal.db"
	h.check(h.a, want)
}

// What came within the day, after all that the target has, may be on its way, unless the agent says that it owes the target nothing.
func TestRepairDoesNotRaceWithTheAgent(t *testing.T) {
	h := newHost(t)
	now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	h.now = func() time.Time { return now }
	h.write("a_20260301.sql", 1000)
	h.once()
	for name := range h.a.Objects() {
		h.a.Set(name, nil)
	}
	if got := h.repair(agent.RepairOptions{}); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	says := func(owed map[string]int, err error) agent.RepairOptions {
		return agent.RepairOptions{DryRun: true, Owed: func(context.Context) (map[string]int, error) { return owed, err }}
	}
	for name, o := range map[string]agent.RepairOptions{
		"owed": says(map[string]int{"a": 1, "b": 0}, nil), "of another target": says(map[string]int{"b": 0}, nil), "no answer": says(map[string]int{"a": 0}, fs.ErrPermission),
	} {
		if got := h.repair(o); len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := h.repair(says(map[string]int{"a": 0, "b": 1}, nil)); len(got) != 1 {
		t.Errorf("the agent owes nothing: %+v", got)
	}
	now = now.Add(25 * time.Hour)
	if got := h.repair(agent.RepairOptions{}); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// A target that is full is not kept full by what a repair had begun.
func TestRepairOfAFullTarget(t *testing.T) {
	h := newHost(t)
	h.write("a_20260101.sql", 200_000)
	h.write("a_20260102.sql", 10)
	h.once()
	lost := object(t, h.a, "a_20260101.sql")
	h.a.Set(lost, nil)
	h.a.Set(lost+".manifest", nil)
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "block" && c.Block == 2 {
			return syscall.ENOSPC
		}
		return nil
	})
	if got := h.repair(agent.RepairOptions{}); len(got) != 1 || !errors.Is(got["a a_20260101.sql"].Err, syscall.ENOSPC) {
		t.Errorf("%+v", got)
	}
	if left := h.a.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
