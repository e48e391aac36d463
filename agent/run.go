package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"offsite/agent/watch"
)

// Run ships until ctx ends, and then returns nil once everything it started has ended. A transfer that is cut off by
// that goes on at the next start. Any other return is a fault that stops the agent.
func (a *Agent) Run(ctx context.Context) error {
	a.open(false)
	err := ended(ctx, a.run(ctx))
	a.close(ctx, err)
	return err
}

func (a *Agent) run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	found := make(chan watch.File, atOnce)
	group.Go(func() error { return a.watch(running, found) })
	group.Go(func() error { return a.discover(running, found) })
	group.Go(func() error { return a.exams.run(running, a.judged) })
	group.Go(func() error { return a.relieve(running) })
	group.Go(func() error { return a.watchAlarms(running) })
	group.Go(func() error { return a.watchPings(running) })
	group.Go(func() error {
		select {
		case <-a.watcher.Ready():
			return sendTo(found)(running, watch.File{}) // the end of what was there
		case <-running.Done():
			return running.Err()
		}
	})
	for _, w := range a.workers {
		group.Go(func() error {
			// First look what is on the disk: a dump that was renamed while the agent was down is not gone, and which dumps of the past
			// a target takes nobody can say before all of them are known.
			select {
			case <-a.scanned:
				return w.run(running, 0)
			case <-running.Done():
				return running.Err()
			}
		})
		group.Go(func() error { return w.tend(running) })
		group.Go(func() error { return w.care(running) })
	}
	return group.Wait()
}

// Once finds and ships what is due now, tells what is wrong, and returns. Each target gets a few tries for each dump.
func (a *Agent) Once(ctx context.Context) (Summary, error) {
	a.open(true)
	s, err := a.round(ctx)
	if err == nil && a.unfound.Swap(false) {
		s, err = a.round(ctx)
	}
	if err == nil {
		err = a.tellAlarms(ctx)
		a.sendPings(ctx)
		for _, p := range a.Pings.Alive {
			a.sendAlive(ctx, p)
		}
	}
	a.close(ctx, nil)
	return s, err
}

// round finds, ships and tidies up once.
func (a *Agent) round(ctx context.Context) (Summary, error) {
	found := make(chan watch.File, atOnce)
	group := new(errgroup.Group)
	var pending []watch.Pending
	group.Go(func() (err error) {
		defer close(found)
		pending, err = a.watcher.Scan(ctx, sendTo(found))
		return err
	})
	group.Go(func() error { return a.discover(ctx, found) })
	scanErr := group.Wait()
	if ctx.Err() != nil {
		return Summary{}, ctx.Err()
	}
	s, err := a.drain(ctx) // what was found is shipped even if another directory could not be read
	if err == nil {
		err = a.tidyUp(ctx, &s)
	}
	err = errors.Join(scanErr, err)
	s.Unshipped = a.refused.texts()
	for _, p := range pending {
		text := fmt.Sprintf("%s: %s", p.Path, p.Reason)
		if p.Trouble {
			s.Unshipped = append(s.Unshipped, text)
		} else {
			s.Unfinished = append(s.Unfinished, text)
		}
	}
	return s, err
}

// drain ships what is owed, and returns when every worker has nothing left that it could try, and every dump its verdict.
func (a *Agent) drain(ctx context.Context) (Summary, error) {
	group, ctx := errgroup.WithContext(ctx)
	examining, stop := context.WithCancel(ctx)
	group.Go(func() error { return ended(examining, a.exams.run(examining, a.judged)) })
	group.Go(func() error {
		defer stop()
		if err := a.work(ctx); err != nil {
			return err
		}
		if err := a.exams.idle(ctx); err != nil {
			return err
		}
		return a.work(ctx) // manifests that came before the verdict
	})
	err := group.Wait()
	var s Summary
	for _, w := range a.workers {
		s.add(w)
	}
	s.Suspect = a.suspects.all()
	return s, err
}

// work lets every worker do what it can.
func (a *Agent) work(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range a.workers {
		group.Go(func() error { return w.run(ctx, onceTries) })
	}
	return group.Wait()
}

// tidyUp applies retention to every target that has taken what it was owed.
func (a *Agent) tidyUp(ctx context.Context, s *Summary) error {
	for i, w := range a.workers {
		if s.Targets[i].Failed > 0 {
			continue
		}
		if err := w.retain(ctx, ""); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.Targets[i].Unpruned = err
		}
		s.Targets[i].Gone = w.gone()
		if err := w.careOnce(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.log.Warn("what lies on the target could not be looked at", "err", err)
		}
		s.Targets[i].Damaged = w.damagedSeen()
	}
	return nil
}

// watch runs the watcher. What it has found it may have to hold for as long as those that came before are looked at.
func (a *Agent) watch(ctx context.Context, found chan<- watch.File) error {
	l := a.pulse.begin("the watcher")
	defer l.ends()
	send := sendTo(found)
	a.watcher.Turns(l.rests)
	return a.watcher.Run(ctx, func(ctx context.Context, f watch.File) error {
		l.asks()
		defer l.turns()
		return send(ctx, f)
	})
}

func sendTo(found chan<- watch.File) func(context.Context, watch.File) error {
	return func(ctx context.Context, f watch.File) error {
		select {
		case found <- f:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended turns the end that the caller asked for into success.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}
