package agent

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/status"
	"offsite/agent/vault"
)

// troubleGone is the journal.Verdict.Trouble of what was deleted by somebody else.
const troubleGone = "gone"

// miss looks for backups that the target is known to have had and has no more, though no retention would have removed them:
// somebody deleted them, or the disk was replaced. That is an alarm, as is what the listing says is not whole; and what still lies
// on this host is shipped again, if this host is the one that prunes there.
func (w *worker) miss(ctx context.Context, h *history) error {
	gone, replaced, err := w.unlisted(h)
	if err != nil {
		return err
	}
	if err := w.forget(replaced...); err != nil {
		return err
	}
	if gone, err = w.reallyGone(ctx, gone); err != nil {
		if mayNotLook(err) {
			return nil
		}
		return err
	}
	w.mu.Lock()
	w.result.Gone = 0
	w.mu.Unlock()
	troubles := h.troubles
	for series, backups := range gone {
		all := append(backups[:len(backups):len(backups)], h.series[series]...)
		missed := map[string]bool{}
		for _, d := range retention.Make(w.agent.Now(), w.keeps(series), all).Keep {
			missed[d.Object] = d.Unsound == ""
		}
		for _, b := range backups {
			if missed[b.Object] {
				troubles[b.Object] = troubleGone
			}
			if err := w.missing(b, missed[b.Object]); err != nil {
				return err
			}
		}
	}
	if n := w.gone(); n > 0 {
		w.agent.event(status.Alarm{
			Key: "repair/deleted/" + w.target.Name, Kind: status.KindRepair, Level: status.Problem, Target: w.target.Name,
			Text:   fmt.Sprintf("%s of this host were deleted from %s, and no retention of ours did it", plural(n, "backup"), w.target.Name),
			Remedy: "find out who did: a person, a lifecycle rule, another disk, or somebody who should not be able to; what still lies on this host is shipped again",
		})
	}
	return w.agent.journal.SetTroubles(w.target.Name, troubles)
}

// gone counts what miss found last.
func (w *worker) gone() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result.Gone
}

// damagedSeen counts what the scrub found.
func (w *worker) damagedSeen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result.Damaged
}

// keeps is the policy for a series; where there is none, nobody removes anything.
func (w *worker) keeps(series string) retention.Policy {
	if w.target.Policy == nil {
		return retention.Policy{}
	}
	return w.target.Policy(series)
}

// unlisted are the backups, by series, that the target should have, by what the journal knows, and that are not in its listing.
// Those of a dump that is there in another object are replaced: repair has sealed it anew.
func (w *worker) unlisted(h *history) (gone map[string][]retention.Backup, replaced []string, err error) {
	listed := map[string]bool{}
	for _, backups := range h.series {
		for _, b := range backups {
			listed[b.Object] = true
		}
	}
	gone = map[string][]retention.Backup{}
	err = w.agent.journal.Known(w.target.Name, func(object string, v journal.Verdict) {
		name, err := vault.Parse(object)
		if err != nil || listed[object] {
			return
		}
		if id := identity(name, v); id != "" && h.dumps[id] {
			replaced = append(replaced, object)
			return
		}
		gone[name.Series] = append(gone[name.Series], retention.Backup{
			Object: object, Dump: identity(name, v), Shape: dump.Shape(name.File), Taken: name.Taken, Found: v.Found, Stored: v.Stored,
			Suspect: v.Suspect, Unsound: v.Unsound,
		})
	})
	return gone, replaced, err
}

// reallyGone asks the target for each: it may have come since the target was listed, and a listing may be cut short.
func (w *worker) reallyGone(ctx context.Context, gone map[string][]retention.Backup) (map[string][]retention.Backup, error) {
	really := map[string][]retention.Backup{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reading)
	for series, backups := range gone {
		for _, b := range backups {
			group.Go(func() error {
				name, err := vault.Parse(b.Object)
				if err != nil {
					return err
				}
				if _, err := w.target.Stat(ctx, name.Manifest()); !isMissing(err) {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				really[series] = append(really[series], b)
				return nil
			})
		}
	}
	return really, group.Wait()
}

// missing tells of a backup that is gone, and has its dump found anew if it lies on this host. One that retention would have
// removed is forgotten: prune by hand has, or another machine.
func (w *worker) missing(b retention.Backup, missed bool) error {
	if !missed {
		return w.forget(b.Object)
	}
	w.mu.Lock()
	w.result.Gone++
	w.mu.Unlock()
	if w.toldHeld(b.Object, "gone") {
		w.log.Error("a backup is gone from the target, and no retention of ours removed it", "object", b.Object)
	}
	name, err := vault.Parse(b.Object)
	if err != nil || w.target.Retention != Enforce {
		return err
	}
	d, err := w.agent.journal.ByID(name.ID)
	if err != nil || d == nil || d.Targets[w.target.Name].State != journal.Delivered {
		return err
	}
	d, err = w.agent.journal.Update(d.ID, func(d *journal.Dump) { delete(d.Targets, w.target.Name) })
	if err != nil {
		return err
	}
	w.agent.findAgain(d.Path)
	return nil
}
