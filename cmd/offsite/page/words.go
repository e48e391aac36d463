package page

import (
	"fmt"
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent/status"
)

// clock says times as somebody who looks now understands them. Templates call its methods.
type clock struct {
	now  time.Time
	zone *time.Location
}

// Ago is how long ago t was, or in how long it will be, with the exact time behind it. The script lets it run on.
func (c clock) Ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.UTC().Format(time.RFC3339), exact(t.In(c.zone)), ago(c.now.Sub(t)))) // digits and words of our own
}

// At is when t was.
func (c clock) At(t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), exact(t.In(c.zone))))
}

// Day is the day of t.
func (c clock) Day(t time.Time) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), date(t.In(c.zone))))
}

// Size, Count, Rows, Speed and Spell are numbers as people say them.
func (clock) Size(n int64) string          { return size(n) }
func (clock) Count(n int) string           { return humanize.Comma(int64(n)) }
func (clock) Rows(n int64) string          { return humanize.Comma(n) }
func (clock) Speed(rate float64) string    { return size(int64(rate)) + "/s" }
func (clock) Spell(d time.Duration) string { return spell(d) }

// Plural is a number of things.
func (clock) Plural(n int, what string) string { return plural(n, what) }

// Every is how often something comes, without a precision that nobody has.
func (clock) Every(d time.Duration) string {
	switch {
	case d > 12*time.Hour:
		d = d.Round(time.Hour)
	case d > time.Hour:
		d = d.Round(5 * time.Minute)
	}
	switch d {
	case time.Hour:
		return "every hour"
	case 24 * time.Hour:
		return "every day"
	case 7 * 24 * time.Hour:
		return "every week"
	}
	return "every " + spell(d)
}

// Name is a name that somebody chose, which is kept from looking like something else.
func (clock) Name(s string) string { return printable(s) }

// Level is a level in words.
func (clock) Level(l status.Level) string { return levelName(l) }

// badge is a level as a small label; well says it of one that is good.
func badge(l status.Level, well string) template.HTML {
	class, text := "plain", well
	switch l {
	case status.Problem, status.Warning:
		class, text = string(l), levelName(l)
	case status.OK:
		class = "ok"
	}
	return template.HTML(`<span class="badge ` + class + `">` + template.HTMLEscapeString(text) + `</span>`)
}

func healthBadge(health string) template.HTML {
	text := clock{}.Health(health)
	switch health {
	case "ok":
		return badge(status.OK, text)
	case "suspect":
		return template.HTML(`<span class="badge warning">suspect</span>`)
	}
	return badge("", text)
}

func levelName(l status.Level) string {
	switch l {
	case status.Problem:
		return "Problem"
	case status.Warning:
		return "Warning"
	}
	return "Safe"
}

func exact(t time.Time) string { return t.Format("2 Jan 2006, 15:04:05 MST") }

// steps are the units in which it is said how long ago something was, each from a number of seconds on. The script has the same.
var steps = []struct {
	from, unit int64
	name       string
}{{730 * 86400, 365 * 86400, "year"}, {60 * 86400, 30 * 86400, "month"}, {48 * 3600, 86400, "day"}, {3600, 3600, "hour"}, {60, 60, "minute"}}

// ago says how long ago something was; negative: in how long it will be.
func ago(d time.Duration) string {
	seconds := int64(d / time.Second)
	past := seconds >= 0
	if !past {
		seconds = -seconds
	}
	for _, s := range steps {
		if seconds >= s.from {
			text := plural(int(seconds/s.unit), s.name)
			if past {
				return text + " ago"
			}
			return "in " + text
		}
	}
	if past {
		return "just now"
	}
	return "in a moment"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "s"
}

// spell says how long something lasts, in its two largest units.
func spell(d time.Duration) string {
	if d < time.Second {
		return "less than a second"
	}
	units := []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	var said []string
	for _, u := range units {
		n := int(d / u.d)
		d -= time.Duration(n) * u.d
		switch {
		case n > 0 && u.name == "day":
			said = append(said, plural(n, "day"))
		case n > 0:
			said = append(said, strconv.Itoa(n)+" "+u.name)
		}
		if len(said) == 2 || len(said) == 1 && n == 0 {
			break
		}
	}
	return strings.Join(said, " ")
}

// printable keeps a name from turning the line around, or hiding what is in it.
func printable(s string) string {
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` || s == "" {
		return quoted
	}
	return s
}

var backticks = regexp.MustCompile("`[^`]+`")

// code is text in which what stands between backticks is a command.
func code(text string) template.HTML {
	text = template.HTMLEscapeString(text)
	return template.HTML(backticks.ReplaceAllStringFunc(text, func(s string) string { return "<code>" + s[1:len(s)-1] + "</code>" }))
}
