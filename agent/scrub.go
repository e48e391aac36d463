package agent

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
)

// Scrub is how often the data of every backup on a target is read and compared with its signed sums.
type Scrub struct {
	// Every is in how much time all of it is read once; 0: never.
	Every time.Duration
	// Budget is how many bytes may be read a day; 0: as many as Every takes.
	Budget int64
}

// care looks after what lies on the target as long as the agent runs, once a day.
func (w *worker) care(ctx context.Context) error {
	for {
		place, err := w.agent.journal.Place(w.target.Name)
		if err != nil {
			return err
		}
		select {
		case <-w.readAgain:
			err = w.compareDamaged(ctx)
		case <-time.After(min(daily, place.Scrubbed.Add(daily).Sub(w.agent.Now()))): // the clock may have been ahead
			err = w.careOnce(ctx)
		case <-ctx.Done():
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("what lies on the target could not be looked at", "err", err)
			sleep(ctx, slow, nil)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// careOnce reads the day's share, and fills what the target lacks, unless that was done within the last day.
func (w *worker) careOnce(ctx context.Context) error {
	place, err := w.agent.journal.Place(w.target.Name)
	if err != nil || w.agent.Now().Sub(place.Scrubbed).Abs() < daily {
		return err
	}
	err = errors.Join(w.scrub(ctx), w.backfill(ctx))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, w.agent.journal.SetScrubbed(w.target.Name, w.agent.Now()))
}

// compareDamaged reads again what was damaged, since somebody may have mended it; and what somebody says is.
func (w *worker) compareDamaged(ctx context.Context) error {
	w.mu.Lock()
	damaged := w.doubted
	w.doubted = nil
	w.mu.Unlock()
	err := w.agent.journal.Known(w.target.Name, func(object string, v journal.Verdict) {
		if v.Damage != "" || v.Unread != "" {
			damaged = append(damaged, object)
		}
	})
	for _, object := range damaged {
		err = errors.Join(err, w.compare(ctx, object))
	}
	return err
}

// scrub reads the share of a day: what was not read for the longest time comes first.
func (w *worker) scrub(ctx context.Context) error {
	if w.target.Scrub.Every == 0 {
		return nil
	}
	h, err := w.partialHistory(ctx, "")
	if mayNotLook(err) {
		return nil
	}
	if err != nil {
		return err
	}
	all, total, err := w.unread(h)
	if err != nil {
		return err
	}
	looked, read, err := w.readShare(ctx, all, total)
	if looked > 0 {
		w.log.Info("scrub: read backups and compared them", "backups", looked, "bytes", read)
	}
	return err
}

// readShare compares backups, the first of all first, until what must be read today was, or no more may be. It gives how many those were,
// and their size.
func (w *worker) readShare(ctx context.Context, all []unread, total int64) (looked int, read int64, err error) {
	need, most := w.today(all, total)
	inARow := 0
	for _, b := range all {
		if b.since.IsZero() && read > 0 && read+b.Stored > most/2 {
			continue // the damaged leave room for the others, and take turns
		}
		if need-read < b.Stored && w.left(b) >= 1 {
			break
		}
		if read > 0 && read+b.Stored > most {
			if budget := w.target.Scrub.Budget; most == budget && w.left(b) < 0 {
				w.log.Warn("the scrub does not keep up: its budget is too small", "budget", budget, "unread_since", b.since)
			}
			break
		}
		err := w.compare(ctx, b.Object)
		if ctx.Err() != nil {
			return looked, read, ctx.Err()
		}
		if err != nil {
			if inARow++; inARow == maxUnread {
				return looked, read, err
			}
			continue // one that rots away is no reason to read no other
		}
		inARow = 0
		read += b.Stored
		looked++
	}
	return looked, read, nil
}

// maxUnread is after how many backups in a row that cannot be read the target is to blame.
const maxUnread = 5

// unread is a backup with the time since when nobody has read it, or when it was found.
type unread struct {
	retention.Backup
	since time.Time // zero: it was damaged
	last  time.Time // the last look
}

// unread are the backups whose data can be compared, what was damaged first, and then what was not read for the longest time; and
// their size in all.
func (w *worker) unread(h *history) (all []unread, total int64, err error) {
	for _, backups := range h.series {
		var objects []string
		for _, b := range backups {
			objects = append(objects, b.Object)
		}
		verdicts, err := w.agent.journal.Verdicts(w.target.Name, objects)
		if err != nil {
			return nil, 0, err
		}
		for i, b := range backups {
			v := verdicts[i]
			if v == nil || b.Unsound != "" && v.Damage == "" {
				continue // its manifest says nothing of its data
			}
			total += b.Stored
			u := unread{b, b.Found, v.Proven}
			if v.Proven.After(u.since) {
				u.since = v.Proven
			}
			if v.Damage != "" || v.Unread != "" {
				u.since = time.Time{}
			}
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b unread) int {
		return cmp.Or(a.since.Compare(b.since), a.last.Compare(b.last), cmp.Compare(a.Object, b.Object))
	})
	return all, total, nil
}

// today is how many bytes must be read so that with an even share each day none is left unread for longer than Every, and how many
// may be: two shares, since all may be overdue after the state was lost.
func (w *worker) today(all []unread, total int64) (need, most int64) {
	share := float64(total) / (float64(w.target.Scrub.Every) / float64(daily))
	before := 0.0
	for _, b := range all {
		before += float64(b.Stored)
		need = max(need, int64(before-share*max(0, w.left(b))))
	}
	most = int64(2 * share)
	if budget := w.target.Scrub.Budget; budget > 0 && budget < most {
		most = budget
	}
	return need, most
}

// left is in how many days from today a backup must be read.
func (w *worker) left(b unread) float64 {
	return float64(w.target.Scrub.Every-w.agent.Now().Sub(b.since)) / float64(daily)
}

// compare reads the data of one backup, in the target's own memory, and writes down what came of it.
func (w *worker) compare(ctx context.Context, object string) error {
	name, err := vault.Parse(object)
	if err != nil {
		return err
	}
	m, err := w.vault.Verify(ctx, name, vault.Head)
	if err == nil {
		src := vault.Copies{Vaults: []*vault.Vault{w.vault}}.Source(m, w.share.take)
		for i := 0; i < providers.Blocks(src) && err == nil; i++ {
			var b *providers.Block
			if b, err = src.Block(ctx, i); err == nil {
				w.tally.compared(b.Body.Size())
				b.Release()
			}
		}
	}
	if isMissing(err) {
		return nil // removed since it was listed
	}
	switch conditionOf(err) {
	case good:
		return w.agent.journal.SetProof(w.target.Name, object, journal.Proof{Proven: w.agent.Now()})
	case damaged:
		w.log.Error("a backup is damaged on the target; `offsite repair` makes it whole", "object", object, "err", err)
		w.foundDamaged()
		return w.agent.journal.SetProof(w.target.Name, object, journal.Proof{Proven: w.agent.Now(), Damage: err.Error()})
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, w.unreadable(ctx, name, err))
}

// unreadable notes that the data of a backup cannot be read, if the target answers when it is asked whether it is there: disks rot like
// that.
func (w *worker) unreadable(ctx context.Context, name vault.Name, cause error) error {
	if _, err := w.target.Stat(ctx, name.String()); err != nil {
		return nil // nobody knows whose fault it is
	}
	w.log.Error("a backup cannot be read, though the target answers", "object", name.String(), "err", cause)
	w.foundDamaged()
	verdicts, err := w.agent.journal.Verdicts(w.target.Name, []string{name.String()})
	if err != nil || verdicts[0] == nil {
		return err
	}
	proof := verdicts[0].Proof
	proof.Unread = cause.Error()
	return w.agent.journal.SetProof(w.target.Name, name.String(), proof)
}

func (w *worker) foundDamaged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Damaged++
}
