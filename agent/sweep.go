package agent

import (
	"context"
	"time"

	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
)

// abandonedAge is how old data without a manifest must be to count as an upload that nobody will finish.
const abandonedAge = 7 * 24 * time.Hour

// sweepUploads removes what uploads left that nobody will finish: parts cost money, and nobody sees them.
func (w *worker) sweepUploads(ctx context.Context) error {
	sweeper, ok := w.target.Target.(providers.Sweeper)
	if !ok {
		return nil
	}
	var owed []string
	err := w.agent.journal.EachUnsettled(func(d *journal.Dump) error {
		owed = append(owed, d.Object)
		return nil
	})
	if err != nil {
		return err
	}
	removed, err := sweeper.Sweep(ctx, vault.HostDir(w.agent.Host), w.agent.Now().Add(-abandonedAge), owed)
	if removed > 0 {
		w.log.Info("removed what uploads had left that nobody finished", "uploads", removed)
	}
	return err
}

// sweep removes data without a manifest that is too old to be an upload under way, and not one of ours that is owed. It
// refuses when the manifests may have been lost instead: where one was seen before, and where there are many at once.
func (w *worker) sweep(ctx context.Context, without []vault.Entry) error {
	var old []vault.Entry
	for _, e := range without {
		d, err := w.agent.journal.ByID(e.ID)
		if err != nil {
			return err
		}
		was, err := w.agent.journal.Verdicts(w.target.Name, []string{e.Object})
		if err != nil {
			return err
		}
		if _, err := w.target.Stat(ctx, e.Name.Manifest()); err == nil {
			continue // it was committed since the target was listed
		} else if !isMissing(err) && !mayNotLook(err) {
			return err
		}
		if was[0] != nil || d != nil && d.Targets[w.target.Name].State == journal.Delivered {
			if w.toldHeld(e.Object, "manifest gone") {
				w.log.Error("the manifest of a backup is gone; its data stays", "object", e.Object)
			}
			continue
		}
		now := w.agent.Now()
		if d != nil && d.Open() || e.Modified.IsZero() || now.Sub(e.Modified) < abandonedAge || now.Sub(e.Taken) < abandonedAge {
			continue
		}
		old = append(old, e)
	}
	if len(old) > retention.MassLimit {
		if w.toldHeld("", "many") {
			w.log.Error("much data without manifests: were they deleted? It stays", "objects", len(old), "first", old[0].Name.String())
		}
		return nil
	}
	for _, e := range old {
		err := w.vault.RemoveData(ctx, e.Name)
		if err != nil && !mayNotLook(err) {
			return err
		}
		if err == nil {
			w.log.Info("removed an upload that nobody finished", "object", e.Object, "stored", e.Modified)
		}
	}
	return nil
}
