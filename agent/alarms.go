package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

const (
	// looks is how often the agent looks whether something is wrong.
	looks = 30 * time.Second
	// sendFor is how long a way out may take. Those that have a limit of their own, a minute, say more when it is over.
	sendFor = 75 * time.Second
	// eventFor is how long a single event counts as an alarm.
	eventFor = daily
)

// alarms are what was told of troubles, as long as the agent runs.
type alarms struct {
	mu     sync.Mutex
	book   *alarm.Book
	events []status.Alarm // that came before there was a book
}

// watchAlarms tells what is wrong by all ways out, until ctx ends. What keeps it from looking keeps no dump from being shipped.
func (a *Agent) watchAlarms(ctx context.Context) error {
	l := a.pulse.begin("what tells of alarms")
	defer l.ends()
	var rest rest
	for {
		l.turns()
		urgent := a.urgent.wait()
		if err := a.tellAlarms(ctx); err != nil && ctx.Err() == nil {
			a.Log.Error("cannot look whether something is wrong", "err", err)
		}
		l.rests(looks)
		if err := sleep(ctx, looks, urgent); err != nil {
			return err
		}
		rest.look(a)
	}
}

// openAlarms opens the book of alarms.
func (a *Agent) openAlarms() {
	book, err := alarm.Open(a.State, cmp.Or(a.Repeat, daily))
	if err != nil {
		a.Log.Error("alarms", "err", err)
	}
	a.alarms.mu.Lock()
	defer a.alarms.mu.Unlock()
	a.alarms.book = book
	for _, e := range a.alarms.events {
		book.Event(a.Now(), e, eventFor)
	}
	a.alarms.events = nil
}

// event is told once.
func (a *Agent) event(e status.Alarm) {
	a.alarms.mu.Lock()
	defer a.alarms.mu.Unlock()
	if a.alarms.book == nil {
		a.alarms.events = append(a.alarms.events, e)
		return
	}
	a.alarms.book.Event(a.Now(), e, eventFor)
}

// hurry makes the next look at the alarms come at once, and see what is so now.
func (a *Agent) hurry() {
	a.knowledge.outdated.Store(true)
	a.urgent.ring()
}

// tellAlarms looks once, and tells what is due by each way. That a way fails is no error.
func (a *Agent) tellAlarms(ctx context.Context) error {
	f, err := a.know()
	if err != nil {
		return err
	}
	h, unknown := a.report(f)
	a.alarms.mu.Lock()
	a.update(h, f, unknown)
	due := map[alarm.Way][]alarm.Notice{}
	for _, w := range a.Ways {
		if notices := a.alarms.book.Due(h.At, w.Name()); len(notices) > 0 {
			due[w] = notices
		}
	}
	a.alarms.mu.Unlock()
	a.send(ctx, h.At, due)
	a.alarms.mu.Lock()
	defer a.alarms.mu.Unlock()
	if err := a.alarms.book.Save(a.wayNames()); err != nil {
		a.Log.Error("cannot write down which alarms were told: they may be told again", "err", err)
	}
	return ctx.Err()
}

// update brings the book to what is wrong now. The caller holds the lock.
func (a *Agent) update(h *status.Host, f *facts, unknown error) {
	book := a.alarms.book
	before := map[string]bool{}
	for _, l := range book.Lasting() {
		before[l.Key] = true
	}
	troubles := a.troubles(h, f, unknown, func(key string) bool { return before[key] })
	for _, w := range book.Ways(a.wayNames()) {
		if !w.Failing.IsZero() {
			troubles = append(troubles, status.Alarm{
				Key: "way/" + w.Name, Kind: status.KindWay, Level: status.Warning, Since: w.Failing, Text: fmt.Sprintf("alarms cannot be told by %s: %s", w.Name, w.Error),
				Remedy: "`offsite alarm test " + w.Name + "` tries it",
			})
		}
	}
	book.Update(h.At, append(troubles, a.runs.troubles()...))
	a.logAlarms(before, book.Lasting())
}

// logAlarms says what has begun and what is over: the log is a way out, too.
func (a *Agent) logAlarms(before map[string]bool, now []status.Alarm) {
	there := map[string]bool{}
	for _, l := range now {
		there[l.Key] = true
		if !before[l.Key] {
			log := a.Log.Warn
			if l.Level == status.Problem {
				log = a.Log.Error
			}
			log("alarm", "key", l.Key, "text", l.Text, "remedy", l.Remedy)
			a.changed.ring()
		}
	}
	for key := range before {
		if !there[key] {
			a.Log.Info("alarm is over", "key", key)
			a.changed.ring()
		}
	}
}

// send tells by all ways at once, so that one that hangs holds up no other for long.
func (a *Agent) send(ctx context.Context, now time.Time, due map[alarm.Way][]alarm.Notice) {
	group := new(errgroup.Group)
	for way, notices := range due {
		group.Go(func() error {
			sending, cancel := context.WithTimeout(ctx, sendFor)
			defer cancel()
			err := way.Send(sending, alarm.Message{Host: a.Host, At: now, Notices: notices})
			if err != nil && ctx.Err() != nil {
				return nil // stopped: it is told by the next run
			}
			if err != nil {
				a.Log.Error("cannot tell of alarms", "way", way.Name(), "err", err)
			}
			a.alarms.mu.Lock()
			defer a.alarms.mu.Unlock()
			a.alarms.book.Done(a.Now(), way.Name(), notices, err)
			return nil
		})
	}
	group.Wait()
}

func (a *Agent) wayNames() (names []string) {
	for _, w := range a.Ways {
		names = append(names, w.Name())
	}
	return names
}

// alarmed writes the alarms of now into a report: since when they last, the book knows, which the agent has in hand or has left.
func (a *Agent) alarmed(h *status.Host, f *facts, unknown error) {
	a.alarms.mu.Lock()
	defer a.alarms.mu.Unlock()
	if a.alarms.book == nil || !h.Running {
		book, _ := alarm.Open(a.State, daily) // for Since; that it cannot be read is told by the agent
		before := map[string]bool{}
		var known []status.Alarm // what only a running agent can say is over
		for _, l := range book.Lasting() {
			before[l.Key] = true
			if l.Kind == status.KindWay || l.Kind == status.KindStranger || l.Key == unsentStuck || l.Key == unsentLost {
				known = append(known, l)
			}
		}
		book.Update(h.At, append(known, a.troubles(h, f, unknown, func(key string) bool { return before[key] })...))
		h.Alarms, h.Ways = book.Lasting(), book.Ways(a.wayNames())
	} else {
		a.update(h, f, unknown)
		h.Alarms, h.Ways = a.alarms.book.Lasting(), a.alarms.book.Ways(a.wayNames())
	}
	for _, l := range h.Alarms {
		h.Level = status.Worse(h.Level, l.Level)
	}
	if i := slices.IndexFunc(h.Alarms, func(l status.Alarm) bool { return l.Kind == status.KindStopped }); i > 0 && !h.Running {
		stopped := h.Alarms[i] // without an agent all else is old news
		h.Alarms = slices.Insert(slices.Delete(h.Alarms, i, i+1), 0, stopped)
	}
}
