package agent

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/status"
)

// OpenToRead opens the journal of an agent that does not run, to ask what it knew: Status and its like. ErrRunning if it does,
// fs.ErrNotExist if none ever has. It asks no target, so that those of the options need no Target. Close it.
func OpenToRead(o Options) (*Agent, error) {
	path := filepath.Join(o.State, o.Journal)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	lock, err := lockState(path + ".lock")
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(path)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	a := &Agent{Options: o, journal: j, lock: lock, held: newHeld()}
	a.underway = newUnderway(o.Observer, o.Now, &a.changed)
	return a, nil
}

// knowledge is what was read from the journal last.
type knowledge struct {
	outdated atomic.Bool // something happened that nobody may overlook

	mu       sync.Mutex
	revision int
	read     time.Time
	took     time.Duration // to read it
	facts    *facts
	years    map[string]year // by series
}

const (
	// recent and stale are how old what was read may be while the journal changes with every block: the more there is to read the older, so
	// that reading takes a twentieth of a processor at most, unless it takes more than a second and a half.
	recent = 2 * time.Second
	stale  = 30 * time.Second
	// renew is after how long it is read again in any case, since the time itself changes what follows from it.
	renew = time.Hour
)

// know reads the journal, unless nothing has changed since it was read. The facts may be in brief.
func (a *Agent) know() (*facts, error) { return a.knowing(false) }

// knowAll is know with each backup.
func (a *Agent) knowAll() (*facts, error) { return a.knowing(true) }

func (a *Agent) knowing(all bool) (*facts, error) {
	k := &a.knowledge
	k.mu.Lock()
	defer k.mu.Unlock()
	now := a.Now()
	revision := a.journal.Revision()
	if !k.outdated.Swap(false) && k.facts != nil && !(all && k.facts.brief) {
		age := now.Sub(k.read).Abs()
		if revision == k.revision && age < renew || age < min(max(20*k.took, recent), stale) {
			return k.facts, nil
		}
	}
	f, err := a.collect()
	if err != nil {
		return nil, err
	}
	k.facts, k.revision, k.read, k.took = f, revision, now, a.Now().Sub(now)
	return f, nil
}

// rest lets go of what nobody looks at most of the time.
func (k *knowledge) rest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.facts != nil {
		k.facts = k.facts.inBrief()
	}
}

// Status is what a person is to know of this host now.
func (a *Agent) Status() (*status.Host, error) {
	f, err := a.know()
	if err != nil {
		return nil, err
	}
	h, unknown := a.report(f)
	a.alarmed(h, f, unknown)
	return h, nil
}

// Changed gives a channel that is closed when there is something new in the Status.
func (a *Agent) Changed() <-chan struct{} { return a.changed.wait() }

// report is the Status without its alarms. The error says why nobody knows of the drills.
func (a *Agent) report(f *facts) (*status.Host, error) {
	h := &status.Host{
		Host: a.Host, Version: a.Program, At: a.Now().UTC(), Zone: a.Zone.String(), Running: !a.began.IsZero(), Started: a.began,
		Level: status.OK, Alarms: []status.Alarm{}, Series: []status.Series{}, Targets: []status.Target{},
		Transfers: a.underway.transfers(), Drills: []status.Drill{},
	}
	for i := range a.Targets {
		h.Targets = append(h.Targets, a.targetStatus(&a.Targets[i], f))
	}
	for _, name := range f.names() {
		s := a.seriesStatus(name, f.series[name])
		for i, c := range s.On {
			t := &h.Targets[i]
			t.Backups, t.Stored, t.Damaged, t.Missing = t.Backups+c.Backups, t.Stored+c.Stored, t.Damaged+c.Damaged, t.Missing+c.Missing
			if c.Offsite.After(t.Delivered) {
				t.Delivered = c.Offsite
			}
		}
		h.Series = append(h.Series, s)
	}
	drills, err := a.drillStatus(f)
	h.Drills = append(h.Drills, drills...)
	return h, err
}

func (a *Agent) targetStatus(t *Target, f *facts) status.Target {
	o := f.owed[t.Name]
	s := status.Target{
		Name: t.Name, Location: t.Location, Level: status.OK, Owed: o.dumps, OwedBytes: o.bytes, Proven: f.proven[t.Name], Every: t.Scrub.Every,
		Looked: f.places[t.Name].Scrubbed, Retention: string(cmp.Or(t.Retention, Off)),
	}
	if w := a.worker(t.Name); w != nil {
		w.tally.into(&s)
	}
	return s
}

// worker is the one of a target; nil: the agent does not run.
func (a *Agent) worker(target string) *worker {
	i := slices.IndexFunc(a.workers, func(w *worker) bool { return w.target.Name == target })
	if i < 0 {
		return nil
	}
	return a.workers[i]
}

// shownSizes is how many of the last sizes are shown.
const shownSizes = 15

func (a *Agent) seriesStatus(name string, f *seriesFacts) status.Series {
	s := status.Series{Name: name, Level: status.OK, Sizes: []int64{}, On: append([]status.Copies{}, f.copies...)}
	if f.last != nil {
		s.Last = dumpStatus(f.last)
		if f.fine {
			s.Last.Health, s.Last.Reason = dump.OK, ""
		}
	}
	for _, m := range f.met[max(0, len(f.met)-shownSizes):] {
		s.Sizes = append(s.Sizes, m.Size)
	}
	s.Expected, s.Usual, s.Due, s.Overdue = f.expected, f.rhythm.Gap, f.rhythm.Due, f.rhythm.Overdue(a.Now())
	return s
}

func dumpStatus(d *journal.Dump) *status.Dump {
	s := &status.Dump{Name: d.Name, Taken: d.Taken.UTC(), Found: d.Found.UTC(), Size: d.File.Size, Health: dump.Pending}
	switch {
	case d.Health != nil:
		s.Health, s.Reason, s.Kind = d.Health.State, d.Health.Reason, d.Health.Kind
		if !d.Health.Accepted.IsZero() {
			s.Health, s.Reason = dump.OK, ""
		}
	case d.Suspect != "":
		s.Health, s.Reason = dump.Suspect, d.Suspect
	}
	return s
}

// copiesOn is what a target holds of a series.
func (a *Agent) copiesOn(t *Target, series string, f *seriesFacts) (status.Copies, error) {
	c := status.Copies{Target: t.Name, Owed: f.owed[t.Name]}
	var newest *known
	on := f.on[t.Name]
	for i := range on {
		k := &on[i]
		switch {
		case k.Trouble == troubleGone:
			c.Missing++
			continue
		case k.damaged() != "":
			if !k.isStranger() {
				c.Damaged++
			}
		case k.Suspect != "":
			c.Suspect++
		case (newest == nil || k.name.Taken.After(newest.name.Taken)) && !k.name.Taken.After(a.Now().Add(retention.FutureSlack)):
			newest = k
		}
		c.Backups++
		c.Stored += k.Stored
	}
	if d := f.last; d != nil && d.Targets[t.Name].State == journal.Lost {
		c.Lost = newest == nil || newest.name.Taken.Before(d.Taken.Truncate(time.Second))
	}
	if newest != nil {
		c.Newest = newest.name.Taken
		d, err := a.journal.ByID(newest.name.ID)
		if err != nil {
			return c, err
		}
		if d != nil && d.Targets[t.Name].State == journal.Delivered {
			c.Offsite = d.Targets[t.Name].At.UTC()
		}
	}
	if p := a.planOf(a.Now(), t, series, on); p != nil {
		c.Held = p.Held
	}
	return c, nil
}
