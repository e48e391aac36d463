package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/watch"
)

// Push ships the named files, with absolute paths, to every target and returns. A file of a watched directory goes
// through the agent's journal, so that the agent does not ship it again; Push fails with ErrRunning while the agent
// has it. Other files have a journal of their own, in the same directory. The series of a file outside the watched
// directories comes from its name alone.
func Push(ctx context.Context, o Options, files []string) (Summary, error) {
	var inside, outside []watch.File
	for _, path := range files {
		id, err := watch.Check(path)
		if err != nil {
			return Summary{}, err
		}
		f := watch.File{Path: path, Rel: filepath.Base(path), ID: id, Dir: len(o.Sources)}
		for i, s := range o.Sources {
			if rel, err := filepath.Rel(s.Path, path); err == nil && filepath.IsLocal(rel) {
				f.Dir, f.Rel = i, filepath.ToSlash(rel)
			}
		}
		if f.Dir < len(o.Sources) {
			inside = append(inside, f)
		} else {
			outside = append(outside, f)
		}
	}
	s, err := push(ctx, o, inside)
	if errors.Is(err, ErrRunning) {
		err = fmt.Errorf("%w: it ships what lies in the watched directories by itself", err)
	}
	if err != nil {
		return s, err
	}
	other := o
	other.Journal = "push.db"
	other.Sources = append(other.Sources[:len(o.Sources):len(o.Sources)], Source{Rules: dump.Rules{Zone: o.Zone}})
	more, err := push(ctx, other, outside)
	return s.with(more), err
}

func push(ctx context.Context, o Options, files []watch.File) (s Summary, err error) {
	if len(files) == 0 {
		return Summary{}, nil
	}
	a, err := New(o)
	if err != nil {
		return Summary{}, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	a.named = true
	for _, f := range files {
		if err := a.want(f); err != nil {
			return Summary{}, err
		}
	}
	if err := a.add(ctx, files); err != nil {
		return Summary{}, err
	}
	for _, f := range files {
		d, err := a.journal.ByFile(journal.File(f.ID))
		if err != nil {
			return Summary{}, err
		}
		if d == nil {
			return Summary{}, fmt.Errorf("%s cannot be shipped: %s", f.Path, cmp.Or(a.refused[f.Path], "it changed while it was looked at"))
		}
	}
	return a.drain(ctx)
}

// want takes back that targets have declined the dump in this file.
func (a *Agent) want(f watch.File) error {
	d, err := a.journal.ByFile(journal.File(f.ID))
	if err != nil || d == nil {
		return err
	}
	_, err = a.journal.Update(d.ID, func(d *journal.Dump) {
		maps.DeleteFunc(d.Targets, func(_ string, t journal.Delivery) bool { return t.State == journal.Declined })
	})
	return err
}
