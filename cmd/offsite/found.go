package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent"
	"offsite/agent/dump"
)

// foundDump is one that lies in a watched directory.
type foundDump struct {
	taken time.Time
	size  int64
}

// foundSeries is a series as its dumps that lie there show it, oldest first.
type foundSeries struct {
	name  string
	dumps []foundDump
}

func (s foundSeries) newest() foundDump { return s.dumps[len(s.dumps)-1] }

// findSeries looks at what is in a directory now, by the agent's own rules. What cannot be read is in the error.
func findSeries(ctx context.Context, source agent.Source, now time.Time) (all []foundSeries, err error) {
	by := map[string][]foundDump{}
	var errs []error
	for f, err := range source.List(ctx) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f.IsDir || f.ID.Size == 0 {
			continue
		}
		id, err := dump.Identify(f.Rel, f.ID.ModTime(), now, source.Rules)
		if err != nil {
			continue // the agent says so when it meets it
		}
		by[id.Series] = append(by[id.Series], foundDump{id.Taken, f.ID.Size})
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		s := foundSeries{name, by[name]}
		slices.SortFunc(s.dumps, func(a, b foundDump) int { return cmp.Or(a.taken.Compare(b.taken), cmp.Compare(a.size, b.size)) })
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}

// gap is the usual time from one dump to the next; 0: too few are there to tell.
func (s foundSeries) gap() time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(s.dumps); i++ {
		if d := s.dumps[i].taken.Sub(s.dumps[i-1].taken); d > 0 {
			gaps = append(gaps, d)
		}
	}
	return median(gaps)
}

func (s foundSeries) size() int64 {
	var sizes []int64
	for _, d := range s.dumps {
		sizes = append(sizes, d.size)
	}
	return median(sizes)
}

// growth is by what factor a dump is larger than one of a year before, as far as those that are there show it: between 1 and 10, and 1
// when they span less than four weeks.
func (s foundSeries) growth() float64 {
	n := len(s.dumps)
	if n < 6 {
		return 1
	}
	first, last := foundSeries{dumps: s.dumps[:n/3]}, foundSeries{dumps: s.dumps[n-n/3:]}
	span := last.dumps[len(last.dumps)/2].taken.Sub(first.dumps[len(first.dumps)/2].taken)
	if span < 28*24*time.Hour || first.size() == 0 {
		return 1
	}
	years := span.Hours() / 24 / 365
	return min(max(1+(float64(last.size())/float64(first.size())-1)/years, 1), 10)
}

func median[T cmp.Ordered](values []T) (middle T) {
	if len(values) == 0 {
		return middle
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// rhythm is a gap in words.
func rhythm(gap time.Duration) string {
	near := func(d time.Duration) bool { return (gap - d).Abs() <= d/10 }
	const day = 24 * time.Hour
	switch {
	case gap == 0:
		return "not known yet"
	case near(time.Hour):
		return "every hour"
	case near(day):
		return "every day"
	case near(7 * day):
		return "every week"
	case near(30 * day):
		return "every month"
	case gap < time.Hour:
		return fmt.Sprintf("every %d minutes", max(1, int(gap.Round(time.Minute)/time.Minute)))
	case gap < 2*day:
		return fmt.Sprintf("every %d hours", int(gap.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("every %d days", int(gap.Round(day)/day))
}

// showSeries prints the series as a table.
func showSeries(w io.Writer, all []foundSeries) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  SERIES\tDUMPS\tNEWEST\tUSUAL SIZE\tRHYTHM")
	for _, s := range all {
		fmt.Fprintf(t, "  %s\t%d\t%s\t%s\t%s\n", printable(s.name), len(s.dumps), s.newest().taken.Format(time.DateTime), humanize.IBytes(uint64(s.size())), rhythm(s.gap()))
	}
	t.Flush()
}
