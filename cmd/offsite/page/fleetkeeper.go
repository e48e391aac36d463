package page

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"offsite/agent/status"
)

const (
	// fleetHolds is for how long a reading of the fleet holds, unless Options say otherwise.
	fleetHolds = 15 * time.Minute
	// fleetRetry is when a reading that failed is tried again; each further failure doubles it, up to what a reading holds.
	fleetRetry = time.Minute
	// fleetMoment is how long a visitor is kept waiting for the first reading, before a page says that it is under way.
	fleetMoment = 2 * time.Second
)

// fleetKeeper has what the target of the fleet held when it was last read. It is read in the background, by one at a time, and only when
// somebody looks at what is too old; whoever looks gets what there is.
type fleetKeeper struct {
	read   func(ctx context.Context) (*status.Fleet, error)
	every  time.Duration
	now    func() time.Time
	log    *slog.Logger
	wanted chan struct{} // somebody looked, and it is too old

	mu      sync.Mutex
	last    fleetLook
	changed chan struct{} // closed when last is another one
}

// fleetLook is what is shown of a fleet. Nobody writes to it.
type fleetLook struct {
	*status.Fleet        // nil: it was never read
	version       string // of the hosts in it
	reading       bool   // it is being read now
	tried         time.Time
	err           string // of the last try; empty: it went well
	old           bool   // the last try gave nothing that could be shown
	failures      int    // one after the other
	every         time.Duration
}

func newFleetKeeper(o Options) *fleetKeeper {
	if o.Fleet == nil {
		return nil
	}
	k := &fleetKeeper{read: o.Fleet, every: o.FleetEvery, now: o.Now, log: o.Log, wanted: make(chan struct{}, 1), changed: make(chan struct{})}
	if k.every <= 0 {
		k.every = fleetHolds
	}
	k.last.every = k.every
	return k
}

// Run reads the fleet when somebody looks at what is too old, until ctx ends. Without Options.Fleet there is nothing to do.
func (p *Page) Run(ctx context.Context) error {
	if p.fleet == nil {
		return nil
	}
	for {
		select {
		case <-p.fleet.wanted:
			p.fleet.readNow(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// look is what there is, at once. If it is too old, it asks for a new reading.
func (k *fleetKeeper) look() fleetLook {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due() {
		select {
		case k.wanted <- struct{}{}:
		default: // somebody else asked
		}
	}
	return k.last
}

// await is look for a visitor who comes first: a moment is waited for the first reading.
func (k *fleetKeeper) await(ctx context.Context) fleetLook {
	late := time.NewTimer(fleetMoment)
	defer late.Stop()
	for {
		changed := k.whenChanged()
		l := k.look()
		if l.Fleet != nil || !l.tried.IsZero() {
			return l
		}
		select {
		case <-changed:
		case <-late.C:
			return k.look()
		case <-ctx.Done():
			return l
		}
	}
}

// due says whether what there is is too old; mu is held.
func (k *fleetKeeper) due() bool {
	wait := k.every
	if n := k.last.failures; n > 0 {
		wait = min(k.every, fleetRetry<<min(n-1, 10))
	}
	return !within(k.now(), k.last.tried, wait)
}

// whenChanged is closed when there is something else to show. It is nil, which never is, without a fleet.
func (k *fleetKeeper) whenChanged() <-chan struct{} {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// edit makes another look of the last one, and tells of it.
func (k *fleetKeeper) edit(change func(*fleetLook)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.last)
	close(k.changed)
	k.changed = make(chan struct{})
}

// readNow reads, if it still is time to: it may have been asked for once more before the last reading ended.
func (k *fleetKeeper) readNow(ctx context.Context) {
	k.mu.Lock()
	due := k.due()
	k.mu.Unlock()
	if !due {
		return
	}
	k.edit(func(l *fleetLook) { l.reading = true })
	f, err := k.read(ctx)
	version := ""
	if f != nil {
		version = digest(f.Hosts)
	}
	if err != nil && ctx.Err() == nil {
		k.log.Warn("the fleet cannot be read, or not all of it", "err", err)
	}
	k.edit(func(l *fleetLook) {
		l.reading, l.tried, l.err = false, k.now(), ""
		if err == nil {
			l.failures = 0
		} else {
			l.failures, l.err = l.failures+1, oneLine(err)
		}
		l.old = f == nil || err != nil && !better(f, l.Fleet)
		if !l.old {
			l.Fleet, l.version = f, version
		}
	})
}

// better says that a reading of which some failed shows more than the one before: it may lack hosts only if that does too.
func better(f, before *status.Fleet) bool {
	switch {
	case f.Whole:
		return true
	case len(f.Hosts) == 0:
		return false
	}
	return before == nil || !before.Whole
}

// oneLine is an error for people who look at the page.
func oneLine(err error) string {
	const most = 300
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if text == "" {
		return "for a reason that nobody gave"
	}
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}
