package agent

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"syscall"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
	"offsite/agent/watch"
)

// atOnce is how many dumps share a transaction: in a first scan of 100,000 the disk is waited for some fifty times.
const atOnce = 2048

// discover takes finished files from the watcher, writes them into the journal and queues them for the targets. Many
// that come at once share a transaction. It returns when found is closed or ctx ends.
func (a *Agent) discover(ctx context.Context, found <-chan watch.File) error {
	a.runs.gather()
	l := a.pulse.begin("what takes found dumps")
	defer l.ends()
	a.finding.Store(l)
	tick := time.NewTicker(idle)
	defer tick.Stop()
	for {
		var files []watch.File
		l.rests(idle)
		select {
		case f, more := <-found:
			if !more {
				a.runs.gathered()
				return nil
			}
			files = append(files, f)
		case <-tick.C:
			a.retryRefused()
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		for more := true; more && len(files) < cap(found); {
			select {
			case f, open := <-found:
				if more = open; open {
					files = append(files, f)
				}
			default:
				more = false
			}
		}
		if err := a.add(ctx, files); err != nil {
			return err
		}
		if err := a.giveUp(ctx); err != nil {
			return err
		}
	}
}

// add records files as dumps that all targets are owed; one without a path says that all files of the first scan have come. A file
// may come twice, by an event and by being looked for again: the second time it is met when the first is in the journal.
func (a *Agent) add(ctx context.Context, files []watch.File) error {
	strange, err := a.strange(files)
	if err == nil {
		err = a.ids.row(a.journal, len(files))
	}
	if err != nil {
		return err
	}
	met := map[watch.FileID]bool{}
	var dumps []*journal.Dump
	for i, f := range files {
		a.finding.Load().turns()
		if f.Path == "" {
			if err := a.enter(dumps); err != nil {
				return err
			}
			dumps = nil
			a.runs.gathered()
			close(a.scanned)
			continue
		}
		version := f.ID
		version.CTime = 0 // a chmod makes no other version
		if met[version] {
			if err := a.enter(dumps); err != nil {
				return err
			}
			dumps, strange[i] = nil, false
		}
		met[version] = true
		d, err := a.meet(ctx, f, strange[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.refuse(f.Path, err)
			continue
		}
		a.take(f.Path)
		if d != nil {
			dumps = append(dumps, d)
		}
	}
	return a.enter(dumps)
}

// strange says which files nothing in the journal is like, in one look: of most that come, and of all in a first scan.
func (a *Agent) strange(files []watch.File) ([]bool, error) {
	versions, paths := make([]journal.File, len(files)), make([]string, len(files))
	for i, f := range files {
		versions[i], paths[i] = journal.File(f.ID), f.Path
	}
	return a.journal.Strange(versions, paths)
}

// enter writes new dumps into the journal, and queues them.
func (a *Agent) enter(dumps []*journal.Dump) error {
	if len(dumps) == 0 {
		return nil
	}
	if err := a.lock.check(); err != nil {
		return err
	}
	if err := a.journal.Add(dumps...); err != nil {
		return err
	}
	for _, d := range dumps {
		a.newest.note(d)
	}
	for _, d := range dumps {
		a.held.hold(d)
		a.Log.Info("found dump", "dump", d.Path, "series", d.Series, "taken", d.Taken, "bytes", d.File.Size)
		if d.Suspect != "" {
			a.Log.Warn("dump is suspect", "dump", d.Path, "reason", d.Suspect)
		}
		a.unsents.shipped(d.Path)
		if a.isNewest(d) {
			a.runs.follow(d, true)
		}
		a.offer(d)
	}
	a.changed.ring()
	return nil
}

// meet decides what a finished file is: a new dump, as a strange one is in any case, or (nil) one that the journal has already.
func (a *Agent) meet(ctx context.Context, f watch.File, strange bool) (*journal.Dump, error) {
	former := ""
	for _, seen := range []func(context.Context, watch.File) (*journal.Dump, error){a.sameFile, a.moved} {
		if strange {
			break
		}
		old, err := seen(ctx, f)
		switch {
		case err != nil:
			return nil, err
		case old == nil:
		case !lost(old) || delivered(old) && !old.Open():
			return a.refresh(old, f)
		default:
			former = old.ID
		}
	}
	id, err := dump.Identify(f.Rel, f.ID.ModTime(), a.Now(), a.Sources[f.Dir].Rules)
	if err != nil {
		return nil, err
	}
	d, err := a.newDump(f.Path, journal.File(f.ID), id)
	if err != nil {
		return nil, err
	}
	d.Former = former
	return d, nil
}

// moved is the dump at this path in the journal, if the file has its size, time and content but another inode or device:
// the directory was copied to another disk, or its device has another number since a reboot.
func (a *Agent) moved(ctx context.Context, f watch.File) (*journal.Dump, error) {
	old, err := a.journal.ByPath(f.Path)
	if err != nil || old == nil || old.File.Size != f.ID.Size || old.File.MTime != f.ID.MTime || old.Open() || old.Fingerprint == ([32]byte{}) {
		return nil, err
	}
	sum, err := a.fingerprintFile(ctx, f.Path)
	if err != nil || sum != old.Fingerprint {
		return nil, err
	}
	return a.journal.Update(old.ID, func(d *journal.Dump) { d.File = journal.File(f.ID) })
}

// newDump is a dump that every target is owed, under a fresh id.
func (a *Agent) newDump(path string, file journal.File, id dump.Identity) (*journal.Dump, error) {
	d := &journal.Dump{
		Path: path, File: file, Series: vault.Text(id.Series), Taken: id.Taken, TakenFrom: string(id.From), Zone: a.Zone.String(),
		Name: vault.Text(id.File), Suspect: id.Suspect, Found: a.Now(), Targets: map[string]journal.Delivery{},
	}
	for _, t := range a.Targets {
		d.Targets[t.Name] = journal.Delivery{State: journal.Owed, At: d.Found}
	}
	return d, a.name(d)
}

// name gives a dump an id that no other dump in the journal has, and the object's name that goes with it.
func (a *Agent) name(d *journal.Dump) (err error) {
	if d.ID, err = a.ids.draw(a.journal); err != nil {
		return err
	}
	name, err := vault.NewName(a.Host, d.Series, d.Taken, d.ID, d.Name)
	d.Object = name.String()
	return err
}

// dump is the one with that id, which the journal must have.
func (a *Agent) dump(id string) (*journal.Dump, error) {
	d, err := a.journal.ByID(id)
	if err == nil && d == nil {
		err = fmt.Errorf("the journal has no dump %s", id)
	}
	return d, err
}

// known spares the watcher the work on files that the journal has, unchanged and with every target.
func (a *Agent) known(path string, id watch.FileID) bool {
	names := make([]string, 0, 8) // on the stack: this is asked for each file at each start
	for _, t := range a.Targets {
		names = append(names, t.Name)
	}
	is, err := a.journal.Settled(journal.File(id), path, names)
	return err == nil && is
}

// lost says whether some target will never get the dump from the version in the journal.
func lost(d *journal.Dump) bool {
	for _, t := range d.Targets {
		if t.State == journal.Lost {
			return true
		}
	}
	return false
}

// delivered says whether some target has the dump.
func delivered(d *journal.Dump) bool {
	for _, t := range d.Targets {
		if t.State == journal.Delivered {
			return true
		}
	}
	return false
}

// sameFile is the dump in the journal with this inode, size and time, if it has this content: the inode may be another
// file's now, of the same size and from the same moment.
func (a *Agent) sameFile(ctx context.Context, f watch.File) (*journal.Dump, error) {
	old, err := a.journal.ByFile(journal.File(f.ID))
	if err != nil || old == nil {
		return nil, err
	}
	if same, err := a.sameContent(ctx, old, f); err != nil || !same {
		return nil, err
	}
	return old, nil
}

// sameContent says whether a file that the journal knows by inode, size and mtime still has the content of then. It
// is asked when the ctime differs: after a chmod or rename it has, after a rewrite with the mtime put back it has not.
func (a *Agent) sameContent(ctx context.Context, d *journal.Dump, f watch.File) (bool, error) {
	if d.File.CTime == f.ID.CTime {
		return true, nil
	}
	if d.Fingerprint == ([32]byte{}) {
		return true, nil // not sealed yet: what is sealed will be what is there then
	}
	sum, err := a.fingerprintFile(ctx, f.Path)
	return sum == d.Fingerprint, err
}

// fingerprintFile reads a file and gives its private fingerprint.
func (a *Agent) fingerprintFile(ctx context.Context, path string) (sum [32]byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	return a.fingerprint(ctx, f)
}

// fingerprint reads r to its end, or until ctx ends: a large dump takes longer than a stop may.
func (a *Agent) fingerprint(ctx context.Context, r io.Reader) (sum [32]byte, err error) {
	h := sha256.New()
	for ctx.Err() == nil {
		a.finding.Load().turns()
		_, err := io.CopyN(h, r, 4<<20)
		if err == io.EOF {
			return a.Signer.MAC("dump", h.Sum(nil)), nil
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, ctx.Err()
}

// refresh follows a known dump to a new path or ctime, and owes it to targets that were added since, or for which it was
// lost. Once the keys of its sealing are erased that takes a new sealing, under a new name: then the result is a new dump,
// else nil.
func (a *Agent) refresh(old *journal.Dump, f watch.File) (*journal.Dump, error) {
	lacking := map[string]journal.Delivery{}
	for _, t := range a.Targets {
		if was, ok := old.Targets[t.Name]; !ok || was.State == journal.Lost {
			lacking[t.Name] = journal.Delivery{State: journal.Owed, At: a.Now()}
		}
	}
	if len(lacking) > 0 && !old.Open() {
		fresh := *old
		fresh.Path, fresh.File, fresh.Former = f.Path, journal.File(f.ID), old.ID
		fresh.Targets = maps.Clone(old.Targets)
		maps.Copy(fresh.Targets, lacking)
		return &fresh, a.name(&fresh)
	}
	d, err := a.journal.Update(old.ID, func(d *journal.Dump) {
		d.Path, d.File = f.Path, journal.File(f.ID)
		maps.Copy(d.Targets, lacking)
	})
	if err != nil {
		return nil, err
	}
	a.offer(d)
	return nil, nil
}
