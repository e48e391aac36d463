package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
)

// firstLock is until when a new backup is to be locked where it is stored; the zero time: not at all.
func (w *worker) firstLock(ctx context.Context, series string, taken time.Time) (time.Time, error) {
	if !w.target.Lock || w.target.Policy == nil {
		return time.Time{}, nil
	}
	now, err := w.storeClock(ctx)
	if err != nil {
		return time.Time{}, err
	}
	until := retention.FirstLease(w.target.Policy(series), taken)
	if !until.After(now) {
		return time.Time{}, nil
	}
	return until, nil
}

// storeClock is the target's clock: locks end by that, not by ours.
func (w *worker) storeClock(ctx context.Context) (time.Time, error) {
	locker, ok := w.target.Target.(providers.Locker)
	if !ok {
		return time.Time{}, fmt.Errorf("target %s cannot lock: %w", w.target.Name, providers.ErrPermanent)
	}
	return locker.Now(ctx)
}

// lock extends the locks of what the target holds to what the policy is sure to keep: of a new backup, and of one that was
// promoted to a longer tier.
func (w *worker) lock(ctx context.Context, h *history) error {
	if !w.target.Lock {
		return nil
	}
	now, err := w.storeClock(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]time.Time{}
	for series, backups := range h.series {
		leases := retention.Leases(now, w.target.Policy(series), backups)
		for _, b := range backups {
			if until := leases[b.Object].Truncate(time.Second); until.After(b.Locked) {
				wanted[b.Object] = until
			}
		}
	}
	locked, err := w.lockAll(ctx, wanted)
	if len(locked) > 0 {
		w.log.Info("locked backups that retention is sure to keep, or extended their locks", "backups", len(locked))
	}
	if err != nil {
		err = fmt.Errorf("cannot lock: %w", err)
	}
	return errors.Join(err, w.agent.journal.SetLocked(w.target.Name, locked))
}

// lockAll gives those that it locked, even if it fails for others.
func (w *worker) lockAll(ctx context.Context, wanted map[string]time.Time) (map[string]time.Time, error) {
	locked := map[string]time.Time{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reading)
	for object, until := range wanted {
		group.Go(func() error {
			name, err := vault.Parse(object)
			if err != nil {
				return err
			}
			if err := w.vault.Lock(ctx, name, until); isMissing(err) {
				return nil // removed since it was listed
			} else if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			locked[object] = until
			return nil
		})
	}
	return locked, group.Wait()
}

// askLocks asks the target which of the backups that are to go it does not let go.
func (w *worker) askLocks(ctx context.Context, h *history, plans []SeriesPlan) error {
	locked := map[string]time.Time{}
	var mu sync.Mutex
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(reading)
	for _, p := range plans {
		for _, d := range p.Remove {
			group.Go(func() error {
				name, err := vault.Parse(d.Object)
				if err != nil {
					return err
				}
				why, err := w.vault.Locked(asking, name)
				if err != nil || why == nil || why.Until.IsZero() {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				locked[d.Object] = why.Until
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, backups := range h.series {
		for i, b := range backups {
			if until := locked[b.Object]; until.After(b.Locked) {
				backups[i].Locked = until
			}
		}
	}
	return w.agent.journal.SetLocked(w.target.Name, locked)
}

// Hidden counts what the target keeps, unseen and billed, of what was deleted.
func (a *Agent) Hidden(ctx context.Context, target string) (providers.Hidden, error) {
	for _, w := range a.workers {
		if w.target.Name == target {
			return w.hidden(ctx)
		}
	}
	return providers.Hidden{}, nil
}

func (w *worker) hidden(ctx context.Context) (providers.Hidden, error) {
	locker, ok := w.target.Target.(providers.Locker)
	if !ok {
		return providers.Hidden{}, nil
	}
	return locker.Hidden(ctx, vault.HostDir(w.agent.Host))
}

// tellHidden says what is hidden and billed, when that has changed.
func (w *worker) tellHidden(ctx context.Context) error {
	h, err := w.hidden(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	news := h != w.toldHidden
	w.toldHidden = h
	w.mu.Unlock()
	if news && h.Versions > 0 {
		w.log.Info("the bucket keeps old versions of what was removed, which are still billed: `versions: delete` removes them with the backups, a lifecycle rule of the bucket later",
			"versions", h.Versions, "bytes", h.Bytes)
	}
	return nil
}
