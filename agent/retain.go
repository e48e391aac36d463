package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
)

// Mode is what retention does on a target.
type Mode string

// The modes. With Report and Off another machine may prune, and this host's credentials need not allow it.
const (
	Enforce Mode = "enforce"
	Report  Mode = "report"
	Off     Mode = "off"
)

// SeriesPlan is what retention would do to one series on one target, which it names.
type SeriesPlan struct {
	Target, Series string
	*retention.Plan
}

// daily is how often retention looks at everything; a delivery makes it look at that series at once.
const daily = 24 * time.Hour

// Look makes a running agent look at all targets soon: another process has changed something there, or has found that these objects,
// by target, are damaged.
func (a *Agent) Look(damaged map[string][]string) {
	for _, w := range a.workers {
		w.mu.Lock()
		w.doubted = append(w.doubted, damaged[w.target.Name]...)
		w.mu.Unlock()
		for _, again := range []chan struct{}{w.lookAgain, w.readAgain} {
			select {
			case again <- struct{}{}:
			default: // it is going to
			}
		}
	}
}

// tend applies retention, or looks, as long as the agent runs: to all series at the start and once a day, and to each series that
// got a dump. What fails is told, and tried again by the next of these.
func (w *worker) tend(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		series := []string{""}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			timer.Reset(daily)
		case <-w.news:
			series = w.takeDelivered()
		case <-w.lookAgain:
		}
		for _, s := range series {
			if err := w.retain(ctx, s); err != nil && ctx.Err() == nil {
				w.log.Warn("retention could not look at the target", "series", s, "err", err)
			}
		}
	}
}

// gotDump notes that a series has a new backup.
func (w *worker) gotDump(series string) {
	w.mu.Lock()
	w.delivered[series] = true
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default: // it is known already that there is something
	}
}

// takeDelivered gives the series that got a backup since the last call.
func (w *worker) takeDelivered() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	series := slices.Sorted(maps.Keys(w.delivered))
	clear(w.delivered)
	return series
}

// Plans plans for the target of that name, or all, and the series, or all. It removes nothing. What fails on one
// target is part of the error; the plans of the others are there.
func (a *Agent) Plans(ctx context.Context, target, series string) (plans []SeriesPlan, err error) {
	var failed []error
	for _, w := range a.workers {
		if target != "" && target != w.target.Name {
			continue
		}
		h, err := w.history(ctx, series)
		if err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
			continue
		}
		if err := w.askLocks(ctx, h, w.plans(h)); err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
			continue
		}
		plans = append(plans, w.plans(h)...)
	}
	return plans, errors.Join(failed...)
}

// Carry carries out a plan that a person has seen, held or not, after what an earlier Carry on that target had begun and
// not finished. It gives the number of backups that went.
func (a *Agent) Carry(ctx context.Context, p SeriesPlan) (removed int, err error) {
	for _, w := range a.workers {
		if w.target.Name == p.Target {
			w.retaining.Lock()
			defer w.retaining.Unlock()
			if err := w.finishRemovals(ctx); err != nil {
				return 0, err
			}
			return w.carry(ctx, p)
		}
	}
	return 0, fmt.Errorf("there is no target %s", p.Target)
}

// plans are those for what was listed, in the order of the series. The target must have a Policy.
func (w *worker) plans(h *history) (plans []SeriesPlan) {
	for _, series := range slices.Sorted(maps.Keys(h.series)) {
		policy := w.target.Policy(series)
		plans = append(plans, SeriesPlan{w.target.Name, series, retention.Make(w.agent.Now(), policy, h.series[series])})
	}
	return plans
}

// prunes says whether retention has anything to say about the target.
func (w *worker) prunes() bool { return w.target.Policy != nil && w.target.Retention != Off }

