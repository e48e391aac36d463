package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"offsite/agent/journal"
	"offsite/agent/limit"
	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
)

const (
	// transfers is how many dumps go to one target at once. Large ones share the memory; small ones hide the round
	// trips of each other.
	transfers = 16
	// onceTries is how often in a row a target may fail before Once gives it up.
	onceTries = 3
	// slow is the pause after an error that will not go away by itself.
	slow = 5 * time.Minute
)

// worker ships to one target, whatever the others do.
type worker struct {
	agent   *Agent
	target  Target
	vault   *vault.Vault
	share   *share
	limiter *limit.Limiter
	queue   *queue
	log     *slog.Logger

	mu         sync.Mutex
	backoff    *backoff.ExponentialBackOff
	failures   int                       // in a row
	begun      map[string]bool           // dumps of which the target may have something already
	unjudged   map[string]vault.Manifest // what went out before the verdict, by object: keys that may only write cannot read it back
	result     Result
	tally      *tally
	heldFor    map[string]string // series whose retention is held, and why
	denied     map[string]bool   // backups that the target does not let go
	doubted    []string          // objects of which somebody says that they are damaged
	toldHidden providers.Hidden

	spoilt map[string]bool // backups that are damaged, of which repair makes others; filled before the worker runs

	adoption  adoption
	retaining sync.Mutex      // one plan at a time
	delivered map[string]bool // series that retention should look at
	news      chan struct{}   // there are some
	lookAgain chan struct{}   // somebody asks that tend looks at the target again
	readAgain chan struct{}   // and that care reads again what is damaged
}

// newWorker makes the worker of a target, and starts nothing.
func newWorker(a *Agent, t Target, s *share) *worker {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = time.Second, slow
	return &worker{
		agent: a, target: t, vault: vault.New(t.Target, a.Trusted), share: s, limiter: limit.New(t.Limit, a.Now),
		queue: newQueue(), backoff: b, news: make(chan struct{}, 1), lookAgain: make(chan struct{}, 1), readAgain: make(chan struct{}, 1),
		begun: map[string]bool{}, unjudged: map[string]vault.Manifest{}, spoilt: map[string]bool{}, heldFor: map[string]string{},
		denied: map[string]bool{}, delivered: map[string]bool{},
		log: a.Log.With("target", t.Name), result: Result{Target: t.Name}, tally: newTally(&a.changed),
	}
}

