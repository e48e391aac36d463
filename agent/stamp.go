package agent

import (
	"context"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
)

// stamp writes the manifest anew on a target that got it before there was a verdict on the dump. Keys that may only write get the one
// that was written, if it was by this process.
func (w *worker) stamp(ctx context.Context, d *journal.Dump) error {
	if d.Health == nil {
		return w.agent.reexamine(d)
	}
	object := d.Targets[w.target.Name].Object
	name, err := vault.Parse(object)
	if err != nil {
		return err
	}
	m, _, err := w.vault.Manifest(ctx, name)
	if mine, ok := w.judged(object); ok && mayNotLook(err) {
		m, err = &mine, nil
	}
	switch {
	case isMissing(err): // retention or somebody else has removed it
	case mayNotLook(err):
		w.log.Warn("the manifest does not say how the dump is: these credentials may not read it",
			"object", object, "health", d.Health.State, "reason", d.Health.Reason)
	case err != nil:
		return err
	case m.Health.State == dump.Pending:
		m.Health = vault.Health(*d.Health)
		if err := w.recommit(ctx, name, m); err != nil {
			return err
		}
	}
	if _, err := w.agent.journal.Update(d.ID, func(d *journal.Dump) {
		t := d.Targets[w.target.Name]
		t.Pending = false
		d.Targets[w.target.Name] = t
	}); err != nil {
		return err
	}
	w.mu.Lock()
	delete(w.unjudged, object)
	w.mu.Unlock()
	w.gotDump(d.Series)
	return w.agent.settle(d.ID)
}

// mostUnjudged is how many manifests are held for keys that may not read them back, and mostBlocks how many sums of blocks, 32 bytes
// each, such a manifest may have: a few megabytes in all, whatever the sizes of the dumps.
const (
	mostUnjudged = 1000
	mostBlocks   = 256
)

// unjudge holds a manifest that went out before the verdict. It is called with mu locked.
func (w *worker) unjudge(m *vault.Manifest) {
	if len(w.unjudged) < mostUnjudged && len(m.Blocks) <= mostBlocks {
		w.unjudged[m.Object] = *m
	}
}

// judged gives the manifest back. After a restart, or where there are too many, or for a dump of more than 4 GiB, there is none.
func (w *worker) judged(object string) (vault.Manifest, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.unjudged[object]
	return m, ok
}

// recommit signs a manifest that says something else of its dump's health now, and stores it over the old one.
func (w *worker) recommit(ctx context.Context, name vault.Name, m *vault.Manifest) error {
	signed, err := vault.Sign(w.agent.Signer, m)
	if err != nil {
		return err
	}
	locked, err := w.firstLock(ctx, name.Series, name.Taken)
	if err != nil {
		return err
	}
	if err := w.vault.Commit(ctx, name, signed, locked); err != nil {
		return err
	}
	return w.agent.journal.SetVerdicts(w.target.Name, map[string]journal.Verdict{m.Object: verdictOf(m, "")})
}
