package agent

import (
	"context"
	"errors"

	"offsite/agent/journal"
	"offsite/agent/watch"
)

// errVanished: the dump's file is no longer there.
var errVanished = errors.New("the dump is gone from the disk")

// lose gives up a dump that went away or changed before every target had it. What its path holds now is another dump. Each target on which
// something of it was begun tidies up, also one that finds out when another has before.
func (a *Agent) lose(ctx context.Context, d *journal.Dump, cause error) error {
	var lacking []string
	sealed := false
	now, err := a.journal.Update(d.ID, func(now *journal.Dump) {
		lacking, sealed = lacking[:0], now.Sealing != nil || d.Sealing != nil
		for name, t := range now.Targets {
			if t.State == journal.Owed {
				lacking = append(lacking, name)
				now.Targets[name] = journal.Delivery{State: journal.Lost, At: a.Now()}
			}
		}
	})
	if err != nil {
		return err
	}
	a.tidyLater(now, sealed)
	if len(lacking) == 0 {
		return nil
	}
	a.held.drop(d.ID)
	if err := a.settle(d.ID); err != nil {
		return err
	}
	a.Log.Error("dump was lost before all targets had it", "dump", d.Path, "targets", lacking, "err", cause)
	a.missed(d, lacking, cause)
	for _, w := range a.workers {
		if now.Targets[w.target.Name].State == journal.Lost {
			w.mu.Lock()
			w.result.Lost++
			w.mu.Unlock()
		}
	}
	for _, path := range []string{d.Path, now.Path, a.watcher.Find(watch.FileID(d.File))} {
		if path != "" {
			a.watcher.Requeue(path)
		}
	}
	if err := a.reconsider(d.Series); err != nil {
		return err
	}
	return ctx.Err()
}

// tidyLater queues a lost dump for the targets that may have something of it: of this run, or, if it was sealed, of an earlier one.
func (a *Agent) tidyLater(d *journal.Dump, sealed bool) {
	for _, w := range a.workers {
		w.mu.Lock()
		begun := w.begun[d.ID] || sealed
		w.mu.Unlock()
		if begun && d.Targets[w.target.Name].State == journal.Lost {
			w.queue.push(d.ID)
		}
	}
}
