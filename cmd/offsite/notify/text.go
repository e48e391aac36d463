package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

// What a text has at most: runes of the title and of one field, and bytes of the whole.
const (
	titleMost = 120
	fieldMost = 1000
	textMost  = 64 << 10
)

// Text is a message for people: a title of one line, and a plain text with a paragraph for each notice. Nothing in it is a control
// character but the body's line ends.
func Text(m alarm.Message) (title, body string) { return heading(m), text(m, textMost) }

func heading(m alarm.Message) string {
	what := ""
	if len(m.Notices) == 1 {
		what = headline(m.Notices[0])
	} else {
		what = summary(m)
	}
	return cut(fmt.Sprintf("[offsite %s] %s", Line(m.Host), what), titleMost)
}

func headline(n alarm.Notice) string {
	switch {
	case n.State == alarm.Over:
		return "OVER: " + Line(n.Text)
	case n.State == alarm.Lasting:
		return "STILL " + word(n) + ": " + Line(n.Text)
	}
	return word(n) + ": " + Line(n.Text)
}

// word is how bad a notice is.
func word(n alarm.Notice) string {
	switch {
	case n.Kind == status.KindTest:
		return "TEST"
	case n.Level == status.Problem:
		return "PROBLEM"
	case n.Level == status.Warning:
		return "WARNING"
	}
	return "NOTE"
}

// summary counts several notices: "PROBLEM: 2 new alarms, 1 lasts, 3 are over".
func summary(m alarm.Message) string {
	count := map[alarm.State]int{}
	var worst alarm.Notice
	for _, n := range m.Notices {
		count[n.State]++
		if n.State != alarm.Over && (worst.State == "" || status.Worse(worst.Level, n.Level) != worst.Level) {
			worst = n
		}
	}
	if worst.State == "" {
		return fmt.Sprintf("OVER: %d alarms", len(m.Notices))
	}
	var parts []string
	if n := count[alarm.Begun]; n > 0 {
		parts = append(parts, plural(n, "new alarm", "new alarms"))
	}
	if n := count[alarm.Lasting]; n > 0 {
		parts = append(parts, plural(n, "alarm lasts", "alarms last"))
	}
	if n := count[alarm.Over]; n > 0 {
		parts = append(parts, plural(n, "is over", "are over"))
	}
	return word(worst) + ": " + strings.Join(parts, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// text is the body, of most bytes at most: what does not fit is counted.
func text(m alarm.Message, most int) string {
	const reserve = 120 // for the last line
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", Line(m.Host), stamp(m.At))
	for i, n := range m.Notices {
		p := paragraph(n)
		if i > 0 && b.Len()+len(p) > most-reserve {
			fmt.Fprintf(&b, "\nand %d more: `offsite status` shows what lasts\n", len(m.Notices)-i)
			break
		}
		b.WriteString(shorten(p, most-reserve))
	}
	return b.String()
}

func paragraph(n alarm.Notice) string {
	var b strings.Builder
	switch {
	case n.State == alarm.Over:
		fmt.Fprintf(&b, "\nOVER: %s\n", Line(n.Text))
		fmt.Fprintf(&b, "  from %s to %s\n", stamp(n.Since), stamp(n.Over))
		return b.String()
	case n.State == alarm.Lasting:
		fmt.Fprintf(&b, "\nSTILL %s: %s\n", word(n), Line(n.Text))
	default:
		fmt.Fprintf(&b, "\nNEW %s: %s\n", word(n), Line(n.Text))
	}
	if n.Remedy != "" {
		fmt.Fprintf(&b, "  what to do: %s\n", Line(n.Remedy))
	}
	fmt.Fprintf(&b, "  since %s\n", stamp(n.Since))
	return b.String()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// Line makes one line of what may come from a file name or a server: it can forge no line and no header, nor turn the direction of what
// is read.
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return cut(strings.Join(strings.Fields(s), " "), fieldMost)
}

// cut keeps so many runes.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// shorten keeps so many bytes, and no half rune.
func shorten(s string, most int) string {
	const end = "…"
	if len(s) <= most {
		return s
	}
	n := max(0, most-len(end))
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + end
}
