package retention

import (
	"fmt"
	"iter"
	"time"
)

// rule is one of the policy's numbers: it keeps the newest backup of each period.
type rule struct {
	name  string
	count int
	// period gives a number that is the same for all backups of one period, and how people write it.
	period func(t time.Time, nr int) (int, string)
	// begin is the beginning of the n-th period after that of t, in t's zone; nil for what does not go by the calendar.
	begin func(t time.Time, n int) time.Time
}

// rules are restic's buckets, in its order.
func (p Policy) rules() []rule {
	return []rule{
		{"last", p.Last, func(_ time.Time, nr int) (int, string) { return nr, "" }, nil},
		{"hourly", p.Hourly, func(t time.Time, _ int) (int, string) {
			return ((t.Year()*100+int(t.Month()))*100+t.Day())*100 + t.Hour(), t.Format("2006-01-02 15h")
		}, func(t time.Time, n int) time.Time {
			return t.Add(time.Duration(min(n, mostHours))*time.Hour - sinceHour(t))
		}},
		{"daily", p.Daily, func(t time.Time, _ int) (int, string) {
			return (t.Year()*100+int(t.Month()))*100 + t.Day(), t.Format("2006-01-02")
		}, func(t time.Time, n int) time.Time { return midnight(t, 0, 0, n) }},
		{"weekly", p.Weekly, func(t time.Time, _ int) (int, string) {
			year, week := t.ISOWeek()
			return year*100 + week, fmt.Sprintf("%d-W%02d", year, week)
		}, func(t time.Time, n int) time.Time { return midnight(t, 0, 0, 7*n-(int(t.Weekday())+6)%7) }},
		{"monthly", p.Monthly, func(t time.Time, _ int) (int, string) {
			return t.Year()*100 + int(t.Month()), t.Format("2006-01")
		}, func(t time.Time, n int) time.Time { return midnight(t, 0, n, 1-t.Day()) }},
		{"yearly", p.Yearly, func(t time.Time, _ int) (int, string) {
			return t.Year(), t.Format("2006")
		}, func(t time.Time, n int) time.Time { return midnight(t, n, 1-int(t.Month()), 1-t.Day()) }},
	}
}

// mostHours is as many as a Duration can hold, and some less.
const mostHours = 2_000_000

// sinceHour is how much of t's hour is over, by the clock on the wall.
func sinceHour(t time.Time) time.Duration {
	return time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// midnight is the beginning of a day that is so far from t's.
func midnight(t time.Time, years, months, days int) time.Time {
	const most = 1_000_000 // more makes no difference, and may overflow
	years, months, days = min(years, most/365), min(months, most/12), min(days, most)
	return time.Date(t.Year()+years, t.Month()+time.Month(months), t.Day()+days, 0, 0, 0, 0, t.Location())
}

// place is one that a rule gives a backup.
type place struct {
	Backup
	// period, as people write it.
	period string
	// oldest says that it is not the newest of its period, but the oldest of all.
	oldest bool
}

// kept yields what the rule keeps of healthy backups, which come newest first.
func (r rule) kept(healthy []Backup, zone *time.Location) iter.Seq[place] {
	return func(yield func(place) bool) {
		left, last := r.count, -1
		for nr, b := range healthy {
			if left == 0 {
				return
			}
			period, name := r.period(b.Taken.In(zone), nr)
			oldest := period == last
			if oldest && nr < len(healthy)-1 {
				continue
			}
			if !yield(place{b, name, oldest}) {
				return
			}
			last = period
			if left > 0 {
				left--
			}
		}
	}
}

func (p Policy) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// keep gives the reasons for which the rules keep healthy backups, which come newest first, by object.
func (p Policy) keep(healthy []Backup) map[string][]string {
	reasons := map[string][]string{}
	because := func(b Backup, why string) { reasons[b.Object] = append(reasons[b.Object], why) }
	zone := p.zone()
	for nr, b := range healthy {
		if !p.Within.zero() && b.Taken.After(p.Within.before(healthy[0].Taken.In(zone))) {
			because(b, "within "+p.Within.String())
		}
		if nr == 0 {
			because(b, "newest")
		} else if nr < p.MinKeep {
			because(b, "min_keep")
		}
	}
	for _, r := range p.rules() {
		for kept := range r.kept(healthy, zone) {
			name := r.name
			if kept.oldest {
				name = "oldest " + name // the longest history that the numbers allow
			}
			because(kept.Backup, join(name, kept.period))
		}
	}
	return reasons
}

func join(rule, period string) string {
	if period == "" {
		return rule
	}
	return rule + " " + period
}

// String is the policy in words that do not change: it tells one policy from another.
func (p Policy) String() string {
	text := fmt.Sprintf("min_keep %d", p.MinKeep)
	for _, r := range p.rules() {
		switch r.count {
		case 0:
		case Forever:
			text += ", " + r.name + " forever"
		default:
			text += fmt.Sprintf(", %s %d", r.name, r.count)
		}
	}
	if !p.Within.zero() {
		text += ", within " + p.Within.String()
	}
	if p.Zone != nil {
		text += ", " + p.Zone.String()
	}
	return text
}