// run ships what the target lacks until ctx ends. With tries > 0 it returns when nothing is left to do, or when the
// target has failed that often in a row.
func (w *worker) run(ctx context.Context, tries int) error {
	if err := w.surveyed(ctx, tries); err != nil {
		return giveUp(err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for n := range transfers {
		group.Go(func() error { return w.serve(ctx, tries, n == 0) })
	}
	return giveUp(group.Wait())
}

// giveUp makes the end of a target that was given up no error: its Result says so.
func giveUp(err error) error {
	if errors.Is(err, errGivenUp) {
		return nil
	}
	return err
}

// errGivenUp ends the transfers to a target that has failed too often for Once.
var errGivenUp = errors.New("given up")

// serve ships one dump after the other: the first found first, or the newest.
func (w *worker) serve(ctx context.Context, tries int, newest bool) error {
	l := w.agent.pulse.begin("a worker of target " + w.target.Name)
	defer l.ends()
	for {
		id, err := w.queue.take(ctx, w.agent.Now, newest, tries > 0, l)
		if err != nil || id == "" {
			return err
		}
		if err := w.attempt(ctx, id, tries, l); err != nil {
			return err
		}
	}
}

// attempt ships one dump and decides what its failure means. Only an error that ends the worker is returned.
func (w *worker) attempt(ctx context.Context, id string, tries int, l *loop) error {
	d, err := w.agent.dump(id)
	if err != nil {
		return err
	}
	l.asks()
	err = w.ship(ctx, d)
	l.turns()
	switch {
	case err == nil:
		w.succeeded()
		w.agent.unsents.shipped(d.Path)
		w.queue.done(id)
		return w.judgedMeanwhile(id)
	case d.Targets[w.target.Name].State == journal.Lost: // no delivery waits for the tidying
		w.log.Warn("cannot remove what was begun of a dump that is gone", "object", d.Object, "err", err)
		if tries > 0 {
			w.queue.done(id)
		} else {
			w.queue.later(id, w.agent.Now().Add(slow))
		}
		return nil
	case ctx.Err() != nil:
		w.queue.back(id, time.Time{})
		return ctx.Err()
	case errors.Is(err, crypto.ErrSourceChanged) || errors.Is(err, errVanished):
		w.queue.done(id)
		return w.agent.lose(ctx, d, err)
	case errors.As(err, new(*sourceFailure)):
		now, lookErr := w.agent.journal.ByID(id)
		if lookErr != nil {
			return lookErr
		}
		if now != nil && now.Targets[w.target.Name].State != journal.Owed {
			w.queue.back(id, time.Time{}) // lost meanwhile, as another target found: the next turn tidies up
			return nil
		}
		w.dumpFailed(d, err, tries)
		return nil
	case errors.As(err, new(*providers.Error)) || errors.Is(err, vault.ErrIntegrity):
		return w.targetFailed(ctx, d, err, tries)
	default:
		w.dumpFailed(d, err, tries)
		return nil
	}
}

// judgedMeanwhile queues a dump again if the verdict on it came after its manifest, and while it was in hand; or if nobody is looking
// for one, as when its exam could not open it.
func (w *worker) judgedMeanwhile(id string) error {
	d, err := w.agent.journal.ByID(id)
	if err != nil || d == nil {
		return err
	}
	if d.Targets[w.target.Name].Pending && (d.Health != nil || !w.agent.exams.has(id)) {
		w.queue.push(id)
	}
	return nil
}

// succeeded notes that the target works: what fails next begins with short pauses again.
func (w *worker) succeeded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = 0
	w.backoff.Reset()
	w.tally.succeeded()
}

// targetFailed makes the whole queue wait: what failed for one dump will fail for the next one too.
func (w *worker) targetFailed(ctx context.Context, d *journal.Dump, err error, tries int) error {
	pause, level := w.pause(err)
	w.log.Log(ctx, level, "cannot deliver", "dump", d.Path, "err", err, "retry_in", pause.Round(time.Second))
	w.tally.failed(w.agent.Now(), err)
	w.mu.Lock()
	w.failures++
	w.result.Err = err
	givenUp := tries > 0 && (w.failures >= tries || isPermanent(err))
	w.mu.Unlock()
	if givenUp {
		w.queue.back(d.ID, time.Time{})
		return errGivenUp
	}
	w.queue.back(d.ID, w.agent.Now().Add(pause))
	return nil
}

// pause is how long to wait after err, and how loudly to say so.
func (w *worker) pause(err error) (time.Duration, slog.Level) {
	if isPermanent(err) {
		return slow, slog.LevelError
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.backoff.NextBackOff(), slog.LevelWarn
}

func isPermanent(err error) bool {
	return errors.Is(err, providers.ErrPermanent) || errors.Is(err, fs.ErrPermission)
}

// dumpFailed: the trouble is with the file on this host, and other dumps need not wait for it.
func (w *worker) dumpFailed(d *journal.Dump, err error, tries int) {
	w.log.Error("cannot ship the dump: the trouble is on this host", "dump", d.Path, "err", err)
	w.tally.miscarried(err)
	w.agent.stuck(d.Path, err.Error())
	w.mu.Lock()
	w.result.Err = err
	if tries > 0 {
		w.result.Failed++
	}
	w.mu.Unlock()
	if tries > 0 {
		w.queue.done(d.ID)
	} else {
		w.queue.later(d.ID, w.agent.Now().Add(slow))
	}
}
