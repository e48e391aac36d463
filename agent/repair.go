package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"offsite/agent/journal"
	"offsite/agent/vault"
	"offsite/providers"
)

// RepairOptions say what Repair looks at, and how.
type RepairOptions struct {
	// Target and Series are names; empty: all.
	Target, Series string
	// Level is how closely each copy is looked at: vault.Head or vault.Hash.
	Level vault.Level
	// DryRun: nothing is changed.
	DryRun bool
	// Owed says how many dumps the host's agent still owes each target, by name. It is asked once the targets have been listed: what is missing
	// on a target that is owed nothing has been lost, however young it is. nil, or an error: nobody knows, and what was found
	// within retention.OnItsWay may still be on its way.
	Owed func(context.Context) (map[string]int, error)
	// Coming is called with how many copies are missing and taken to be on their way, and Bare with how many objects have data and no
	// manifest on any target; nil: nobody wants to know.
	Coming, Bare func(n int)
	// Told is called with each finding as it is dealt with; nil: nobody wants to know.
	Told func(Repaired)
}

// Repaired is one backup on one target that was not as it should be.
type Repaired struct {
	Target, Series, Object string
	Taken                  time.Time
	// Problem is what was wrong.
	Problem string
	// Done is what was done about it; empty: nothing, see Err, or it was a dry run.
	Done string
	// Err is why it is not repaired.
	Err error
}

// repair is one Repair.
type repair struct {
	*Agent
	RepairOptions
	stock *stock
	fresh []fresh
	all   []Repaired
}

// Repair makes all copies of each backup whole again. What a target lacks, and its policy would keep, or holds damaged is copied
// from targets whose copies verify, as ciphertext, under the same name; what verifies is never written over, and what is
// replaced is kept aside where the target can. Where no target has a block of it whole, and the dump is still on this host,
// that is sealed anew under another name, and the damaged backup is removed once the new one verifies. What could not be
// looked at on one target is part of the error.
func (a *Agent) Repair(ctx context.Context, o RepairOptions) ([]Repaired, error) {
	s, err := a.takeStock(ctx, o.Series)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.settled = settled(ctx, o)
	r := &repair{Agent: a, RepairOptions: o, stock: s}
	wanted := map[*worker]map[string]bool{}
	coming := 0
	for w := range s.on {
		wanted[w] = s.wanted(w)
		coming += s.coming[w]
	}
	r.count(coming)
	for _, object := range s.objects() {
		if stop := r.object(ctx, object, wanted); stop != nil {
			return r.all, errors.Join(err, stop)
		}
	}
	return r.all, errors.Join(err, r.resealAll(ctx), r.relock(ctx))
}

// settled are the targets to which nothing is on its way. Should the answer be wrong, a copy is sent twice: under one name lie the same bytes.
func settled(ctx context.Context, o RepairOptions) map[string]bool {
	if o.Owed == nil {
		return nil
	}
	owed, err := o.Owed(ctx)
	if err != nil {
		return nil
	}
	targets := map[string]bool{}
	for target, n := range owed {
		targets[target] = n == 0
	}
	return targets
}

// count tells what is not repaired, and why.
func (r *repair) count(coming int) {
	bare := map[string]bool{}
	for _, on := range r.stock.bare {
		for object := range on {
			if _, known := r.stock.series[object]; !known {
				bare[object] = true
			}
		}
	}
	if r.Coming != nil {
		r.Coming(coming)
	}
	if r.Bare != nil {
		r.Bare(len(bare))
	}
}

