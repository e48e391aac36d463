package page

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"offsite/agent/status"
)

// hostView is the first page: what is wrong, what is under way, and every series, target, drill and way out.
func (p *Page) hostView(l *look) view {
	h, c := l.host, clock{p.Now(), p.Zone}
	series := part{id: "series", template: "series-list", data: seriesList{Say: c, Empty: len(h.Series) == 0, Legend: kinds, NoDays: l.days == nil}}
	ids := []string{}
	for _, s := range h.Series {
		one := p.cardPart(c, l, s)
		series.inner, ids = append(series.inner, one), append(ids, one.id)
	}
	series.version = digest(ids, l.days == nil)
	next := nextOf(c, l)
	return view{
		title: headline(h) + " · " + h.Host, host: h.Host, version: h.Version, level: h.Level, home: true,
		parts: []part{
			p.verdictPart(c, h, h.Alarms),
			{"facts", digest(h.Series, h.Targets, h.Running), "facts", newFacts(c, h), nil},
			uploadsPart(c, h.Transfers),
			series,
			{"targets", digest(h.Targets), "targets", targetsOf(c, h), nil},
			{"next", digest(next.Rows, next.Failed), "next", next, nil},
			{"drills", digest(h.Drills), "drills", drillsOf{c, h.Drills}, nil},
			{"ways", digest(h.Ways), "ways", waysOf{c, h.Ways}, nil},
		},
	}
}

// verdict is the first that is seen: whether everything is safe.
type verdict struct {
	Say           clock
	Level         status.Level
	Headline, Sub string
	Alarms        []alarm
	Host          string
	Idle          bool // there is nothing yet that could be safe
}

// Look is how it looks.
func (v verdict) Look() string {
	if v.Idle && v.Level == status.OK {
		return "idle"
	}
	return string(v.Level)
}

// alarm is one alarm, with the address of the series that it is about.
type alarm struct {
	status.Alarm
	URL string
}

func (p *Page) verdictPart(c clock, h *status.Host, alarms []status.Alarm) part {
	v := verdict{Say: c, Level: h.Level, Headline: headline(h), Sub: subline(h), Host: h.Host, Idle: len(h.Series) == 0}
	for _, a := range alarms {
		one := alarm{Alarm: a}
		if a.Series != "" {
			one.URL = seriesURL(a.Series)
		}
		v.Alarms = append(v.Alarms, one)
	}
	return part{"verdict", digest(v.Look(), v.Headline, v.Sub, v.Alarms), "verdict", v, nil}
}

// headline is the answer to whether everything is safe.
func headline(h *status.Host) string {
	problems, warnings := 0, 0
	for _, a := range h.Alarms {
		switch a.Level {
		case status.Problem:
			problems++
		case status.Warning:
			warnings++
		}
	}
	switch {
	case problems > 0 && warnings > 0:
		return plural(problems, "problem") + ", " + plural(warnings, "warning")
	case problems > 0:
		return plural(problems, "problem")
	case warnings > 0:
		return plural(warnings, "warning")
	case h.Level != status.OK && h.Level != "":
		return "Something is wrong"
	case len(h.Series) == 0:
		return "Nothing to protect yet"
	}
	return "Everything is safe"
}

// subline is what stands below it.
func subline(h *status.Host) string {
	owed, lost := 0, 0
	for _, t := range h.Targets {
		owed += t.Owed
	}
	for _, s := range h.Series {
		if slices.ContainsFunc(s.On, func(c status.Copies) bool { return c.Lost }) {
			lost++
		}
	}
	switch {
	case !h.Running:
		return "No agent runs: this is how it was when the last one ended."
	case len(h.Series) == 0:
		return "No dump has been met in the watched directories. The first one will show here."
	case lost > 0:
		return fmt.Sprintf("The newest dump of %s is not on every target.", plural(lost, "database"))
	case owed > 0:
		return fmt.Sprintf("%s still to be delivered.", isAre(owed, "dump"))
	case len(h.Targets) == 1:
		return fmt.Sprintf("Every dump of %s is on its target.", plural(len(h.Series), "database"))
	}
	return fmt.Sprintf("Every dump that is to go offsite is there: %s, %s.", plural(len(h.Series), "database"), plural(len(h.Targets), "target"))
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return plural(n, what) + " are"
}

// facts are the few numbers below the verdict.
type facts struct {
	Say         clock
	Last        time.Time // since when the dump is offsite that got there last
	LastSeries  string
	LastURL     string
	Series      int
	Backups     int
	Stored      int64
	Proven, Of  int // of the backups that are read again and again
	Owed        int
	OwedBytes   int64
	Oldest      time.Time // the newest healthy backup of the series that is furthest behind, on the target that has the newest of it
	OldestKnown bool
}

