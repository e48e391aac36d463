package agent

import (
	"cmp"
	"fmt"
	"io/fs"
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

// SeriesStatus is all that is known of one series; fs.ErrNotExist if there is none of that name.
func (a *Agent) SeriesStatus(name string) (*status.SeriesDetail, error) {
	f, err := a.knowAll()
	if err != nil {
		return nil, err
	}
	s := f.series[name]
	if s == nil {
		return nil, fmt.Errorf("series %q: %w", name, fs.ErrNotExist)
	}
	d := &status.SeriesDetail{Series: a.seriesStatus(name, s), Days: a.days(name, s), Next: a.next(name, s)}
	seriesTroubles(&d.Series, a.Now())
	d.Backups = a.backups(name, s)
	return d, nil
}

// Days are the year that ends today, of each series.
func (a *Agent) Days() (map[string][]status.Day, error) {
	f, err := a.knowAll()
	if err != nil {
		return nil, err
	}
	all := map[string][]status.Day{}
	for name, s := range f.series {
		all[name] = a.days(name, s)
	}
	return all, nil
}

// Next is what retention removes of each series when its next dump has come.
func (a *Agent) Next() (map[string][]status.Removal, error) {
	f, err := a.knowAll()
	if err != nil {
		return nil, err
	}
	all := map[string][]status.Removal{}
	for name, s := range f.series {
		if next := a.next(name, s); len(next) > 0 {
			all[name] = next
		}
	}
	return all, nil
}

// backups are those that some target has, newest first.
func (a *Agent) backups(series string, s *seriesFacts) []status.Backup {
	by := map[string]*status.Backup{}
	for i := range a.Targets {
		t := &a.Targets[i]
		tiers, goes := map[string][]string{}, map[string]bool{}
		if p := a.planOf(a.Now(), t, series, s.on[t.Name]); p != nil {
			for _, d := range p.Keep {
				tiers[d.Object] = d.Reasons
			}
			for _, d := range p.Remove {
				goes[d.Object] = p.Held == ""
			}
		}
		for _, k := range s.on[t.Name] {
			object := k.name.String()
			b := by[object]
			if b == nil {
				b = &status.Backup{Series: series, Name: k.name.File, Taken: k.name.Taken, Size: k.Size, Health: dump.OK, On: []status.Copy{}}
				by[object] = b
			}
			if k.Suspect != "" {
				b.Health, b.Reason = dump.Suspect, k.Suspect
			}
			b.Size = max(b.Size, k.Size)
			c := status.Copy{
				Target: t.Name, Object: object, Stored: k.Stored, Tiers: tiers[object], Goes: goes[object], Locked: k.Locked,
				Proven: k.Proven, Damage: k.damaged(),
			}
			if k.Trouble == troubleGone {
				c.Damage = "gone, though no retention of ours removed it"
			}
			b.On = append(b.On, c)
		}
	}
	all := []status.Backup{}
	for _, b := range by {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b status.Backup) int { return cmp.Or(b.Taken.Compare(a.Taken), cmp.Compare(a.Name, b.Name)) })
	return all
}

// next asks retention what it would remove if the next dump were there when it is due.
func (a *Agent) next(series string, s *seriesFacts) []status.Removal {
	all := []status.Removal{}
	if s.last == nil {
		return all
	}
	due := s.rhythm.Due
	if due.Before(a.Now()) {
		due = a.Now()
	}
	for i := range a.Targets {
		t := &a.Targets[i]
		coming := retention.Backup{Object: "the next dump", Shape: dump.Shape(s.last.Name), Taken: due, Found: due}
		p := a.planOf(due, t, series, s.on[t.Name], coming)
		if p == nil || t.Retention != Enforce || p.Held != "" {
			continue
		}
		for _, d := range p.Remove {
			if name, err := vault.Parse(d.Object); err == nil { // which the coming one has not
				all = append(all, status.Removal{Target: t.Name, Name: name.File, Taken: d.Taken, Stored: d.Stored, Reason: strings.Join(d.Reasons, ", ")})
			}
		}
	}
	return all
}

// yearOfDays is how many days are shown.
const yearOfDays = 365