// object repairs one backup on all targets. The error ends the repair.
func (r *repair) object(ctx context.Context, object string, wanted map[*worker]map[string]bool) error {
	all, err := r.copiesOf(ctx, r.stock, object, r.Level)
	if err != nil {
		return err
	}
	b, conflict := best(all)
	for _, c := range all {
		if r.Target != "" && r.Target != c.target.Name {
			continue
		}
		found := Repaired{Target: c.target.Name, Series: r.stock.series[object], Object: object}
		if name, err := vault.Parse(object); err == nil {
			found.Taken = name.Taken
		}
		if found.Problem = problemOf(c, b, wanted[c.worker][object]); found.Problem == "" {
			continue
		}
		switch {
		case c.condition == unknown:
			found.Err = errors.New("could not be looked at, or is not ours: left as it is")
		case conflict != nil:
			found.Err = conflict
		case b == nil:
			found.Err = errors.New("no target has a manifest of it that can be trusted")
		case r.DryRun:
		default:
			found.Done, found.Err = r.mend(ctx, c, b, all)
			if errors.Is(found.Err, vault.ErrIntegrity) && r.fromDisk(ctx, c, b.m, found) {
				continue // it is told when that is done
			}
			if errors.Is(found.Err, providers.ErrSourceChanged) {
				found.Err = errNoWhole
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.tell(found)
	}
	return nil
}

// problemOf says what is wrong with a copy; empty: nothing.
func problemOf(c, b *copied, wanted bool) string {
	switch {
	case c.condition == good && b != nil && knows(c) < knows(b):
		return "its manifest does not say yet what that of " + b.target.Name + " says of the dump's health"
	case c.condition == good || c.condition == lacking && !wanted:
		return ""
	case c.condition == lacking:
		return "is missing"
	}
	return c.problem.Error()
}

// errNoWhole: there is nothing to repair it from.
var errNoWhole = fmt.Errorf("%w: no target has all of it whole, and its dump is not on this host any more as it was", vault.ErrIntegrity)

func (r *repair) tell(found Repaired) {
	r.all = append(r.all, found)
	if r.Told != nil {
		r.Told(found)
	}
}

// mend gives a target a whole copy, and proves it by reading it back. What it has damaged is kept aside if the target can.
func (a *Agent) mend(ctx context.Context, c, b *copied, all []*copied) (done string, err error) {
	name, err := vault.Parse(b.m.Object)
	if err != nil {
		return "", err
	}
	if c.condition == good {
		return "its manifest is that of " + b.target.Name + " now", a.remanifest(ctx, c, b, name)
	}
	from, goodOnes := sources(all)
	whole := c.m == nil && (c.condition == damaged || c.bare) && c.vault.VerifyData(ctx, b.m, vault.Hash) == nil // only the manifest is wanting
	if c.condition == damaged {
		if kept, err := c.vault.Preserve(ctx, name); err != nil || !kept {
			c.log.Info("the target cannot keep the damaged object aside", "object", b.m.Object, "err", err)
		}
	}
	locked, err := c.firstLock(ctx, name.Series, name.Taken)
	if err != nil {
		return "", err
	}
	if !whole {
		if err := c.vault.Put(ctx, name, limited{from.Source(b.m, c.share.take), c.limiter}, locked); err != nil {
			if c.condition == lacking && errors.Is(err, syscall.ENOSPC) { // what was begun is in the way of the next dump
				err = errors.Join(err, c.abandon(ctx, name))
			}
			return "", err
		}
	}
	if c.m == nil {
		if err := c.vault.Commit(ctx, name, b.signed, locked); err != nil {
			return "", err
		}
	}
	if _, err := c.vault.Verify(ctx, name, vault.Hash); err != nil {
		return "", fmt.Errorf("it was written, and does not verify: %w", err)
	}
	switch {
	case whole:
		done = "its manifest is that of " + b.target.Name + " now"
	case len(goodOnes) == 0:
		done = "put together from " + strings.Join(from.Names, ", ")
	default:
		done = "copied from " + strings.Join(goodOnes, ", ")
	}
	c.condition, c.m, c.signed = good, b.m, b.signed // the next target may copy from it
	return done, a.mended(c.worker, b.m)
}

// remanifest gives a whole copy the manifest of another one, which knows more.
func (a *Agent) remanifest(ctx context.Context, c, b *copied, name vault.Name) error {
	locked, err := c.firstLock(ctx, name.Series, name.Taken)
	if err != nil {
		return err
	}
	if err := c.vault.Commit(ctx, name, b.signed, locked); err != nil {
		return err
	}
	if _, err := c.vault.Verify(ctx, name, vault.Head); err != nil {
		return fmt.Errorf("it was written, and does not verify: %w", err)
	}
	return a.mended(c.worker, b.m)
}

// mended notes that a target has a whole copy. Its locks are set anew by the next look, since a bucket locks versions.
func (a *Agent) mended(w *worker, m *vault.Manifest) error {
	v := verdictOf(m, "")
	v.Proof = journal.Proof{Proven: a.Now()}
	if err := a.journal.SetVerdicts(w.target.Name, map[string]journal.Verdict{m.Object: v}); err != nil {
		return err
	}
	return a.journal.SetLocked(w.target.Name, map[string]time.Time{m.Object: {}})
}

// relock locks what was written, as its policy says.
func (r *repair) relock(ctx context.Context) error {
	var failed []error
	for w := range r.stock.on {
		if !w.target.Lock || len(r.all) == 0 || r.DryRun {
			continue
		}
		h, err := w.history(ctx, r.Series)
		if err == nil {
			err = w.lock(ctx, h)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
		}
	}
	return errors.Join(failed...)
}
