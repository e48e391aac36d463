package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent/dump"
	"offsite/agent/retention"
	"offsite/agent/vault"
)

// backup is one backup that was asked for, on all targets together: the same dump has the same name on each.
type backup struct {
	vault.Name
	Object string
	// data and manifests are the targets, by their index, whose listings have it.
	data, manifests []int
	m               *vault.Manifest // when it has been read
}

// copies are the targets from which the data can be read: a target that lost the manifest, or holds a damaged one, may
// have good data all the same, since the manifest of another one proves it.
func (b *backup) copies() []int {
	if len(b.data) > 0 {
		return b.data
	}
	return b.manifests // what is missing there is said when it is read
}

// choose finds the backup to restore: of those that match the one taken last, and of several with the same time, which a
// file that was written over has, the one that the host found last. Suspect ones are passed over as long as a healthy
// one is there. A manifest that no target gives whole is an error: something older must not come back unnoticed.
func (r *restoring) choose(ctx context.Context) (*backup, error) {
	found, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	found = r.withoutFuture(found)
	var passed []*backup
	for len(found) > 0 {
		same := 1
		for same < len(found) && found[same].Taken.Equal(found[0].Taken) {
			same++
		}
		if err := r.sort(ctx, found[:same]); err != nil {
			return nil, err
		}
		for _, b := range found[:same] {
			if err := r.manifest(ctx, b); err != nil {
				return nil, older(err)
			}
			if b.m.Health.State != dump.Suspect {
				if b.m.Health.State == dump.Pending {
					r.say("warning: nobody has looked at %s to its end yet: whether it is whole is not known", printable(b.m.Name))
				}
				r.passedOver(passed)
				return b, nil
			}
			passed = append(passed, b)
		}
		found = found[same:]
	}
	if len(passed) > 1 {
		r.say("WARNING: none of the %d dumps that were asked for is healthy", len(passed))
	}
	return passed[0], nil
}

// older is the error with what to do when the backup cannot be used.
func older(err error) error {
	return fmt.Errorf("%w\nthis is the newest that was asked for; for an older one use --at, or its name, which `offsite list --json` has", err)
}

// withoutFuture passes over what a clock that was ahead has left, unless it was asked for by its name or time: it would be the
// newest for as long as the clock was wrong.
func (r *restoring) withoutFuture(found []*backup) []*backup {
	ahead := 0
	for ahead < len(found) && found[ahead].Taken.After(r.now().Add(retention.FutureSlack)) && found[ahead].Series == r.what {
		ahead++
	}
	if ahead == 0 || ahead == len(found) || !r.at.IsZero() {
		return found
	}
	b := found[0]
	r.say("WARNING: passed over %d backups from the future, such as that of %s: a clock was wrong; to restore it all the same: offsite restore %s", ahead, b.Taken.Format(time.RFC3339), b.Object)
	return found[ahead:]
}

// passedOver says loudly what is newer, and how to get it.
func (r *restoring) passedOver(passed []*backup) {
	const shown = 3
	for _, b := range passed[:min(shown, len(passed))] {
		r.say("WARNING: passed over %s, taken %s, which is suspect: %s; to restore it all the same: offsite restore %s",
			printable(b.m.Name), b.Taken.Format(time.RFC3339), printable(b.m.Health.Reason), b.Object)
	}
	if more := len(passed) - shown; more > 0 {
		r.say("WARNING: passed over %d more that are suspect; `offsite list` shows them", more)
	}
}