// days are those of the year that ends today.
func (a *Agent) days(series string, s *seriesFacts) []status.Day {
	today := a.Now().In(a.Zone)
	first := time.Date(today.Year(), today.Month(), today.Day()-yearOfDays+1, 12, 0, 0, 0, a.Zone)
	all := make([]status.Day, yearOfDays)
	at := map[string]*status.Day{}
	for i := range all {
		all[i].Date = first.AddDate(0, 0, i).Format(time.DateOnly)
		at[all[i].Date] = &all[i]
	}
	on := func(t time.Time) *status.Day {
		if d := at[t.In(a.Zone).Format(time.DateOnly)]; d != nil {
			return d
		}
		return &status.Day{}
	}
	for _, m := range s.met {
		d := on(m.Taken)
		d.Dumps++
		if m.Health == dump.Suspect && !s.accepted(m.ID) {
			d.Suspect++
		}
	}
	for _, b := range a.backups(series, s) {
		d := on(b.Taken)
		if d.Dumps == 0 {
			d.Dumps = 1 // of before the journal
		}
		for _, c := range b.On {
			d.Tier = longerTier(d.Tier, c)
		}
	}
	for _, t := range a.knowledge.silences(series, s, a.Zone, a.Now()) {
		on(t).Missing = true
	}
	return all
}

// tiers from the longest.
var tiers = []string{"yearly", "monthly", "weekly", "daily", "hourly", "last"}

// longerTier is the longer of a tier and those that keep a copy.
func longerTier(tier string, c status.Copy) string {
	for _, why := range c.Tiers {
		word, _, _ := strings.Cut(strings.TrimPrefix(why, "oldest "), " ")
		at := slices.Index(tiers, word)
		was := slices.Index(tiers, tier)
		switch {
		case at >= 0 && (was < 0 || at < was):
			tier = word
		case tier == "":
			tier = "other"
		}
	}
	if tier == "" && c.Damage == "" {
		tier = "other"
	}
	return tier
}

// year is what was worked out of the silences of a series.
type year struct {
	last     journal.Met // it holds as long as this is the newest
	silences []time.Time
}

// silences are instants at which a dump had been expected and none had come, one for each day of it. They are worked out once for
// each new dump; now ends the last of them.
func (k *knowledge) silences(series string, s *seriesFacts, zone *time.Location, now time.Time) []time.Time {
	if len(s.met) == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	last := s.met[len(s.met)-1]
	y, known := k.years[series]
	if !known || y.last != last {
		y = year{last, pastSilences(s.met, zone)}
		if k.years == nil {
			k.years = map[string]year{}
		}
		k.years[series] = y
	}
	if s.rhythm.Overdue(now) {
		return append(slices.Clone(y.silences), daysOf(s.rhythm.Due, now)...)
	}
	return y.silences
}

// pastSilences looks at each longer pause with what was known before it.
func pastSilences(met []journal.Met, zone *time.Location) (all []time.Time) {
	var taken []time.Time
	for i, m := range met {
		if n := len(taken); n >= rhythm.Fewest && longer(taken, m.Taken) {
			r := rhythm.Learn(taken, zone)
			r.Slack += met[i-1].Found.Sub(met[i-1].Taken) % daily
			if r.Overdue(m.Taken) {
				all = append(all, daysOf(r.Due, m.Taken.Add(-time.Second))...)
			}
		}
		taken = append(taken, m.Taken)
	}
	return all
}

// longer says whether the next dump came later than the last few did.
func longer(taken []time.Time, next time.Time) bool {
	n := len(taken)
	shortest := taken[n-1].Sub(taken[n-2])
	for i := max(1, n-5); i < n; i++ {
		shortest = min(shortest, taken[i].Sub(taken[i-1]))
	}
	return next.Sub(taken[n-1]) > shortest+shortest/20
}

// daysOf are instants of each day from one to the other.
func daysOf(from, until time.Time) (all []time.Time) {
	for t := from; t.Before(until) && len(all) < yearOfDays; t = t.Add(daily) {
		all = append(all, t)
	}
	return all
}
