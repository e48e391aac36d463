package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent/status"
)

func printStatus(h *status.Host, asJSON bool, out io.Writer) error {
	if asJSON {
		return writeJSON(out, h)
	}
	fmt.Fprintln(out, headline(h))
	for _, a := range h.Alarms {
		fmt.Fprintf(out, "\n%s since %s: %s\n", strings.ToUpper(string(a.Level)), since(a.Since, h.At), printable(a.Text))
		if a.Remedy != "" {
			fmt.Fprintf(out, "  %s\n", printable(a.Remedy))
		}
	}
	if len(h.Series) > 0 {
		fmt.Fprintln(out)
		if err := printSeries(h, out); err != nil {
			return err
		}
	}
	fmt.Fprintln(out)
	if err := printTargets(h, out); err != nil {
		return err
	}
	printTransfers(h, out)
	printDrills(h, out)
	return nil
}

// headline is the answer, and how fresh it is.
func headline(h *status.Host) string {
	if h.Running {
		return answerOf(h) + fmt.Sprintf(" (the agent runs since %s)", since(h.Started, h.At))
	}
	return answerOf(h) + " (no agent runs; this is what the last one knew)"
}

// answerOf answers the one question: is everything safe?
func answerOf(h *status.Host) string {
	count := map[status.Level]int{}
	for _, a := range h.Alarms {
		count[a.Level]++
	}
	var parts []string
	for _, l := range []status.Level{status.Problem, status.Warning} {
		if n := count[l]; n > 0 {
			parts = append(parts, many(n, string(l)))
		}
	}
	text := h.Host + ": everything is safe"
	switch {
	case len(parts) > 0:
		text = h.Host + ": " + strings.Join(parts, ", ")
	case len(h.Series) == 0:
		text = h.Host + ": there are no dumps yet"
	}
	return text
}

func printSeries(h *status.Host, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "SERIES\tLAST DUMP\tSIZE\tTREND\tHEALTH\tNEXT DUE")
	for _, t := range h.Targets {
		fmt.Fprintf(w, "\tON %s", strings.ToUpper(t.Name))
	}
	fmt.Fprintln(w)
	worst := slices.Clone(h.Series)
	slices.SortStableFunc(worst, func(a, b status.Series) int {
		switch {
		case a.Level == b.Level:
			return 0
		case status.Worse(a.Level, b.Level) == a.Level:
			return -1
		}
		return 1
	})
	for _, s := range worst {
		last, size, health := "never", "", ""
		if s.Last != nil {
			last, size, health = since(s.Last.Taken, h.At)+" ago", humanize.IBytes(uint64(s.Last.Size)), s.Last.Health
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s", printable(s.Name), last, size, sparkline(s.Sizes), health, due(&s, h.At))
		for _, c := range s.On {
			fmt.Fprintf(w, "\t%s", offsite(&c, h.At))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// offsite is what a target has of a series, in a few words.
func offsite(c *status.Copies, now time.Time) string {
	text := "nothing"
	if !c.Newest.IsZero() {
		text = fmt.Sprintf("%s ago, %d kept", since(c.Newest, now), c.Backups)
	} else if c.Backups > 0 {
		text = fmt.Sprintf("none healthy, %d kept", c.Backups)
	}
	for _, part := range []struct {
		n    int
		what string
	}{{c.Owed, "owed"}, {c.Damaged, "DAMAGED"}, {c.Missing, "GONE"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}

// due is when the next dump is there at the latest.
func due(s *status.Series, now time.Time) string {
	switch {
	case s.Due.IsZero() && s.Expected:
		return "may be silent"
	case s.Due.IsZero():
		return "not known yet"
	case s.Overdue:
		return "OVERDUE by " + since(s.Due, now)
	case s.Due.Before(now):
		return "now"
	}
	return "in " + since(now, s.Due)
}

// sparkline shows how sizes went, from the smallest to the largest.
func sparkline(sizes []int64) string {
	if len(sizes) < 2 {
		return ""
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	least, most := slices.Min(sizes), slices.Max(sizes)
	var line []rune
	for _, size := range sizes {
		height := len(bars) / 2
		if most-least > most/50 { // what differs by less is flat
			height = int(float64(size-least) / float64(most-least) * float64(len(bars)-1))
		}
		line = append(line, bars[height])
	}
	return string(line)
}

func printTargets(h *status.Host, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tSTATE\tBACKUPS\tSTORED\tOWED\tREAD AND COMPARED\tPLACE")
	for _, t := range h.Targets {
		state := "ok"
		switch {
		case !t.Failing.IsZero():
			state = "fails since " + since(t.Failing, h.At) + ": " + t.Error
		case t.Level != status.OK:
			state = string(t.Level)
		case t.Owed > 0:
			state = "behind"
		}
		owed := "-"
		if t.Owed > 0 {
			owed = fmt.Sprintf("%d (%s)", t.Owed, humanize.IBytes(uint64(t.OwedBytes)))
		}
		proven := "never"
		if t.Every > 0 {
			proven = fmt.Sprintf("%d of %d within %s", t.Proven, t.Backups, since(h.At.Add(-t.Every), h.At))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", t.Name, printable(state), t.Backups, humanize.IBytes(uint64(t.Stored)), owed, proven, printable(t.Location))
	}
	return w.Flush()
}

func printTransfers(h *status.Host, out io.Writer) {
	if len(h.Transfers) == 0 {
		return
	}
	fmt.Fprintln(out)
	for _, t := range h.Transfers {
		rate := ""
		if t.Rate > 0 {
			rate = fmt.Sprintf(", %s/s", humanize.IBytes(uint64(t.Rate)))
			if left := time.Duration(float64(t.Total-t.Done)/t.Rate) * time.Second; left > time.Second {
				rate += ", " + left.Round(time.Second).String() + " left"
			}
		}
		fmt.Fprintf(out, "to %s: %s, %d %% of %s%s\n", t.Target, printable(t.Name), 100*t.Done/max(1, t.Total), humanize.IBytes(uint64(t.Total)), rate)
	}
}

func printDrills(h *status.Host, out io.Writer) {
	if len(h.Drills) == 0 {
		return
	}
	fmt.Fprintln(out)
	for _, d := range h.Drills {
		text := "was never run"
		if r := d.Last; r != nil {
			text = fmt.Sprintf("passed %s ago: %s restored from %s in %s", since(r.Began, h.At), humanize.IBytes(uint64(r.Bytes)), r.Target, r.Took.Round(time.Second))
			if r.Rows > 0 {
				text += fmt.Sprintf(", %s rows", humanize.Comma(r.Rows))
			}
			if !r.Passed {
				text = fmt.Sprintf("FAILED %s ago: %s", since(r.Began, h.At), r.Reason)
			}
		}
		name := d.Name
		if d.Series != "" && d.Series != name {
			name += " (" + printable(d.Series) + ")"
		}
		fmt.Fprintf(out, "drill %s: %s\n", name, printable(text))
	}
}

// since is the time from one instant to another in its largest unit, as people say it: 3d, 26h, 5m.
func since(from, to time.Time) string {
	d := to.Sub(from)
	switch {
	case d >= 72*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", max(0, d/time.Second))
}
