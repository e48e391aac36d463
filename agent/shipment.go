package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
	"offsite/agent/watch"
	"offsite/crypto"
)

// shipment is one dump while targets are fed from it: the open file, its one sealing, and what was learnt of its
// bytes on the way. All targets share it, so that every one of them gets the same object.
type shipment struct {
	agent   *Agent
	dump    *journal.Dump
	name    vault.Name
	file    *os.File
	sealing *crypto.Sealing
	resumed bool // an earlier run or try has sealed some of it

	users int // guarded by agent.shipments.mu

	exam *exam // nil: there is a verdict already

	finish    sync.Mutex // one target at a time completes the facts and the manifest
	inspector *dump.Inspector
	manifest  *vault.Manifest
}

// shipments are the dumps in hand.
type shipments struct {
	mu sync.Mutex
	by map[string]*shipment
}

// board gives the shipment of a dump, opened if no other target has it open. leave must be called after it.
func (a *Agent) board(d *journal.Dump) (*shipment, error) {
	a.shipments.mu.Lock()
	defer a.shipments.mu.Unlock()
	if s := a.shipments.by[d.ID]; s != nil {
		s.users++
		return s, nil
	}
	s, err := a.openShipment(d)
	if err != nil {
		return nil, err
	}
	s.users = 1
	a.shipments.by[d.ID] = s
	return s, nil
}

// leave closes the shipment after its last user.
func (a *Agent) leave(s *shipment) {
	a.shipments.mu.Lock()
	defer a.shipments.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	delete(a.shipments.by, s.dump.ID)
	if s.exam != nil {
		s.exam.free()
	}
	if d, err := a.journal.ByID(s.dump.ID); err == nil && d != nil && d.Open() && a.held.put(d.ID, s.file) {
		return
	}
	s.sealing.Erase()
	s.file.Close()
}

// examined lets the exam of the dump follow the sealing.
func (s *shipment) examined() (err error) {
	if s.dump.Health == nil {
		s.exam, err = s.agent.exams.begin(s.dump.ID, s.file, s.dump.File.Size)
	}
	if s.exam == nil {
		s.sealing.Tap(s.inspector)
	} else {
		s.sealing.Tap(io.MultiWriter(s.inspector, s.exam))
	}
	return err
}

