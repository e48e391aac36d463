package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"offsite/agent/status"
)

// kind is how a day looks in a calendar: one byte each, which the script knows too. A kind has a shape and a size of its own beside its
// colour (assets/page.css).
type kind byte

const (
	kindYearly  kind = 'y'
	kindMonthly kind = 'm'
	kindWeekly  kind = 'w'
	kindDaily   kind = 'd'
	kindShort   kind = 'h' // hourly, last, and what is kept for another reason
	kindPast    kind = 'p' // there was a dump, and nothing of it is left
	kindSuspect kind = 's'
	kindMissing kind = 'x'
	kindNone    kind = 'n' // no dump, and none was expected
)

// kinds are all that are drawn, in the order of the legend.
var kinds = []struct {
	Kind kind
	Name string // in the legend
	Text string // of a day
}{
	{kindYearly, "yearly", "kept as yearly"},
	{kindMonthly, "monthly", "kept as monthly"},
	{kindWeekly, "weekly", "kept as weekly"},
	{kindDaily, "daily", "kept as daily"},
	{kindShort, "kept otherwise", "kept for another reason (hourly, one of the last, or not yet planned)"},
	{kindPast, "not kept", "had a dump, of which no backup is kept"},
	{kindSuspect, "suspect", "had a suspect dump"},
	{kindMissing, "missing", "a dump was expected and none came"},
}

func (k kind) text() string {
	for _, one := range kinds {
		if one.Kind == k {
			return one.Text
		}
	}
	return "no dump, and none was expected"
}

// kindTexts are the texts of all kinds, for the script.
func kindTexts() string {
	texts := map[string]string{string(kindNone): kindNone.text()}
	for _, one := range kinds {
		texts[string(one.Kind)] = one.Text
	}
	b, err := json.Marshal(texts)
	if err != nil {
		return "{}" // cannot be
	}
	return string(b)
}

// kindOf is what matters most of a day.
func kindOf(d status.Day) kind {
	switch {
	case d.Missing:
		return kindMissing
	case d.Suspect > 0:
		return kindSuspect
	case d.Tier == "" && d.Dumps > 0:
		return kindPast
	case d.Tier == "":
		return kindNone
	}
	switch d.Tier {
	case "yearly", "monthly", "weekly", "daily":
		return kind(d.Tier[0])
	}
	return kindShort
}

// run is a number of days of one kind, one after the other.
type run struct {
	kind     kind
	from     time.Time // midnight, UTC standing for the host's zone
	days     int
	dumps    int
	suspects int
}

func (r run) to() time.Time { return r.from.AddDate(0, 0, r.days-1) }

// runs puts days together. Those that are no dates are left out, and a gap is days without dumps.
func runs(days []status.Day) (all []run) {
	for _, d := range days {
		date, err := time.Parse(time.DateOnly, d.Date)
		if err != nil {
			continue
		}
		if n := len(all); n > 0 {
			last := &all[n-1]
			next := last.from.AddDate(0, 0, last.days)
			switch gap := int(date.Sub(next).Hours() / 24); {
			case gap < 0 || gap > 400:
				continue
			case gap > 0:
				all = append(all, run{kind: kindNone, from: next, days: gap})
			case last.kind == kindOf(d):
				last.days, last.dumps, last.suspects = last.days+1, last.dumps+d.Dumps, last.suspects+d.Suspect
				continue
			}
		}
		all = append(all, run{kindOf(d), date, 1, d.Dumps, d.Suspect})
	}
	return all
}

// heat is a year of a series as a calendar: a column for each week, which begins on Monday, and a row for each day of the week.
type heat struct {
	From    string // first day
	Code    string // the kinds of all days, each after its number of days: 12p1w
	Columns int
	Months  []month
	Lines   []line
	Label   string // all of it, in words
}

// month is where a month begins.
type month struct {
	X    int // column, in tenths
	Name string
}

// line draws all days of one kind: a line along each run of them in a column, which the style breaks up into days. So a year takes some
// hundred bytes.
type line struct {
	Class string
	D     string
}

