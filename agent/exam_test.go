package agent_test

import (
	"errors"
	"fmt"
	"os"
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

	h.forgetVerdicts()
	all := h.journalled()
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

// journalled is what the journal has.
func (h *host) journalled() (all []*journal.Dump) {
	h.t.Helper()
	h.withJournal(func(j *journal.Journal) {
		if err := j.Each(func(d *journal.Dump) error { all = append(all, d); return nil }); err != nil {
			h.t.Fatal(err)
		}
	})
	return all
}

// forgetVerdicts makes of every dump one that was delivered to target a before there was a verdict on it.
func (h *host) forgetVerdicts() {
	h.t.Helper()
	all := h.journalled()
	h.withJournal(func(j *journal.Journal) {
		for _, d := range all {
			h.unsay(d)
			if _, err := j.Update(d.ID, func(d *journal.Dump) {
				d.Health = nil
				delivery := d.Targets["a"]
				delivery.Pending = true
				d.Targets["a"] = delivery
			}); err != nil {
				h.t.Fatal(err)
			}
		}
	})
}

// withJournal opens the journal of an agent that does not run.
func (h *host) withJournal(use func(*journal.Journal)) {
	h.t.Helper()
	j, err := journal.Open(filepath.Join(h.state, h.journal))
	if err != nil {
		h.t.Fatal(err)
	}
	use(j)
	if err := j.Close(); err != nil {
		h.t.Fatal(err)
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

// A dump that cannot be opened now gets no verdict for it: unchecked would take a place in retention. It gets one when it can.
func TestNoVerdictOnWhatCannotBeOpenedNow(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	h.write("db.sql", 10)
	h.once()
	h.forgetVerdicts()
	path, away := filepath.Join(h.dumps, "db.sql"), filepath.Join(t.TempDir(), "db.sql")
	if err := errors.Join(os.Rename(path, away), os.Symlink(away, path)); err != nil {
		t.Fatal(err)
	}
	a := h.start()
	a.Once(t.Context()) // says that it cannot
	a.Close()
	for _, d := range h.journalled() {
		if d.Health != nil || h.manifest(d).Health.State != dump.Pending {
			t.Errorf("%s got the verdict %v, %v", d.Path, d.Health, h.manifest(d).Health)
		}
	}
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	h.once()
	for _, d := range h.journalled() {
		if m := h.manifest(d); m.Health.State == dump.Pending {
			t.Errorf("%s is without a verdict: %v", d.Path, m.Health)
		}
	}
}
