package agent

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
)

// ship brings one dump to the worker's target: steps 5 to 7 of its life. Every step may be repeated after a crash.
func (w *worker) ship(ctx context.Context, d *journal.Dump) error {
	switch t := d.Targets[w.target.Name]; {
	case t.Pending:
		return w.stamp(ctx, d)
	case t.State != journal.Owed:
		return w.tidy(ctx, d)
	}
	if there, err := w.foundThere(ctx, d); there || err != nil {
		return err
	}
	if wanted, err := w.wants(ctx, d); err != nil {
		return err
	} else if !wanted {
		return w.decline(d)
	}
	s, err := w.agent.board(d)
	if err != nil {
		return err
	}
	defer w.agent.leave(s)

	w.agent.underway.started(w.target.Name, d, s.sealing.Size())
	err = w.deliver(ctx, s)
	w.agent.underway.ended(w.target.Name, d, err)
	return err
}

// deliver puts the data, then the manifest, then the entry in the journal, which may lag but never leads.
func (w *worker) deliver(ctx context.Context, s *shipment) error {
	begin := w.agent.Now()
	again := w.begin(s)
	if again {
		if committed, err := w.committed(ctx, s); committed || err != nil {
			return err
		}
	}
	sent, err := w.put(ctx, s, again)
	if err != nil {
		return err
	}
	m, signed, err := s.complete(ctx, patience(w.agent.Now().Sub(begin)))
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return errors.Join(err, w.abandon(ctx, s.name))
	}
	locked, err := w.firstLock(ctx, s.name.Series, s.name.Taken)
	if err != nil {
		return err
	}
	if err := w.vault.Commit(ctx, s.name, signed, locked); err != nil {
		return err
	}
	if err := w.record(s.dump, &m); err != nil {
		return err
	}
	took := w.agent.Now().Sub(begin)
	w.tally.deliveredDump(w.agent.Now(), took)
	w.log.Info("delivered", "dump", s.dump.Path, "object", s.name.String(), "bytes", s.sealing.Size(), "sent", sent, "took", took.Round(time.Millisecond))
	return nil
}

// begin notes that the target has something of this dump from now on, and says whether it may have had before: of this
// run, or of an earlier one that had the same sealing.
func (w *worker) begin(s *shipment) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	again := w.begun[s.dump.ID] || s.resumed
	w.begun[s.dump.ID] = true
	return again
}

// committed says whether an earlier try got as far as the manifest and only the journal does not know.
func (w *worker) committed(ctx context.Context, s *shipment) (bool, error) {
	m, _, err := w.vault.Manifest(ctx, s.name)
	if isMissing(err) || mayNotLook(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	whole, err := w.vault.HasData(ctx, s.name, m.Stored)
	if err != nil || !whole {
		return false, err
	}
	w.log.Info("was delivered before a restart", "dump", s.dump.Path, "object", m.Object)
	return true, w.record(s.dump, m)
}

// put brings the data, and gives the number of bytes that it had to send for that.
func (w *worker) put(ctx context.Context, s *shipment, again bool) (int64, error) {
	if again {
		whole, err := w.vault.HasData(ctx, s.name, s.sealing.Size())
		if whole || err != nil && !mayNotLook(err) {
			return 0, err
		}
		w.log.Info("was begun before: sends what the target lacks", "dump", s.dump.Path, "object", s.name.String())
	}
	var sent atomic.Int64
	src := &source{
		shipment: s, share: w.share, limiter: w.limiter,
		had: func(n int64) { w.agent.underway.had(w.target.Name, s.dump, n) },
		sent: func(n int64) {
			sent.Add(n)
			w.tally.sent(n)
			w.agent.underway.sent(w.target.Name, s.dump, n)
		},
	}
	locked, err := w.firstLock(ctx, s.name.Series, s.name.Taken)
	if err != nil {
		return 0, err
	}
	err = w.vault.Put(ctx, s.name, src, locked)
	return sent.Load(), err
}

// mayNotLook: credentials that may only write are a good idea. Then what may be there is sent again.
func mayNotLook(err error) bool { return errors.Is(err, fs.ErrPermission) }

// record writes down that the target has the dump, with this manifest.
func (w *worker) record(d *journal.Dump, m *vault.Manifest) error {
	defer w.agent.pulse.begin("the journal").ends()
	pending := m.Health.State == dump.Pending
	verdicts := map[string]journal.Verdict{}
	if !pending { // else retention waits for the verdict
		verdicts[m.Object] = verdictOf(m, "")
	}
	now, err := w.agent.journal.Deliver(d.ID, w.target.Name, verdicts, func(d *journal.Dump) {
		d.Fingerprint = m.Fingerprint
		d.Targets[w.target.Name] = journal.Delivery{State: journal.Delivered, Object: m.Object, At: w.agent.Now(), Pending: pending}
	})
	if err != nil {
		return err
	}
	if !now.Open() {
		w.agent.held.drop(d.ID)
	}
	if d.Former != "" {
		if former, err := w.agent.journal.ByID(d.Former); err != nil {
			return err
		} else if former != nil && former.Object != m.Object { // it is there again, under its new name
			if err := w.agent.journal.Gone(w.target.Name, []string{former.Object}, nil); err != nil {
				return err
			}
		}
	}
	if !pending {
		w.gotDump(d.Series)
	}
	w.mu.Lock()
	delete(w.begun, d.ID)
	w.result.Delivered++
	if pending {
		w.unjudge(m)
	}
	w.mu.Unlock()
	return w.agent.settle(d.ID)
}

// tidy removes what a sealing that will never be finished left on the target. But a crash may have come between the
// manifest and the journal: what the target has whole is a backup, perhaps the last one of this dump, and stays.
func (w *worker) tidy(ctx context.Context, d *journal.Dump) error {
	if d.Targets[w.target.Name].State != journal.Lost {
		return nil
	}
	name, err := vault.Parse(d.Object)
	if err != nil {
		return err
	}
	m, _, err := w.vault.Manifest(ctx, name)
	if err == nil {
		w.log.Info("was delivered before a restart", "dump", d.Path, "object", m.Object)
		return w.record(d, m)
	}
	if !isMissing(err) {
		if mayNotLook(err) {
			return nil
		}
		return err
	}
	if err := w.vault.RemoveData(ctx, name); !mayNotLook(err) {
		return err
	}
	w.log.Info("the target keeps what an upload had begun, of a dump that is gone", "object", d.Object)
	return nil
}

// abandon removes data right after the failure, with a context that outlives the transfer's.
func (w *worker) abandon(ctx context.Context, name vault.Name) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := w.vault.RemoveData(ctx, name)
	if mayNotLook(err) {
		return nil
	}
	return err
}
