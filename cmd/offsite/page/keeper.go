package page

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"offsite/agent/status"
)

// For so long what the Source said holds if it tells of no change: the time alone makes a dump overdue. The years and what retention
// removes next cost more to find out; they are asked for when a series has changed, and not more often than slowGap.
const (
	holds     = 15 * time.Second
	slowHolds = 10 * time.Minute
	slowGap   = 5 * time.Second
	maxSeries = 50 // whose details are kept
)

// keeper asks the Source, once for all who look, and keeps what it said while that holds.
type keeper struct {
	source Source
	now    func() time.Time
	log    *slog.Logger
	turn   chan struct{} // whose turn it is, one at a time
	last   *look
	series map[string]*detail
}

// look is what is shown of a host. Nobody writes to it.
type look struct {
	host    *status.Host
	changed <-chan struct{} // closed: there is something newer
	at      time.Time
	slow
}

// slow is the part of a look that costs more to find out.
type slow struct {
	days     map[string][]status.Day // nil: could not be found out
	next     map[string][]status.Removal
	nextErr  bool
	versions map[string]string // of days
	key      string            // what it is a consequence of
	asked    time.Time
}

// detail is what is shown of a series.
type detail struct {
	*status.SeriesDetail
	of    string // the version of the series in its look
	asked time.Time
}

func newKeeper(source Source, now func() time.Time, log *slog.Logger) *keeper {
	return &keeper{source: source, now: now, log: log, turn: make(chan struct{}, 1), series: map[string]*detail{}}
}

func (k *keeper) wait(ctx context.Context) (done func(), err error) {
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// host is the host as it is now.
func (k *keeper) host(ctx context.Context) (*look, error) {
	done, err := k.wait(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return k.look(ctx)
}

func (k *keeper) look(ctx context.Context) (*look, error) {
	now := k.now()
	if k.last != nil && !closed(k.last.changed) && within(now, k.last.at, holds) {
		return k.last, nil
	}
	changed := k.source.Changed() // before asking: what changes meanwhile is not missed
	h, err := k.source.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	l := &look{host: h, changed: changed, at: now}
	key := digest(h.Zone, h.At.Format(time.DateOnly), h.Series, len(h.Targets))
	switch last := k.last; {
	case last != nil && within(now, last.asked, slowGap), last != nil && last.key == key && within(now, last.asked, slowHolds):
		l.slow = last.slow
	default:
		l.slow = k.askSlow(ctx, now, key)
	}
	k.last = l
	return l, nil
}

// askSlow asks for the years and for what goes next. Without them the page is shown all the same.
func (k *keeper) askSlow(ctx context.Context, now time.Time, key string) (s slow) {
	s.key, s.asked = key, now
	var err error
	if s.days, err = k.source.Days(ctx); err != nil {
		k.log.Error("the page lacks the days of the year", "err", err)
		s.key, s.days = "", nil
	} else if s.days == nil {
		s.days = map[string][]status.Day{}
	}
	if s.next, err = k.source.Next(ctx); err != nil {
		k.log.Error("the page lacks what retention removes next", "err", err)
		s.key, s.next, s.nextErr = "", nil, true
	}
	s.versions = make(map[string]string, len(s.days))
	for name, days := range s.days {
		s.versions[name] = digest(days)
	}
	return s
}

// detail is a series as it is now, and the host with it.
func (k *keeper) detail(ctx context.Context, name string) (*look, *status.SeriesDetail, error) {
	done, err := k.wait(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	l, err := k.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	of := ""
	for _, s := range l.host.Series {
		if s.Name == name {
			of = digest(s, l.versions[name])
		}
	}
	now := k.now()
	if d := k.series[name]; d != nil && of != "" && d.of == of && within(now, d.asked, slowHolds) {
		return l, d.SeriesDetail, nil
	}
	s, err := k.source.Series(ctx, name)
	if err != nil {
		return nil, nil, fmt.Errorf("series: %w", err)
	}
	if len(k.series) >= maxSeries {
		clear(k.series)
	}
	k.series[name] = &detail{s, of, now}
	return l, s, nil
}

// within says whether then is less than d ago. A clock that was moved back makes everything old.
func within(now, then time.Time, d time.Duration) bool {
	age := now.Sub(then)
	return age >= 0 && age < d
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// digest tells values apart.
func digest(values ...any) string {
	sum := sha256.New()
	e := json.NewEncoder(sum)
	for _, v := range values {
		e.Encode(v) // plain values always can be
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}
