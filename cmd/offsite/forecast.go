package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent/retention"
	"offsite/configs"
)

// forecast says what each target will hold in a year, if the series go on as they did.
func (a *answers) forecast(c *configs.Config, out io.Writer) error {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return err
	}
	if len(a.found) == 0 {
		return nil
	}
	a.Forecast = nil
	fmt.Fprint(out, "\nWith daily 7, weekly 4, monthly 12 and yearly forever, in a year there will be:\n")
	for _, t := range c.Targets {
		policy := policies(c, t, zone)
		backups, bytes := 0, int64(0)
		for _, s := range a.found {
			n, size := inAYear(s, policy(s.name), time.Now())
			backups, bytes = backups+n, bytes+size
		}
		line := fmt.Sprintf("%s: about %d backups, %s", t.Name, backups, humanize.IBytes(uint64(bytes)))
		a.Forecast = append(a.Forecast, line)
		fmt.Fprintf(out, "  %s\n", line)
	}
	fmt.Fprintln(out)
	return nil
}

// inAYear is what retention will hold of a series a year from now, with its rhythm (a day where that is not known), its usual size and
// its growth. Retention is applied week by week, as the agent would.
func inAYear(s foundSeries, policy retention.Policy, now time.Time) (backups int, bytes int64) {
	const week, year = 7 * 24 * time.Hour, 365 * 24 * time.Hour
	gap := s.gap()
	if gap == 0 {
		gap = 24 * time.Hour
	}
	gap = max(gap, time.Minute)
	var all []retention.Backup
	add := func(taken time.Time, size int64) {
		all = append(all, retention.Backup{Object: fmt.Sprint(len(all), taken.UnixNano()), Taken: taken, Found: taken, Stored: size})
	}
	for _, d := range s.dumps {
		add(d.taken, d.size)
	}
	size, growth := float64(s.size()), s.growth()-1
	began := s.newest().taken
	next := began.Add(gap)
	for at := now.Add(week); !at.After(now.Add(year)); at = at.Add(week) {
		for ; !next.After(at); next = next.Add(gap) {
			add(next, int64(size*(1+growth*float64(max(0, next.Sub(now)))/float64(year))))
		}
		plan := retention.Make(at, policy, all)
		all = all[:0:0]
		for _, d := range slices.Backward(plan.Keep) {
			all = append(all, d.Backup)
		}
	}
	for _, b := range all {
		bytes += b.Stored
	}
	return len(all), bytes
}