func newHeat(days []status.Day) heat {
	all := runs(days)
	if len(all) == 0 {
		return heat{}
	}
	first := all[0].from
	h := heat{From: first.Format(time.DateOnly), Label: inWords(all)}
	offset := (int(first.Weekday()) + 6) % 7
	lines, code := map[kind]*strings.Builder{}, strings.Builder{}
	at := offset
	for _, r := range all {
		fmt.Fprintf(&code, "%d%c", r.days, r.kind)
		if lines[r.kind] == nil {
			lines[r.kind] = &strings.Builder{}
		}
		for left := r.days; left > 0; {
			n := min(left, 7-at%7)
			fmt.Fprintf(lines[r.kind], "M%d %dv%d", at/7, at%7, n)
			at, left = at+n, left-n
		}
	}
	h.Code, h.Columns = code.String(), (at+6)/7
	for _, k := range kinds {
		if lines[k.Kind] != nil {
			h.Lines = append(h.Lines, line{string(k.Kind), lines[k.Kind].String()})
		}
	}
	for day := first; day.Before(first.AddDate(0, 0, at-offset)); day = day.AddDate(0, 0, 1) {
		if column := (int(day.Sub(first).Hours()/24) + offset) / 7; day.Day() == 1 && column < h.Columns-1 {
			h.Months = append(h.Months, month{column * 10, day.Format("Jan")})
		}
	}
	return h
}

// SVG is the drawing, of which Label is the text.
func (h heat) SVG() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="heat" viewBox="0 -1.5 %d 8.5" role="img" aria-label="%s" data-from="%s" data-days="%s"><g transform="scale(.1)">`,
		h.Columns, template.HTMLEscapeString(h.Label), h.From, h.Code)
	for _, m := range h.Months {
		fmt.Fprintf(&b, `<text x="%d" y="-5">%s</text>`, m.X, m.Name)
	}
	fmt.Fprintf(&b, `</g><rect width="%d" height="7"/><g transform="translate(.5)">`, h.Columns)
	for _, p := range h.Lines {
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, p.Class, p.D)
		if p.Class == string(kindSuspect) || p.Class == string(kindMissing) {
			fmt.Fprintf(&b, `<path class="%si" d="%s"/>`, p.Class, p.D) // what makes it hollow
		}
	}
	b.WriteString("</g></svg>")
	return template.HTML(b.String()) // dates, numbers and our own words; the label is escaped
}

// inWords says what a calendar shows, for who does not see it.
func inWords(all []run) string {
	count := map[kind]int{}
	var suspect, missing []string
	for _, r := range all {
		count[r.kind] += r.days
		switch r.kind {
		case kindSuspect:
			suspect = append(suspect, span(r))
		case kindMissing:
			missing = append(missing, span(r))
		}
	}
	var kept []string
	for _, k := range kinds[:5] {
		if n := count[k.Kind]; n > 0 {
			kept = append(kept, strconv.Itoa(n)+" "+k.Name)
		}
	}
	text := fmt.Sprintf("Calendar from %s to %s.", date(all[0].from), date(all[len(all)-1].to()))
	if len(kept) > 0 {
		text += " Days of which a backup is kept: " + strings.Join(kept, ", ") + "."
	}
	if n := count[kindPast]; n > 0 {
		text += fmt.Sprintf(" Not kept: %d.", n)
	}
	return text + some(" Suspect", suspect) + some(" Missing", missing)
}

// some lists the last few of what may be many.
func some(what string, all []string) string {
	const few = 4
	switch n := len(all); {
	case n == 0:
		return ""
	case n <= few:
		return what + ": " + strings.Join(all, ", ") + "."
	default:
		return fmt.Sprintf("%s: %s and %d times before.", what, strings.Join(all[n-few:], ", "), n-few)
	}
}

func date(t time.Time) string { return t.Format("2 Jan 2006") }

func span(r run) string {
	if r.days == 1 {
		return date(r.from)
	}
	return date(r.from) + " – " + date(r.to())
}

// stretch is one row of the calendar as a table.
type stretch struct {
	When, What string
	Days       int
	Dumps      int
	Kind       kind
}

// stretches are the calendar as a table, newest first.
func stretches(days []status.Day) (all []stretch) {
	for _, r := range runs(days) {
		all = append([]stretch{{span(r), r.kind.text(), r.days, r.dumps, r.kind}}, all...)
	}
	return all
}