func (a *Agent) openShipment(d *journal.Dump) (*shipment, error) {
	// The journal's copy, not the caller's: another target may have begun the sealing meanwhile.
	d, err := a.dump(d.ID)
	if err != nil {
		return nil, err
	}
	name, err := vault.Parse(d.Object)
	if err != nil {
		return nil, err
	}
	file, err := a.openDump(d)
	if err != nil {
		return nil, err
	}
	s := &shipment{agent: a, dump: d, name: name, file: file, resumed: d.Sealing != nil, inspector: dump.NewInspector()}
	if s.resumed {
		err = s.restoreSealing()
	} else {
		s.sealing, err = crypto.NewSealing(a.Recipients, d.File.Size, a.blockSize(d.File.Size))
	}
	if err == nil {
		err = s.examined()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

func (s *shipment) restoreSealing() (err error) {
	if s.sealing, err = crypto.ParseSealing(s.dump.Sealing); err != nil {
		return err
	}
	return s.agent.journal.Digests(s.dump.ID, func(block int, b [64]byte) error {
		var d crypto.Digest
		if err := d.UnmarshalBinary(b[:]); err != nil {
			return err
		}
		s.sealing.Restore(block, d)
		return nil
	})
}

// openDump opens the dump's file, and makes sure that it is still the version that was found.
func (a *Agent) openDump(d *journal.Dump) (*os.File, error) {
	if f := a.held.take(d.ID); f != nil {
		return thisVersion(f, d)
	}
	f, err := os.OpenFile(d.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err == nil {
		f, err = thisVersion(f, d)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if f, err = a.openRenamed(d); err != nil {
			return nil, a.missing(d, err)
		}
		return thisVersion(f, d)
	case errors.Is(err, crypto.ErrSourceChanged): // perhaps it was renamed, and its path has another dump
		if renamed, renameErr := a.openRenamed(d); renameErr == nil {
			return thisVersion(renamed, d)
		}
	}
	return f, err
}

// thisVersion is the open file, or closes it if it is not the version that the journal has.
func thisVersion(f *os.File, d *journal.Dump) (*os.File, error) {
	if err := sameVersion(f, d.File); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// missing decides what it means that a dump is not where it was, nor anywhere else. A watched directory that is gone, or is of
// another file system and empty, is one that is not mounted: the dump is not lost, and waits. (With files in it, it is the
// same one under another device number, as btrfs gives a new one with each mount.)
func (a *Agent) missing(d *journal.Dump, err error) error {
	for dir := filepath.Dir(d.Path); ; dir = filepath.Dir(dir) {
		id, _, statErr := watch.Stat(dir)
		entries, listErr := os.ReadDir(dir)
		if statErr == nil && (id.Dev == d.File.Dev || listErr == nil && len(entries) > 0) {
			return fmt.Errorf("%w: %w", errVanished, err)
		}
		if statErr == nil || !a.watched(dir) {
			return &sourceFailure{fmt.Errorf("%w: the file system that held it is not there; is it mounted?", err)}
		}
	}
}

// watched says whether dir is a watched directory or below one.
func (a *Agent) watched(dir string) bool {
	return slices.ContainsFunc(a.Sources, func(s Source) bool {
		rel, err := filepath.Rel(s.Path, dir)
		return err == nil && filepath.IsLocal(rel)
	})
}

// openRenamed opens a dump that was renamed while it waited, and follows it.
func (a *Agent) openRenamed(d *journal.Dump) (*os.File, error) {
	path := a.watcher.Find(watch.FileID(d.File))
	if path == "" || path == d.Path {
		return nil, &fs.PathError{Op: "open", Path: d.Path, Err: fs.ErrNotExist}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	a.Log.Info("dump was renamed while it waited", "dump", d.Path, "now", path)
	if _, err := a.journal.Update(d.ID, func(d *journal.Dump) { d.Path = path }); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sameVersion fails with ErrSourceChanged when the open file is not the version that want describes. A change of
// ctime alone (chmod, rename, another hard link) is no other version.
func sameVersion(f *os.File, want journal.File) error {
	now, err := fileOf(f)
	if err != nil {
		return err
	}
	if now.Ino != want.Ino || now.Dev != want.Dev || now.Size != want.Size || now.MTime != want.MTime {
		return fmt.Errorf("%s: %w", f.Name(), crypto.ErrSourceChanged)
	}
	return nil
}

// seal makes block i of the ciphertext in p.
func (s *shipment) seal(ctx context.Context, i int, p []byte) ([32]byte, error) {
	sum, err := s.sealing.Seal(ctx, s.file, i, p, s.record)
	return sum, sourceError(err)
}

// record makes a block's digest durable, and the sealing's state with the first: DESIGN 5, "one file key, one
// plaintext".
func (s *shipment) record(i int, d crypto.Digest) error {
	defer s.agent.pulse.begin("the journal").ends()
	b, err := d.MarshalBinary()
	if err != nil {
		return err
	}
	return s.agent.journal.Record(s.dump.ID, s.sealing.Marshal(), s.agent.RecipientNames, i, [64]byte(b))
}

// complete makes the manifest, after some target has all of the data, and waits so long for the verdict on the dump. Every
// later target gets the same one, but for a verdict that was not there before.
func (s *shipment) complete(ctx context.Context, wait time.Duration) (m vault.Manifest, signed []byte, err error) {
	s.finish.Lock()
	defer s.finish.Unlock()
	if s.manifest == nil {
		if err := s.proveUnchanged(ctx); err != nil {
			return m, nil, sourceError(err)
		}
		if err := s.describe(); err != nil {
			return m, nil, err
		}
	}
	if s.manifest.Health.State == dump.Pending {
		health, err := s.health(ctx, wait)
		if err != nil {
			return m, nil, err
		}
		s.manifest.Health = vault.Health(*health)
	}
	if s.manifest.Health.State == dump.Suspect { // a person may have accepted it since another target got it
		d, err := s.agent.journal.ByID(s.dump.ID)
		if err != nil {
			return m, nil, err
		}
		if d != nil && d.Health != nil && !d.Health.Accepted.IsZero() {
			s.manifest.Health = vault.Health(*d.Health)
		}
	}
	signed, err = vault.Sign(s.agent.Signer, s.manifest)
	return *s.manifest, signed, err
}

// proveUnchanged reads what no target needed to read, and makes sure that the file is still what was sealed. Where
// something touched the file meanwhile, every block is sealed once more and compared.
func (s *shipment) proveUnchanged(ctx context.Context) error {
	if err := s.sealing.Drain(ctx, s.file, s.record); err != nil {
		return err
	}
	if err := sameVersion(s.file, s.dump.File); err != nil {
		return err
	}
	now, err := fileOf(s.file)
	if err != nil || now.CTime == s.dump.File.CTime {
		return err
	}
	return s.sealing.Verify(ctx, s.file)
}

// describe makes the manifest, without a verdict.
func (s *shipment) describe() error {
	a, d := s.agent, s.dump
	facts := s.inspector.Facts()
	sealed, err := s.private(facts)
	if err != nil {
		return err
	}
	m := &vault.Manifest{
		Format: vault.Format, Object: s.name.String(), Host: s.name.Host, Series: s.name.Series, Taken: s.name.Taken,
		TakenFrom: d.TakenFrom, Zone: d.Zone, Found: d.Found.UTC(), Name: vault.Text(d.Name),
		Size: d.File.Size, Stored: s.sealing.Size(), BlockSize: s.sealing.BlockSize(),
		Recipients: a.RecipientNames, Health: vault.Health{State: dump.Pending},
		Machine: a.machine(), Fingerprint: a.Signer.MAC("dump", facts.SHA256[:]), Program: a.Program, Sealed: sealed,
	}
	for i := range s.sealing.Blocks() {
		digest, known := s.sealing.Digest(i)
		if !known {
			return fmt.Errorf("block %d of %s was never sealed", i, d.Path)
		}
		m.Blocks = append(m.Blocks, digest.Sum)
	}
	s.manifest = m
	return nil
}
