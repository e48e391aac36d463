package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/vault"
)

// adoption decides which dumps of the past a target takes: with years of dumps in the directory at the first start, or
// after the state was lost, only those that its retention would keep. A dump that is the newest of its series, as each
// is that cron makes, is never asked about.
type adoption struct {
	outdated atomic.Bool // the target is to be looked at again

	mu     sync.Mutex            // held while the target is asked, which may take its time
	series map[string]*pastDumps // nil until it is needed
}

// pastDumps is one series as it would be if the target took all that it is owed.
type pastDumps struct {
	backups map[string]retention.Backup
	stale   bool            // the plan does not know all of backups
	removed map[string]bool // by the plan
}

func (p *pastDumps) add(b retention.Backup) {
	if _, there := p.backups[b.Object]; !there {
		p.backups[b.Object] = b
		p.stale = true
	}
}

// wants says whether the target would keep the dump if it had it now.
func (w *worker) wants(ctx context.Context, d *journal.Dump) (bool, error) {
	if !w.prunes() || w.target.Retention != Enforce || w.agent.isNewest(d) || w.agent.named {
		return true, nil
	}
	w.adoption.mu.Lock()
	defer w.adoption.mu.Unlock()
	if w.adoption.outdated.Swap(false) {
		w.adoption.series = nil
	}
	if w.adoption.series == nil {
		err := w.loadAdoption(ctx)
		if mayNotLook(err) {
			return true, nil // nor may retention remove anything
		}
		if err != nil {
			return false, err
		}
	}
	p := w.adoption.of(d.Series)
	p.add(candidate(d))
	if p.stale {
		var all []retention.Backup
		for _, b := range p.backups {
			all = append(all, b)
		}
		p.removed, p.stale = map[string]bool{}, false
		for _, gone := range retention.Make(w.agent.Now(), w.target.Policy(d.Series), all).Remove {
			p.removed[gone.Object] = true
		}
	}
	return !p.removed[d.Object], nil
}

// of is one series, made when it is first asked for. The caller holds the lock.
func (a *adoption) of(series string) *pastDumps {
	p := a.series[series]
	if p == nil {
		p = &pastDumps{backups: map[string]retention.Backup{}}
		a.series[series] = p
	}
	return p
}

// loadAdoption puts together what the target holds and what it is owed. What it is owed comes first: a dump that is delivered
// while the target is listed must not be missing from both. One that is still being looked at counts as fine until somebody
// knows better: else each of them would let an older one through. The caller holds the lock.
func (w *worker) loadAdoption(ctx context.Context) error {
	var owed []*journal.Dump
	err := w.agent.journal.EachUnsettled(func(d *journal.Dump) error {
		if d.Targets[w.target.Name].State == journal.Owed {
			owed = append(owed, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	h, err := w.history(ctx, "")
	if err != nil {
		return err
	}
	w.adoption.series = map[string]*pastDumps{}
	for series, backups := range h.series {
		for _, b := range backups {
			if b.Suspect == suspectPending {
				b.Suspect = ""
			}
			w.adoption.of(series).add(b)
		}
	}
	for _, d := range owed {
		w.adoption.of(d.Series).add(candidate(d))
	}
	return nil
}

// forget makes the next question look at the target again. It waits for nobody.
func (a *adoption) forget() { a.outdated.Store(true) }

// reconsider finds the dumps of a series anew that targets have declined, since others of it, for which they were declined, are
// not what they seemed.
func (a *Agent) reconsider(series string) error {
	paths, err := a.journal.Undecline(series)
	if err != nil {
		return err
	}
	for _, w := range a.workers {
		w.adoption.forget()
	}
	for _, path := range paths {
		a.findAgain(path)
	}
	return nil
}

// findAgain makes the watcher give out a file once more.
func (a *Agent) findAgain(path string) {
	a.watcher.Requeue(path)
	a.unfound.Store(true)
}

// candidate is a dump as the backup that it would be on the target.
func candidate(d *journal.Dump) retention.Backup {
	b := retention.Backup{
		Object: d.Object, Dump: identityOf(d), Shape: dump.Shape(d.Name), Taken: d.Taken.Truncate(time.Second), Found: d.Found,
		Stored: d.File.Size, Suspect: d.Suspect,
	}
	if d.Health != nil && d.Health.State == dump.Suspect {
		b.Suspect = d.Health.Reason
	}
	return b
}

// identityOf is the Identity of a dump that is to be a backup.
func identityOf(d *journal.Dump) string {
	name, err := vault.Parse(d.Object)
	if err != nil {
		return ""
	}
	return identity(name, journal.Verdict{Print: printOf(vault.Sum(d.Fingerprint))})
}

// decline records that the target does not get the dump, since its retention would remove it at once.
func (w *worker) decline(d *journal.Dump) error {
	now, err := w.agent.journal.Update(d.ID, func(d *journal.Dump) {
		d.Targets[w.target.Name] = journal.Delivery{State: journal.Declined, At: w.agent.Now(), Policy: w.target.Policy(d.Series).String()}
	})
	if err != nil {
		return err
	}
	if !now.Open() {
		w.agent.held.drop(d.ID)
	}
	w.log.Info("not shipped: retention would remove it at once", "dump", d.Path, "taken", d.Taken)
	w.mu.Lock()
	w.result.Declined++
	w.mu.Unlock()
	return w.agent.settle(d.ID)
}

// newest remembers the newest dump of each series that is on this host, and the size of the last one on each file system.
type newest struct {
	mu    sync.Mutex
	taken map[string]time.Time
	sizes map[uint64]int64 // by device
}

func newNewest() newest { return newest{taken: map[string]time.Time{}, sizes: map[uint64]int64{}} }

func (n *newest) note(d *journal.Dump) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, known := n.taken[d.Series]; !known || d.Taken.After(t) {
		n.taken[d.Series] = d.Taken
	}
	n.sizes[d.File.Dev] = d.File.Size
}

func (n *newest) size(device uint64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sizes[device]
}

// isNewest says whether this host has met no later dump of the series.
func (a *Agent) isNewest(d *journal.Dump) bool {
	a.newest.mu.Lock()
	defer a.newest.mu.Unlock()
	return !d.Taken.Before(a.newest.taken[d.Series])
}