// retain brings one series of the target, or all of them, to what the policy says.
func (w *worker) retain(ctx context.Context, series string) error {
	w.retaining.Lock()
	defer w.retaining.Unlock()
	if !w.prunes() {
		return w.look(ctx, series)
	}
	if series == "" {
		w.adoption.forget()
	}
	if err := w.finishRemovals(ctx); err != nil {
		return err
	}
	h, err := w.history(ctx, series)
	if err != nil {
		return err
	}
	failed := []error{w.lock(ctx, h)}
	if series == "" {
		failed = append(failed, w.miss(ctx, h))
	}
	for _, p := range w.plans(h) {
		if err := w.apply(ctx, p); err != nil { // another series is not to blame
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	err = errors.Join(failed...)
	if w.target.Retention != Enforce || series != "" { // what is left over can wait for the daily look
		return err
	}
	return errors.Join(err, w.sweep(ctx, h.without), w.sweepUploads(ctx), w.tellHidden(ctx))
}

// look is all that is done where another machine prunes, or nobody does: what is gone is told.
func (w *worker) look(ctx context.Context, series string) error {
	if series != "" {
		return nil
	}
	h, err := w.history(ctx, "")
	if mayNotLook(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.miss(ctx, h)
}

// apply does what the mode and the plan allow.
func (w *worker) apply(ctx context.Context, p SeriesPlan) error {
	if len(p.Remove) == 0 {
		w.toldHeld(p.Series, "")
		return nil
	}
	log := w.log.With("series", p.Series, "keep", len(p.Keep), "remove", len(p.Remove))
	switch {
	case p.Held != "":
		if w.toldHeld(p.Series, p.Held) {
			log.Warn("retention is held: nothing is removed until a person confirms by `offsite prune --confirm`", "reason", p.Held)
		}
		return nil
	case w.target.Retention == Report:
		log.Info("retention would remove", "bytes", humanize.IBytes(uint64(p.Frees())))
		return nil
	}
	removed, err := w.carry(ctx, p)
	if removed > 0 {
		w.tally.removed(removed)
		log.Info("retention removed", "removed", removed)
	}
	return err
}

// toldHeld notes why a series is held, and says whether that is news.
func (w *worker) toldHeld(series, why string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := w.heldFor[series] != why
	w.heldFor[series] = why
	return news
}

// carry removes what the plan says, once what is to stay has been seen on the target again.
func (w *worker) carry(ctx context.Context, p SeriesPlan) (removed int, err error) {
	if len(p.Remove) == 0 {
		return 0, nil
	}
	if err := w.prove(ctx, p); err != nil {
		return 0, fmt.Errorf("series %s: nothing was removed, since what is to stay could not be seen: %w", p.Series, err)
	}
	var doomed []string
	for _, d := range p.Remove {
		doomed = append(doomed, d.Object)
	}
	if err := w.agent.journal.Doom(w.target.Name, doomed); err != nil {
		return 0, err
	}
	for _, d := range slices.Backward(p.Remove) { // oldest first
		name, err := vault.Parse(d.Object)
		if err != nil {
			return removed, err
		}
		begun, err := w.vault.Remove(ctx, name)
		switch {
		case err != nil && !mayNotLook(err):
			return removed, err
		case err != nil && !begun:
			err = w.retained(d.Object, err)
		case err != nil: // its manifest is gone; its data is tried again, as after a crash
			removed++
			w.tellKept(d.Object, err)
			err = nil
		default:
			removed++
			err = w.forget(d.Object)
		}
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// proofs is how many of the newest backups that stay are looked at before anything goes.
const proofs = 3

// prove reads the manifests of the newest healthy backups that stay, and sees their data.
func (w *worker) prove(ctx context.Context, p SeriesPlan) error {
	seen := 0
	for _, d := range p.Keep {
		if d.Unsound != "" || d.Suspect != "" || d.Taken.After(w.agent.Now().Add(retention.FutureSlack)) {
			continue
		}
		name, err := vault.Parse(d.Object)
		if err != nil {
			return err
		}
		m, _, err := w.vault.Manifest(ctx, name)
		if errors.Is(err, vault.ErrIntegrity) { // it has rotted since it was read: the next plan knows
			err = errors.Join(err, w.agent.journal.Doubt(w.target.Name, d.Object))
		}
		if err != nil {
			return err
		}
		whole, err := w.vault.HasData(ctx, name, m.Stored)
		if err != nil {
			return err
		}
		if !whole {
			return fmt.Errorf("%s: %w: its data is not what its manifest says", d.Object, vault.ErrIntegrity)
		}
		if seen++; seen == proofs {
			return nil
		}
	}
	if seen == 0 {
		return errors.New("no healthy backup stays")
	}
	return nil
}

// forget takes a backup out of the journal that retention removed.
func (w *worker) forget(objects ...string) error {
	var ids []string
	for _, object := range objects {
		name, err := vault.Parse(object)
		if err != nil {
			return err
		}
		ids = append(ids, name.ID)
	}
	return w.agent.journal.Gone(w.target.Name, objects, ids)
}

// tellKept says once that the target does not let something go.
func (w *worker) tellKept(object string, denial error) {
	w.mu.Lock()
	news := !w.denied[object]
	w.denied[object] = true
	w.mu.Unlock()
	if news {
		w.log.Info("the target keeps a backup that retention would remove", "object", object, "reason", denial)
	}
}

// retained: the target does not let the backup go, by a lock or for lack of a right. That is told once, and a lock is
// remembered: as long as it lasts, no plan is made that it would stop.
func (w *worker) retained(object string, denial error) error {
	w.tellKept(object, denial)
	if err := w.agent.journal.Spare(w.target.Name, object); err != nil {
		return err
	}
	var why *providers.Retained
	if !errors.As(denial, &why) || why.Until.IsZero() {
		return nil
	}
	return w.agent.journal.SetLocked(w.target.Name, map[string]time.Time{object: why.Until})
}

// finishRemovals goes on with removals that a crash cut off: data whose manifest is gone.
func (w *worker) finishRemovals(ctx context.Context) error {
	doomed, err := w.agent.journal.Doomed(w.target.Name)
	if err != nil || len(doomed) == 0 {
		return err
	}
	var finished []string
	for _, object := range doomed {
		name, err := vault.Parse(object)
		if err != nil {
			return err
		}
		err = w.vault.RemoveData(ctx, name)
		switch {
		case mayNotLook(err):
			w.tellKept(object, err)
		case err != nil:
			return err
		default:
			finished = append(finished, object)
		}
	}
	return w.forget(finished...)
}