// find asks all targets at once for the backups that match, newest first. One that cannot be asked is a warning if
// another has something: it may hold a newer one.
func (r *restoring) find(ctx context.Context) ([]*backup, error) {
	lists, later, errs := make([][]vault.Entry, len(r.targets)), make([]time.Time, len(r.targets)), make([]error, len(r.targets))
	var group errgroup.Group
	for i := range r.targets {
		group.Go(func() error {
			lists[i], later[i], errs[i] = r.listed(ctx, i)
			return nil
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	found, hosts := union(lists)
	switch {
	case len(found) == 0:
		for i, err := range errs {
			if err == nil {
				errs[i] = fmt.Errorf("%s: %q: %w; %s", r.targets[i].Name, r.what, errNotFound, r.hint(later[i]))
			}
		}
		return nil, errors.Join(certain(errs)...)
	case hosts > 1:
		return nil, usageError{fmt.Errorf("several hosts have %q: name one with --host", r.what)}
	}
	for _, err := range errs {
		if err != nil {
			r.say("warning: %v; what only this target has is not considered", err)
		}
	}
	slices.SortStableFunc(found, func(a, b *backup) int { return b.Taken.Compare(a.Taken) })
	return found, nil
}

// hint says where to look for what was not found; later is the oldest of what is too late.
func (r *restoring) hint(later time.Time) string {
	if later.IsZero() {
		return "`offsite list` shows what is there"
	}
	return fmt.Sprintf("nothing is as old as --at says: the oldest is of %s", later.Format(time.RFC3339))
}

// listed is what one target has of what was asked for, and the oldest of what was taken too late for it.
func (r *restoring) listed(ctx context.Context, target int) (all []vault.Entry, later time.Time, err error) {
	for e, err := range vault.New(r.targets[target], r.keys).List(ctx, r.host) {
		switch {
		case err != nil:
			return nil, later, fmt.Errorf("%s: %w", r.targets[target].Name, err)
		case !r.matches(e):
		case r.at.IsZero() || !e.Taken.After(r.at):
			all = append(all, e)
		case later.IsZero() || e.Taken.Before(later):
			later = e.Taken
		}
	}
	return all, later, nil
}

// union puts together what the targets list, without what has a manifest on none: that is an unfinished upload.
func union(lists [][]vault.Entry) (found []*backup, hosts int) {
	all, of := map[string]*backup{}, map[string]bool{}
	for target, entries := range lists {
		for _, e := range entries {
			b := all[e.Object]
			if b == nil {
				b = &backup{Name: e.Name, Object: e.Object}
				all[e.Object] = b
			}
			if e.Manifest {
				b.manifests = append(b.manifests, target)
			}
			if e.Stored >= 0 {
				b.data = append(b.data, target)
			}
		}
	}
	for _, b := range all {
		if len(b.manifests) > 0 {
			found, of[b.Host] = append(found, b), true
		}
	}
	return found, len(of)
}

// sort puts those that were taken in the same second in order, the one that the host found last first.
func (r *restoring) sort(ctx context.Context, same []*backup) error {
	if len(same) == 1 {
		return nil
	}
	var names []string
	for _, b := range same {
		names = append(names, b.Object)
	}
	slices.Sort(names)
	for _, b := range same {
		if err := r.manifest(ctx, b); err != nil {
			return fmt.Errorf("%w; nobody can tell which of the backups of %s is the newest: name one of %s", err, b.Taken.Format(time.RFC3339), strings.Join(names, ", "))
		}
	}
	slices.SortFunc(same, func(a, b *backup) int {
		return cmp.Or(b.m.Found.Compare(a.m.Found), cmp.Compare(a.Object, b.Object))
	})
	return nil
}

// manifest reads the manifest of a backup from the first target that gives a good one. What was wrong before is said, so
// that nobody believes in a target that is damaged.
func (r *restoring) manifest(ctx context.Context, b *backup) error {
	if b.m != nil {
		return nil
	}
	var errs []error
	for _, t := range b.manifests {
		m, signer, err := vault.New(r.targets[t], r.keys).Manifest(ctx, b.Name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.targets[t].Name, err))
			continue
		}
		for _, err := range errs {
			r.say("warning: %v", err)
		}
		if r.keys == nil {
			r.say("warning: the signer %s was not checked; --trust KEY checks it", signer)
		}
		if b.m == nil || m.Health.State == dump.OK { // a person may have accepted it, or looked to its end, on that target only
			b.m = m
		}
		if b.m.Health.State == dump.OK || b.m.Health.State == dump.Unchecked {
			return nil
		}
	}
	if b.m != nil {
		return nil
	}
	return errors.Join(certain(errs)...)
}

// matches compares a listed backup with what was asked for: its series, its object, or its file name, which an object's
// name may have in part only.
func (r *restoring) matches(e vault.Entry) bool {
	return r.what == e.Series || e.Called(r.what)
}

// certain keeps "not found" for when every target was asked and none has it: elsewhere it would be taken for proof.
func certain(errs []error) []error {
	missing := func(err error) bool { return errors.Is(err, errNotFound) || errors.Is(err, fs.ErrNotExist) }
	if !slices.ContainsFunc(errs, func(err error) bool { return !missing(err) }) {
		return errs
	}
	for i, err := range errs {
		if missing(err) {
			errs[i] = errors.New(err.Error())
		}
	}
	return errs
}
