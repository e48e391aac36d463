// Package rhythm learns how often the dumps of a series come, from when they came before, so that silence can be an alarm without
// anybody having written down a schedule. Everything in it is pure.
//
// The next dump is expected as long after the last one as it took after those before it at the same point of the week, or of the
// day: "weekdays at three" has a gap of three days after each Friday, and "hourly from eight to six" one of fourteen hours each evening.
// Where nothing recurs like that, or the gaps are days long, the longest of the recent gaps counts. One outage in the history does not
// stretch the rhythm.
package rhythm

import (
	"slices"
	"time"
)

const (
	// Fewest is how many dumps there must be before a rhythm is believed.
	Fewest = 5
	// Most is how many of the last dumps are looked at: two weeks of one every ten minutes.
	Most = 2000
	// weeks is how far back the same point of the week is looked for.
	weeks = 10
	// recent is how many gaps count where nothing recurs.
	recent = 12
	// slackest is the least that a dump may be late: jobs take longer on some days.
	slackest = 30 * time.Minute
)

// Rhythm is when the next dump of a series is expected. The zero Rhythm: nobody knows.
type Rhythm struct {
	// Gap is the time from the last dump to Due, the instant at which the next one is there, if all is as it was.
	Gap time.Duration
	Due time.Time
	// Slack is how much later is not late yet.
	Slack time.Duration
}

// Known says whether there is a rhythm.
func (r Rhythm) Known() bool { return !r.Due.IsZero() }

// Overdue says whether the next dump is late.
func (r Rhythm) Overdue(now time.Time) bool { return r.Known() && now.After(r.Due.Add(r.Slack)) }

// Expect is the rhythm of a series whose next dump is to be there so long after the last, and not a moment later.
func Expect(last time.Time, within time.Duration) Rhythm {
	return Rhythm{Gap: within, Due: last.Add(within)}
}

// Learn learns from when the dumps were taken, in any order, in the zone in which they recur. Dumps of one minute count as one.
func Learn(taken []time.Time, zone *time.Location) Rhythm {
	times := onTheWall(distinct(taken), zone)
	if len(times) < Fewest {
		return Rhythm{}
	}
	last := times[len(times)-1]
	recently := gapsOf(times[max(0, len(times)-recent-1):])
	gap := longest(recently)
	if usual := median(recently); usual <= maxRecurring {
		if g, ok := recurring(times, usual); ok {
			gap = g
		}
	}
	due := last.Add(gap)
	if len(times) < Most {
		due = livedThrough(due, times)
	}
	then := fromTheWall(due, zone)
	return Rhythm{Gap: then.Sub(fromTheWall(last, zone)), Due: then, Slack: max(slackest, gap/10)}
}

// onTheWall are the times as the clock on the wall shows them, written as if that were UTC: jobs go by it, summer time or not.
func onTheWall(times []time.Time, zone *time.Location) (wall []time.Time) {
	for _, t := range times {
		_, offset := t.In(zone).Zone()
		wall = append(wall, t.UTC().Add(time.Duration(offset)*time.Second))
	}
	slices.SortFunc(wall, time.Time.Compare) // an hour comes twice in autumn
	return wall
}

func fromTheWall(t time.Time, zone *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone).UTC()
}

const day = 24 * time.Hour

// maxRecurring is up to which usual gap a series may recur each week or day: what comes less often says too little by its weekdays.
const maxRecurring = 3*day + day/2

// distinct are the times in order, without those of the same minute, and the last Most of them.
func distinct(taken []time.Time) (times []time.Time) {
	sorted := slices.Clone(taken)
	slices.SortFunc(sorted, time.Time.Compare)
	for _, t := range sorted {
		if n := len(times); n == 0 || t.Sub(times[n-1]) >= time.Minute {
			times = append(times, t)
		}
	}
	return times[max(0, len(times)-Most):]
}

func gapsOf(times []time.Time) (gaps []time.Duration) {
	for i := 1; i < len(times); i++ {
		gaps = append(gaps, times[i].Sub(times[i-1]))
	}
	return gaps
}

// recurring is the longest gap after the dumps at the same point of the week as the last; or else of the day.
func recurring(times []time.Time, usual time.Duration) (time.Duration, bool) {
	last, near := times[len(times)-1], min(usual/2, 2*time.Hour)
	for _, period := range []struct{ days, times int }{{7, weeks}, {1, recent}} {
		var gaps []time.Duration
		for k := 1; k <= period.times; k++ {
			if gap, ok := gapAfter(times, last.AddDate(0, 0, -k*period.days), near); ok {
				gaps = append(gaps, gap)
			}
		}
		if len(gaps) > 0 {
			return longest(gaps), true
		}
	}
	return 0, false
}

// gapAfter is the gap that followed the dump nearest to an instant, if one is near enough.
func gapAfter(times []time.Time, then time.Time, near time.Duration) (gap time.Duration, ok bool) {
	i, _ := slices.BinarySearchFunc(times, then, time.Time.Compare)
	best := near + 1
	for _, j := range []int{i - 1, i} {
		if j < 0 || j+1 >= len(times) {
			continue
		}
		if off := times[j].Sub(then).Abs(); off < best {
			best, gap, ok = off, times[j+1].Sub(times[j]), true
		}
	}
	return gap, ok
}

// longest is the longest gap; but of four or more, one that is more than twice as long as the next is an outage.
func longest(gaps []time.Duration) time.Duration {
	sorted := slices.Clone(gaps)
	slices.Sort(sorted)
	n := len(sorted)
	if n >= 4 && sorted[n-1] > 2*sorted[n-2] {
		return sorted[n-2]
	}
	return sorted[n-1]
}

func median(gaps []time.Duration) time.Duration {
	sorted := slices.Clone(gaps)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// livedThrough puts off an expectation to an hour of the day, and a day of the week, that the series has lived through: five dumps
// from eight to twelve say nothing of one o'clock, and five from Monday to Friday nothing of Saturday.
func livedThrough(due time.Time, times []time.Time) time.Time {
	first, last := times[0], times[len(times)-1]
	if last.Sub(first) < day {
		for !lived(first, last, due, time.Hour) {
			due = due.Add(time.Hour)
		}
	}
	if due.Sub(last) < 7*day && last.Sub(first) < 7*day {
		for !livedDay(first, last, due) {
			due = due.Add(day)
		}
	}
	return due
}

// livedDay says whether some day from first to last is a working day, as the day of t is; or if that is at a weekend, the same day.
func livedDay(first, last, t time.Time) bool {
	if weekend(t) {
		return lived(first, last, t, day)
	}
	for u := first.Truncate(day); !u.After(last); u = u.Add(day) {
		if !weekend(u) {
			return true
		}
	}
	return false
}

func weekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// lived says whether some time from first to last is in the same hour of the day as t, or on the same day of the week.
func lived(first, last, t time.Time, unit time.Duration) bool {
	cycle := 24
	if unit == day {
		cycle = 7
	}
	for u := first.Truncate(unit); !u.After(last); u = u.Add(unit) {
		if int(u.Sub(t.Truncate(unit))/unit)%cycle == 0 {
			return true
		}
	}
	return false
}
