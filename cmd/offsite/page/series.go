package page

import (
	"context"
	"html/template"
	"slices"
	"time"

	"offsite/agent/status"
)

// seriesView is the page of a series: every backup, where it lies, and the command that brings it back.
func (p *Page) seriesView(ctx context.Context, name string) (view, error) {
	l, s, err := p.keeper.detail(ctx, name)
	if err != nil {
		return view{}, err
	}
	h, c := l.host, clock{p.Now(), p.Zone}
	var alarms []status.Alarm
	for _, a := range h.Alarms {
		if a.Series == name {
			alarms = append(alarms, a)
		}
	}
	var transfers []status.Transfer
	for _, t := range h.Transfers {
		if t.Series == name {
			transfers = append(transfers, t)
		}
	}
	top := p.verdictPart(c, h, alarms)
	v := top.data.(verdict)
	v.Level, v.Headline, v.Sub, v.Idle = s.Level, printable(name), p.verdictOf(s), s.Last == nil
	top.data, top.template, top.version = v, "series-top", digest(v.Look(), v.Sub, v.Alarms)
	one := seriesDetail{
		Say: c, SeriesDetail: s, Heat: newHeat(s.Days), Legend: kinds, Stretches: stretches(s.Days), Line: sizesLine(s.Sizes), Goes: together(s.Next),
		Newest: p.restore(name, time.Time{}),
	}
	if len(s.Backups) > 0 {
		one.Then = p.restore(name, s.Backups[len(s.Backups)/2].Taken)
	}
	for _, b := range s.Backups {
		one.Rows = append(one.Rows, row{b, p.restoreOf(b)})
	}
	return view{
		title: printable(name) + ": " + levelName(s.Level) + " · " + h.Host, host: h.Host, version: h.Version, level: s.Level, query: seriesQuery(name),
		parts: []part{top, uploadsPart(c, transfers), {"detail", digest(s), "series-detail", one, nil}},
	}, nil
}

// verdictOf is the state of a series in a sentence.
func (p *Page) verdictOf(s *status.SeriesDetail) string {
	if s.Last == nil {
		return "No dump of this series has been met."
	}
	late := 0
	for _, on := range s.On {
		if behind(s.Series, on) {
			late++
		}
	}
	switch {
	case s.Overdue:
		return "A dump is overdue."
	case s.Last.Health == "suspect":
		return "The newest dump is suspect."
	case late > 0:
		return "Not every target has the newest dump yet."
	}
	return "The newest dump is on every target."
}

// seriesDetail is what the page of a series shows.
type seriesDetail struct {
	Say clock
	*status.SeriesDetail
	Heat      heat
	Legend    any
	Stretches []stretch
	Line      template.HTML
	Goes      []status.Removal
	// Newest and Then are commands: for the newest backup, and as an example for the newest at or before a time.
	Newest, Then string
	Rows         []row
}

// Since is what a row about a target says.
func (s seriesDetail) Since(on status.Copies) since { return since{s.Say, on, behind(s.Series, on)} }

// row is a backup, and the command that brings it back.
type row struct {
	status.Backup
	Restore string
}

// together makes one row of a backup that goes from several targets for the same reason.
func together(all []status.Removal) (rows []status.Removal) {
	for _, r := range all {
		i := slices.IndexFunc(rows, func(o status.Removal) bool { return o.Name == r.Name && o.Taken.Equal(r.Taken) && o.Reason == r.Reason })
		if i < 0 {
			rows = append(rows, r)
			continue
		}
		rows[i].Target, rows[i].Stored = rows[i].Target+", "+r.Target, rows[i].Stored+r.Stored
	}
	return rows
}
