package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/crypto"
)

// judged takes the verdict on a dump into the journal, and tells the targets whose manifests lack it.
func (a *Agent) judged(id string, r dump.Report, failure error) error {
	d, err := a.journal.ByID(id)
	if err != nil || d == nil {
		return err
	}
	if errors.As(failure, new(*sourceFailure)) {
		a.unopened(d, failure)
		return nil
	}
	if failure != nil {
		r = dump.Report{Health: dump.Unchecked, Reason: fmt.Sprintf("it could not be looked at: %v", failure)}
	}
	why, err := a.suspicion(d, r, failure == nil)
	if err != nil {
		return err
	}
	if why != "" {
		r.Health, r.Reason = dump.Suspect, why
	}
	now, err := a.journal.Update(id, func(d *journal.Dump) {
		d.Health = &journal.Health{State: r.Health, Reason: r.Reason, Kind: string(r.Kind), Packing: r.Packing, Unpacked: r.Unpacked}
	})
	if err != nil {
		return err
	}
	if r.Health == dump.Suspect {
		a.Log.Error("dump is suspect", "dump", d.Path, "series", d.Series, "reason", r.Reason)
		a.suspects.note(fmt.Sprintf("%s: %s", d.Path, r.Reason))
		a.hurry()
		if err := a.reconsider(d.Series); err != nil {
			return err
		}
	}
	for _, w := range a.workers {
		if now.Targets[w.target.Name].Pending {
			w.queue.push(id)
		}
	}
	a.changed.ring()
	return a.settle(id)
}

// suspicion says why a dump is suspect by what is known beside its bytes: its name, its format, its size; empty: it is not. What its bytes
// say of it counts more than format and size. looked says that they were looked at.
func (a *Agent) suspicion(d *journal.Dump, r dump.Report, looked bool) (why string, err error) {
	if d.Suspect != "" {
		return d.Suspect, nil
	}
	if looked {
		if why, err = a.strangeFormat(d, r); why != "" || err != nil {
			return why, err
		}
	}
	if r.Health == dump.Suspect {
		return "", nil
	}
	return a.oddSize(d)
}

// reexamine begins the exam of a dump that was delivered before there was a verdict, and of which an earlier run knew none.
// Where it cannot be opened now, as when its file system is not mounted, that is an error, and no verdict.
func (a *Agent) reexamine(d *journal.Dump) error {
	f, err := a.reopen(d.ID)
	if isGone(err) {
		return a.judged(d.ID, dump.Report{}, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	x, err := a.exams.begin(d.ID, f, d.File.Size)
	if err == nil {
		x.free()
	}
	return err
}

// isGone says whether nobody will ever see the dump again as it was found.
func isGone(err error) bool {
	return errors.Is(err, errVanished) || errors.Is(err, crypto.ErrSourceChanged)
}

// unopened lets a dump whose exam could not open it rest, and then be examined again for the targets that lack the verdict.
func (a *Agent) unopened(d *journal.Dump, err error) {
	a.Log.Warn("the dump cannot be looked at now", "dump", d.Path, "err", err)
	for _, w := range a.workers {
		if d.Targets[w.target.Name].Pending {
			w.queue.later(d.ID, a.Now().Add(slow))
		}
	}
}

// reopen finds a dump for its exam. The file of a dump that was deleted meanwhile stays with those who have it to ship.
func (a *Agent) reopen(id string) (*os.File, error) {
	d, err := a.dump(id)
	if err != nil {
		return nil, err
	}
	a.shipments.mu.Lock()
	defer a.shipments.mu.Unlock()
	if s := a.shipments.by[id]; s != nil {
		return duplicate(s.file)
	}
	f, err := a.openDump(d)
	if err == nil && d.Open() && a.held.put(id, f) {
		return duplicate(f)
	}
	return f, err
}

// patience is how long a manifest waits for the verdict when the transfer took so long: a small dump has it at once, and a
// large one must not be without a manifest for it.
func patience(took time.Duration) time.Duration { return 100*time.Millisecond + took/40 }

// health is the verdict on the dump of a shipment, for which the caller has so much patience; Pending if there is none yet.
func (s *shipment) health(ctx context.Context, wait time.Duration) (*journal.Health, error) {
	if s.exam != nil {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-s.exam.done:
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d, err := s.agent.journal.ByID(s.dump.ID)
	if err != nil {
		return nil, err
	}
	if d != nil && d.Health != nil {
		return d.Health, nil
	}
	return &journal.Health{State: dump.Pending}, nil
}
