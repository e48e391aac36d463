package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"offsite/agent/alarm"
	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/status"
)

// runs tell watchers elsewhere how each run of a series gets on: that a dump was found, and that all targets have it whole, or what
// went wrong. A run is of the newest dump of its series; what comes of older ones is no run's business.
type runs struct {
	news bell // rings when there is a ping to send

	mu sync.Mutex
	// past has the newest dump of each series while all that lies on the disk is found; nil: that is over.
	past    map[string]*journal.Dump
	going   map[string]bool // ids of dumps
	waiting []ping
	failing map[string]status.Alarm // by the ping's name
}

// ping is one event that is to be told.
type ping struct {
	series, text string
	event        alarm.Event
}

// gather makes follow wait while all that lies on the disk is found: a history is one run, that of its newest dump, in however many
// transactions it comes.
func (r *runs) gather() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = map[string]*journal.Dump{}
}

// gathered says that all of that was found.
func (r *runs) gathered() {
	r.mu.Lock()
	past := r.past
	r.past = nil
	r.mu.Unlock()
	for _, series := range slices.Sorted(maps.Keys(past)) {
		r.follow(past[series], true)
	}
}

// follow begins to follow a dump; a ping tells so if it was just found.
func (r *runs) follow(d *journal.Dump, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found && r.past != nil {
		r.past[d.Series] = d
		return
	}
	if r.going == nil {
		r.going = map[string]bool{}
	}
	r.going[d.ID] = true
	if found {
		r.waiting = append(r.waiting, ping{d.Series, fmt.Sprintf("found %s, %s", d.Name, humanize.IBytes(uint64(d.File.Size))), alarm.Started})
		r.news.ring()
	}
}

func (r *runs) follows(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.going[id]
}

// end tells how the run of a dump came out.
func (r *runs) end(d *journal.Dump, event alarm.Event, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.going[d.ID] {
		delete(r.going, d.ID)
		r.waiting = append(r.waiting, ping{d.Series, text, event})
		r.news.ring()
	}
}

func (r *runs) take() []ping {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.waiting
	r.waiting = nil
	return all
}

// settle looks whether the run of a dump has come to its end.
func (a *Agent) settle(id string) error {
	if !a.runs.follows(id) {
		return nil
	}
	d, err := a.journal.ByID(id)
	if err != nil || d == nil {
		return err
	}
	if event, text := outcomeOf(d); event != "" {
		a.runs.end(d, event, text)
	}
	return nil
}

// outcomeOf is how the run of a dump came out; empty: it goes on.
func outcomeOf(d *journal.Dump) (event alarm.Event, text string) {
	var have, lost []string
	for name, t := range d.Targets {
		switch t.State {
		case journal.Delivered:
			have = append(have, name)
		case journal.Lost:
			lost = append(lost, name)
		}
	}
	slices.Sort(have)
	slices.Sort(lost)
	switch {
	case len(lost) > 0:
		return alarm.Failed, fmt.Sprintf("%s changed or went away before %s had it", d.Name, strings.Join(lost, ", "))
	case d.Health != nil && d.Health.State == dump.Suspect:
		return alarm.Failed, fmt.Sprintf("%s is suspect: %s", d.Name, d.Health.Reason)
	case d.Health == nil || d.Unsettled():
		return "", ""
	}
	return alarm.Succeeded, fmt.Sprintf("%s, %s, is on %s", d.Name, humanize.IBytes(uint64(d.File.Size)), strings.Join(have, ", "))
}

const (
	// pingTries is how often a ping is tried before it is given up: the watcher alarms by itself when it hears nothing.
	pingTries = 3
	// pingPause is between the tries.
	pingPause = 2 * time.Second
)

// watchPings tells watchers of runs, and that the host is alive, until ctx ends.
func (a *Agent) watchPings(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		l := a.pulse.begin("what pings watchers")
		defer l.ends()
		for {
			more := a.runs.news.wait()
			l.asks() // watchers elsewhere, each for a minute or two
			a.sendPings(ctx)
			l.rests(idle)
			if err := sleep(ctx, idle, more); err != nil {
				return err
			}
		}
	})
	for _, p := range a.Pings.Alive {
		group.Go(func() error {
			for {
				a.sendAlive(ctx, p)
				if err := sleep(ctx, p.Every, nil); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// sendPings tells what waits.
func (a *Agent) sendPings(ctx context.Context) {
	for _, p := range a.runs.take() {
		a.ping(ctx, "pings of "+p.series, func(ctx context.Context) error { return a.Pings.Run(ctx, p.series, p.event, p.text) })
	}
}

// sendAlive tells one watcher how the host is.
func (a *Agent) sendAlive(ctx context.Context, p alarm.AlivePing) {
	h, err := a.Status()
	event, text := alarm.Failed, ""
	if err != nil {
		text = err.Error()
	} else {
		event, text = alarm.Alive(h.Alarms)
	}
	a.ping(ctx, p.Name(), func(ctx context.Context) error { return p.Send(ctx, event, text) })
}

// ping tries a few times. That it fails is an alarm until the next one succeeds.
func (a *Agent) ping(ctx context.Context, name string, send func(context.Context) error) {
	var err error
	for try := range pingTries {
		if try > 0 && sleep(ctx, pingPause, nil) != nil {
			return
		}
		sending, cancel := context.WithTimeout(ctx, sendFor)
		err = send(sending)
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return
	}
	a.runs.mu.Lock()
	defer a.runs.mu.Unlock()
	if err == nil {
		delete(a.runs.failing, name)
		return
	}
	a.Log.Error("cannot ping", "ping", name, "err", err)
	if a.runs.failing == nil {
		a.runs.failing = map[string]status.Alarm{}
	}
	since := a.Now()
	if was, there := a.runs.failing[name]; there {
		since = was.Since
	}
	a.runs.failing[name] = status.Alarm{
		Key: "way/" + name, Kind: status.KindWay, Level: status.Warning, Since: since,
		Text: fmt.Sprintf("%s cannot be told: %v", name, err), Remedy: "look at its address, and whether this host reaches it",
	}
}

// troubles are the pings that fail.
func (r *runs) troubles() (all []status.Alarm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.failing {
		all = append(all, t)
	}
	return all
}