func newFacts(c clock, h *status.Host) facts {
	f := facts{Say: c, Series: len(h.Series)}
	for _, s := range h.Series {
		var newest time.Time
		for _, on := range s.On {
			if on.Offsite.After(f.Last) {
				f.Last, f.LastSeries, f.LastURL = on.Offsite, s.Name, seriesURL(s.Name)
			}
			if on.Newest.After(newest) {
				newest = on.Newest
			}
		}
		if !newest.IsZero() && (!f.OldestKnown || newest.Before(f.Oldest)) {
			f.Oldest, f.OldestKnown = newest, true
		}
	}
	for _, t := range h.Targets {
		f.Backups, f.Stored, f.Owed, f.OwedBytes = f.Backups+t.Backups, f.Stored+t.Stored, f.Owed+t.Owed, f.OwedBytes+t.OwedBytes
		if t.Every > 0 {
			f.Proven, f.Of = f.Proven+t.Proven, f.Of+t.Backups
		}
	}
	return f
}

// Share is how much of Of is Proven, in percent, which says 100 only if it is all.
func (f facts) Share() int { return percent(int64(f.Proven), int64(f.Of)) }

func percent(n, of int64) int {
	if of <= 0 {
		return 0
	}
	return int(min(100, max(0, float64(n)*100/float64(of))))
}

// upload is a transfer with what a bar needs.
type upload struct {
	status.Transfer
	Percent int
	Left    time.Duration // 0: not known
	URL     string
}

type uploads struct {
	Say clock
	All []upload
}

func uploadsPart(c clock, all []status.Transfer) part {
	u := uploads{Say: c}
	for _, t := range all {
		one := upload{Transfer: t, Percent: percent(t.Done, t.Total), URL: seriesURL(t.Series)}
		if left := t.Total - t.Done; t.Rate > 0 && left > 0 {
			one.Left = time.Duration(min(float64(left)/t.Rate, 1e6) * float64(time.Second))
		}
		u.All = append(u.All, one)
	}
	return part{"uploads", digest(all), "uploads", u, nil}
}

type seriesList struct {
	Say           clock
	Empty, NoDays bool
	Legend        any
}

// card is a series on the first page.
type card struct {
	Say clock
	status.Series
	URL   string
	Heat  heat
	Sizes template.HTML
}

func (p *Page) cardPart(c clock, l *look, s status.Series) part {
	sum := sha256.Sum256([]byte(s.Name))
	return part{"s-" + hex.EncodeToString(sum[:5]), digest(s, l.versions[s.Name]), "card",
		card{c, s, seriesURL(s.Name), newHeat(l.days[s.Name]), sizesLine(s.Sizes)}, nil}
}

// since is when a target got the newest dump, and what else is to be known of it there.
type since struct {
	Say  clock
	On   status.Copies
	Late bool
}

// Since is what a row about a target says.
func (s card) Since(on status.Copies) since { return since{s.Say, on, behind(s.Series, on)} }

// behind says that a target lacks the newest dump.
func behind(s status.Series, on status.Copies) bool {
	return on.Owed > 0 || s.Last != nil && s.Last.Health != "suspect" && on.Newest.Before(s.Last.Taken)
}

// Health is the health of a dump in words.
func (clock) Health(health string) string {
	switch health {
	case "ok":
		return "healthy"
	case "pending":
		return "being examined"
	case "unchecked":
		return "not examined"
	}
	return health
}

type target struct {
	status.Target
	Share  int // of its backups that are proven, in percent
	Errors []kindCount
}

type kindCount struct {
	Kind string
	N    int64
}

type targets struct {
	Say clock
	All []target
}

func targetsOf(c clock, h *status.Host) targets {
	all := targets{Say: c}
	for _, t := range h.Targets {
		one := target{Target: t, Share: percent(int64(t.Proven), int64(t.Backups))}
		for k, n := range t.Counts.Errors {
			one.Errors = append(one.Errors, kindCount{k, n})
		}
		slices.SortFunc(one.Errors, func(a, b kindCount) int { return strings.Compare(a.Kind, b.Kind) })
		all.All = append(all.All, one)
	}
	return all
}

// removals are what retention removes next of a series.
type removals struct {
	Series, URL    string
	N              int
	Stored         int64
	Oldest, Newest time.Time
	On             string // the targets
}

type next struct {
	Say    clock
	Rows   []removals
	N      int
	Stored int64
	Failed bool
}

func nextOf(c clock, l *look) next {
	all := next{Say: c, Failed: l.nextErr}
	for name, list := range l.next {
		if len(list) == 0 {
			continue
		}
		one := removals{Series: name, URL: seriesURL(name), N: len(list), Oldest: list[0].Taken, Newest: list[0].Taken}
		var on []string
		for _, r := range list {
			one.Stored += r.Stored
			if r.Taken.Before(one.Oldest) {
				one.Oldest = r.Taken
			}
			if r.Taken.After(one.Newest) {
				one.Newest = r.Taken
			}
			if !slices.Contains(on, r.Target) {
				on = append(on, r.Target)
			}
		}
		slices.Sort(on)
		one.On = strings.Join(on, ", ")
		all.Rows, all.N, all.Stored = append(all.Rows, one), all.N+one.N, all.Stored+one.Stored
	}
	slices.SortFunc(all.Rows, func(a, b removals) int { return cmp.Compare(a.Series, b.Series) })
	return all
}

type drillsOf struct {
	Say clock
	All []status.Drill
}

// Trend draws the runs of a drill.
func (drillsOf) Trend(runs []status.Run) template.HTML { return trend(runs) }

type waysOf struct {
	Say clock
	All []status.Way
}
