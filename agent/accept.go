package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
)

// Accepted is one backup on one target that was suspect and counts as healthy now.
type Accepted struct {
	Target, Object string
	// Reason is why it was suspect.
	Reason string
	// Health is what its manifest says now.
	Health vault.Health
}

// Accept settles a false alarm: the suspect backup of that file or object name counts as healthy on every target that has it,
// by a manifest that is signed anew. It also sets the example for the sizes of those to come. What fails on one target is
// part of the error.
func (a *Agent) Accept(ctx context.Context, what string) (all []Accepted, err error) {
	var failed []error
	objects := map[string]bool{}
	for _, w := range a.workers {
		found, err := w.suspect(ctx, what)
		if err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
		}
		for _, m := range found {
			objects[m.Object] = true
		}
	}
	if len(objects) > 1 {
		return nil, fmt.Errorf("%d suspect backups are called %q: write the object's name, which `offsite list --json` shows", len(objects), what)
	}
	for _, w := range a.workers {
		found, err := w.suspect(ctx, what)
		for _, m := range found {
			reason := m.Health.Reason
			if acceptErr := w.accept(ctx, m); acceptErr != nil {
				err = errors.Join(err, acceptErr)
				continue
			}
			all = append(all, Accepted{w.target.Name, m.Object, reason, m.Health})
		}
		if err != nil && len(found) > 0 {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
		}
	}
	return all, errors.Join(failed...)
}

// suspect are the manifests of the suspect backups that are called what.
func (w *worker) suspect(ctx context.Context, what string) (found []*vault.Manifest, err error) {
	for e, err := range w.vault.List(ctx, w.agent.Host) {
		if err != nil {
			return found, err
		}
		if !e.Manifest || !e.Called(what) {
			continue
		}
		m, _, err := w.vault.Manifest(ctx, e.Name)
		if err != nil {
			return found, err
		}
		if m.Health.State == dump.Suspect {
			found = append(found, m)
		}
	}
	return found, nil
}

func (w *worker) accept(ctx context.Context, m *vault.Manifest) error {
	name, err := vault.Parse(m.Object)
	if err != nil {
		return err
	}
	was := strings.TrimSpace(m.Health.Reason)
	m.Health.State, m.Health.Reason, m.Health.Accepted = dump.OK, "a person has accepted it; it was suspect: "+was, w.agent.Now().UTC()
	return w.recommit(ctx, name, m)
}

// HearAccepted takes it into the journal that a person has accepted a dump: a target that gets it later is told so, too.
func (a *Agent) HearAccepted(object string, h vault.Health) error {
	name, err := vault.Parse(object)
	if err != nil || h.Accepted.IsZero() {
		return err
	}
	d, err := a.journal.ByID(name.ID)
	if err != nil || d == nil || d.Object != object || d.Health == nil || d.Health.State != dump.Suspect {
		return err
	}
	_, err = a.journal.Update(name.ID, func(d *journal.Dump) {
		health := journal.Health(h)
		d.Health = &health
	})
	return err
}

// AcceptLoss forgets the backups of that file or object name which somebody else has removed from targets: they are not missed any more.
func (a *Agent) AcceptLoss(what string) (all []Accepted, err error) {
	for _, t := range a.Targets {
		var objects, ids []string
		err := a.journal.Known(t.Name, func(object string, v journal.Verdict) {
			name, err := vault.Parse(object)
			if err == nil && v.Trouble == troubleGone && name.Called(what) {
				objects, ids = append(objects, object), append(ids, name.ID)
				all = append(all, Accepted{Target: t.Name, Object: object})
			}
		})
		if err != nil {
			return all, err
		}
		if err := a.journal.Gone(t.Name, objects, ids); err != nil {
			return all, err
		}
	}
	a.changed.ring()
	return all, nil
}
