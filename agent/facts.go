package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/rhythm"
	"offsite/agent/status"
	"offsite/agent/vault"
)

// facts are what the journal says of all series and targets, at one revision, and what follows from it. Nothing in them changes.
type facts struct {
	series map[string]*seriesFacts
	owed   map[string]*owed // by target
	proven map[string]int   // by target, as in status.Target
	run    journal.Run
	places map[string]journal.Place

	wrong     map[string]string // by target: the first few backups that are damaged or gone
	strangers map[string]int    // by target: backups that somebody else has signed
	brief     bool              // the backups themselves are not in it
}

// seriesFacts are those of one series.
type seriesFacts struct {
	met  []journal.Met // in the order in which they were taken
	last *journal.Dump // nil: the host has met none
	on   map[string][]known
	owed map[string]int // by target

	rhythm   rhythm.Rhythm
	expected bool            // by the configuration
	offsite  bool            // some target has, or should have, something of it
	fine     bool            // a person has said so of the last one
	copies   []status.Copies // in the order of the targets
}

// known is a backup that a target has, or should have.
type known struct {
	journal.Verdict
	name vault.Name
}

// owed is what one target lacks and is to get.
type owed struct {
	dumps int
	bytes int64
	since time.Time // of the one that waits for the longest time
}

// collect reads the journal.
func (a *Agent) collect() (*facts, error) {
	f := &facts{
		series: map[string]*seriesFacts{}, owed: map[string]*owed{}, proven: map[string]int{}, places: map[string]journal.Place{},
		wrong: map[string]string{}, strangers: map[string]int{},
	}
	err := a.journal.Newest(rhythm.Most, func(series string, last []journal.Met) error {
		f.of(series).met = versions(last)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, s := range f.series {
		if n := len(s.met); n > 0 {
			if s.last, err = a.journal.ByID(s.met[n-1].ID); err != nil {
				return nil, err
			}
		}
	}
	for _, t := range a.Targets {
		f.owed[t.Name] = &owed{}
		if f.places[t.Name], err = a.journal.Place(t.Name); err != nil {
			return nil, err
		}
		if err := a.journal.Known(t.Name, func(object string, v journal.Verdict) { f.know(t.Name, object, v) }); err != nil {
			return nil, err
		}
	}
	for _, series := range a.Expected {
		f.of(series)
	}
	if err := a.journal.EachUnsettled(f.owe); err != nil {
		return nil, err
	}
	if f.run, err = a.journal.LastRun(); err != nil {
		return nil, err
	}
	return f, a.conclude(f)
}

// conclude works out what does not change until the journal does, or not within an hour.
func (a *Agent) conclude(f *facts) error {
	for name, s := range f.series {
		for target, on := range s.on {
			s.on[target] = slices.Clone(on) // which has no room to grow
		}
		s.rhythm, s.expected = a.rhythmOf(name, s, f.run.First)
		s.offsite, s.fine = len(s.on) > 0, s.last != nil && s.accepted(s.last.ID)
		for i := range a.Targets {
			t := &a.Targets[i]
			c, err := a.copiesOn(t, name, s)
			if err != nil {
				return err
			}
			s.copies = append(s.copies, c)
			for _, k := range s.on[t.Name] {
				if k.isStranger() {
					f.strangers[t.Name]++
				}
				if t.Scrub.Every > 0 && k.Damage == "" && k.Unread == "" && k.Trouble == "" && a.Now().Sub(k.Proven) <= t.Scrub.Every {
					f.proven[t.Name]++
				}
			}
		}
	}
	for _, t := range a.Targets {
		f.wrong[t.Name] = f.wrongOn(t.Name)
	}
	return nil
}

// inBrief is all but the backups: what the alarms, and the status, are made of. Of 100,000 backups these take 50 MB.
func (f *facts) inBrief() *facts {
	brief := *f
	brief.brief, brief.series = true, map[string]*seriesFacts{}
	for name, s := range f.series {
		short := *s
		short.on = nil
		brief.series[name] = &short
	}
	return &brief
}

// versions leaves out what was met twice: a dump that was found anew has another id.
func versions(met []journal.Met) (once []journal.Met) {
	for _, m := range met {
		if n := len(once); n > 0 && once[n-1].Taken.Equal(m.Taken) && once[n-1].Size == m.Size {
			once = once[:n-1]
		}
		once = append(once, m)
	}
	return once
}

// of is one series, made when it is first asked for.
func (f *facts) of(series string) *seriesFacts {
	s := f.series[series]
	if s == nil {
		s = &seriesFacts{on: map[string][]known{}, owed: map[string]int{}}
		f.series[series] = s
	}
	return s
}

// know takes in a backup that a target has, or should have.
func (f *facts) know(target, object string, v journal.Verdict) {
	name, err := vault.Parse(object)
	if err != nil {
		return
	}
	v.Version, v.Machine = "", "" // nobody asks, and there may be 100,000
	s := f.of(name.Series)
	s.on[target] = append(s.on[target], known{v, name})
}

// owe takes in what targets lack of a dump.
func (f *facts) owe(d *journal.Dump) error {
	for target, t := range d.Targets {
		o := f.owed[target]
		if t.State != journal.Owed || o == nil {
			continue
		}
		o.dumps++
		o.bytes += d.File.Size
		if o.since.IsZero() || t.At.Before(o.since) {
			o.since = t.At
		}
		f.of(d.Series).owed[target]++
	}
	return nil
}

// damaged says what is wrong with a backup that a target should have; empty: nothing.
func (k *known) damaged() string {
	switch {
	case k.Trouble == troubleGone:
		return ""
	case k.Trouble != "":
		return k.Trouble
	case k.Damage != "":
		return k.Damage
	case k.Unread != "":
		return "it cannot be read: " + k.Unread
	}
	return k.Unsound
}

// backup is what retention must know of it.
func (k *known) backup() retention.Backup {
	b := retention.Backup{
		Object: k.name.String(), Dump: identity(k.name, k.Verdict), Shape: dump.Shape(k.name.File), Taken: k.name.Taken, Found: k.Found,
		Stored: k.Stored, Suspect: k.Suspect, Unsound: k.damaged(), Locked: k.Locked,
	}
	if k.Trouble == troubleGone {
		b.Unsound = "it is gone"
	}
	return b
}

// planOf is what retention would do now with what a target is known to have of a series; nil: it does nothing there.
func (a *Agent) planOf(now time.Time, t *Target, series string, on []known, more ...retention.Backup) *retention.Plan {
	if t.Policy == nil || t.Retention == Off {
		return nil
	}
	backups := make([]retention.Backup, 0, len(on)+len(more))
	for _, k := range on {
		if k.Suspect == suspectPending && now.Sub(k.Found) < pendingFor {
			continue // its verdict will come: no reason to call anybody
		}
		backups = append(backups, k.backup())
	}
	return retention.Make(now, t.Policy(series), append(backups, more...))
}

// pendingFor is how long a dump may be looked at.
const pendingFor = 12 * time.Hour

// rhythmOf is when the next dump of a series is expected: as the configuration has it, counted from the first run if there was never one,
// or as it came before.
func (a *Agent) rhythmOf(series string, s *seriesFacts, first time.Time) (r rhythm.Rhythm, expected bool) {
	var last time.Time
	if n := len(s.met); n > 0 {
		last = s.met[n-1].Taken
	}
	if a.Expect != nil {
		switch within, said := a.Expect(series); {
		case said && within <= 0:
			return rhythm.Rhythm{}, true // it may be silent
		case said && !last.IsZero():
			return rhythm.Expect(last, within), true
		case said && !first.IsZero():
			return rhythm.Expect(first, within), true
		}
	}
	var taken []time.Time
	for _, m := range s.met {
		taken = append(taken, m.Taken)
	}
	r = rhythm.Learn(taken, a.Zone)
	r.Slack += s.delay()
	return r, false
}

// delay is how long after its time a dump of the series is usually finished and found, and half as much again: a large one takes hours, and
// has the time of its beginning in its name.
func (s *seriesFacts) delay() time.Duration {
	var delays []time.Duration
	for _, m := range s.met[max(0, len(s.met)-7):] {
		if d := m.Found.Sub(m.Taken); d >= 0 && d < daily {
			delays = append(delays, d)
		}
	}
	if len(delays) == 0 {
		return 0
	}
	slices.Sort(delays)
	return delays[len(delays)/2] * 3 / 2
}

// names are all series, in their order.
func (f *facts) names() []string { return slices.Sorted(maps.Keys(f.series)) }

// isStranger says whether somebody whose key is not trusted has signed it.
func (k *known) isStranger() bool { return k.Unsound == unsoundStranger }

// accepted says whether a person has said of a dump that it is fine.
func (s *seriesFacts) accepted(id string) bool {
	for _, on := range s.on {
		if slices.ContainsFunc(on, func(k known) bool { return k.name.ID == id && k.Accepted }) {
			return true
		}
	}
	return false
}

// wrongOn names the first few backups of a target that are damaged or gone.
func (f *facts) wrongOn(target string) string {
	const most = 3
	var names []string
	n := 0
	for _, series := range f.names() {
		for _, k := range f.series[series].on[target] {
			if k.Trouble == "" && k.damaged() == "" || k.isStranger() {
				continue
			}
			if n++; n <= most {
				names = append(names, quoted(k.name.File))
			}
		}
	}
	if n > most {
		names = append(names, fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(names, ", ")
}
