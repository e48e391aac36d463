package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
	"offsite/agent/watch"
)

// fresh is a backup of which no target has every block, and whose dump is still on this host.
type fresh struct {
	damaged *vault.Manifest
	dump    *journal.Dump
	on      map[*worker]Repaired // the targets that hold it damaged, or lack it
}

// fromDisk notes that a backup is to be sealed anew for a target. False: its dump is not on this host.
func (r *repair) fromDisk(ctx context.Context, c *copied, m *vault.Manifest, found Repaired) bool {
	for _, f := range r.fresh {
		if f.damaged.Object == m.Object {
			f.on[c.worker] = found
			f.dump.Targets[c.target.Name] = journal.Delivery{State: journal.Owed, At: r.Now()}
			return true
		}
	}
	path, file := r.onDisk(ctx, m)
	if path == "" {
		return false
	}
	d, err := r.newDump(path, file, dump.Identity{Series: m.Series, Taken: m.Taken, From: dump.TakenFrom(m.TakenFrom), File: m.Name})
	if err != nil {
		r.Log.Error("cannot seal the dump anew", "dump", path, "err", err)
		return false
	}
	clear(d.Targets)
	d.Targets[c.target.Name] = journal.Delivery{State: journal.Owed, At: r.Now()}
	r.fresh = append(r.fresh, fresh{m, d, map[*worker]Repaired{c.worker: found}})
	return true
}

// onDisk finds the very dump in the watched directories, by its fingerprint, under whatever name; "": it is not there.
func (a *Agent) onDisk(ctx context.Context, m *vault.Manifest) (path string, file journal.File) {
	for _, s := range a.Sources {
		filepath.WalkDir(s.Path, func(p string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil // what cannot be read is not found
			}
			id, _, err := watch.Stat(p)
			if err != nil || id.Size != m.Size {
				return nil
			}
			if sum, err := a.fingerprintFile(ctx, p); err != nil || vault.Sum(sum) != m.Fingerprint {
				return ctx.Err()
			}
			path, file = p, journal.File(id)
			return fs.SkipAll
		})
		if path != "" {
			break
		}
	}
	return path, file
}

// resealAll ships what was to be sealed anew, and removes the damaged backups for which that is whole.
func (r *repair) resealAll(ctx context.Context) error {
	if len(r.fresh) == 0 {
		return nil
	}
	r.named = true // a person asked for these
	var dumps []*journal.Dump
	for _, f := range r.fresh {
		for w := range f.on {
			w.spoilt[f.damaged.Object] = true
		}
		dumps = append(dumps, f.dump)
	}
	if err := r.enter(dumps); err != nil {
		return err
	}
	if _, err := r.drain(ctx); err != nil {
		return err
	}
	for _, f := range r.fresh {
		for w, found := range f.on {
			object, err := w.retire(ctx, f)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			found.Err = err
			if object != "" {
				found.Done = "the dump on this host was sealed anew, as " + object
			}
			r.tell(found)
		}
	}
	return nil
}

// retire removes a damaged backup from a target that has the dump anew, and gives the object that took its place.
func (w *worker) retire(ctx context.Context, f fresh) (object string, err error) {
	d, err := w.agent.journal.ByID(f.dump.ID)
	if err != nil {
		return "", err
	}
	if d == nil || d.Targets[w.target.Name].State != journal.Delivered {
		return "", errors.New("the dump on this host could not be sealed anew and shipped; the log above says why")
	}
	object = d.Targets[w.target.Name].Object
	now, err := vault.Parse(object)
	if err != nil {
		return "", err
	}
	if _, err := w.vault.Verify(ctx, now, vault.Hash); err != nil {
		return "", err
	}
	was, err := vault.Parse(f.damaged.Object)
	if err != nil {
		return "", err
	}
	if _, err := w.vault.Remove(ctx, was); err != nil {
		return object, fmt.Errorf("the damaged backup stays beside it: %w", err)
	}
	return object, nil
}
