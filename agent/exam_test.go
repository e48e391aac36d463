package agent_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
)

// An earlier run had to stop, or the machine was so busy, that many dumps were delivered before anybody had looked at them:
// the next run gives each its verdict, however many there are. A dump without one takes no place in retention.
func TestEveryDumpGetsItsVerdict(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	const dumps = 300 // more than have their files open at once
	for i := range dumps {
		h.write(fmt.Sprintf("db%03d.sql", i), 10)
	}
	h.once()

	j, err := journal.Open(filepath.Join(h.state, h.journal))
	if err != nil {
		t.Fatal(err)
	}
	var all []*journal.Dump
	if err := j.Each(func(d *journal.Dump) error { all = append(all, d); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		h.unsay(d)
		if _, err := j.Update(d.ID, func(d *journal.Dump) {
			d.Health = nil
			delivery := d.Targets["a"]
			delivery.Pending = true
			d.Targets["a"] = delivery
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	h.once()
	without := 0
	for _, d := range all {
		if m := h.manifest(d); m.Health.State == dump.Pending {
			without++
		}
	}
	if without > 0 || len(all) != dumps {
		t.Errorf("%d of %d dumps are without a verdict, want 0 of %d", without, len(all), dumps)
	}
}

// manifest is what target a says of a dump.
func (h *host) manifest(d *journal.Dump) *vault.Manifest {
	h.t.Helper()
	name, err := vault.Parse(d.Targets["a"].Object)
	if err != nil {
		h.t.Fatal(err)
	}
	m, _, err := vault.New(h.a.Handle(), h.trusted).Manifest(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// unsay takes the verdict out of the manifest of a dump.
func (h *host) unsay(d *journal.Dump) {
	h.t.Helper()
	m := h.manifest(d)
	m.Health = vault.Health{State: dump.Pending}
	signed, err := vault.Sign(h.signer, m)
	if err != nil {
		h.t.Fatal(err)
	}
	name, err := vault.Parse(m.Object)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := vault.New(h.a.Handle(), h.trusted).Commit(h.t.Context(), name, signed, time.Time{}); err != nil {
		h.t.Fatal(err)
	}
}
