package retention

import (
	"fmt"
	"time"
)

// rule is one of the policy's numbers: it keeps the newest backup of each period.
type rule struct {
	name  string
	count int
	// period gives a number that is the same for all backups of one period, and how people write it.
	period func(t time.Time, nr int) (int, string)
}

// rules are restic's buckets, in its order.
func (p Policy) rules() []rule {
	return []rule{
		{"last", p.Last, func(_ time.Time, nr int) (int, string) { return nr, "" }},
		{"hourly", p.Hourly, func(t time.Time, _ int) (int, string) {
			return ((t.Year()*100+int(t.Month()))*100+t.Day())*100 + t.Hour(), t.Format("2006-01-02 15h")
		}},
		{"daily", p.Daily, func(t time.Time, _ int) (int, string) {
			return (t.Year()*100+int(t.Month()))*100 + t.Day(), t.Format("2006-01-02")
		}},
		{"weekly", p.Weekly, func(t time.Time, _ int) (int, string) {
			year, week := t.ISOWeek()
			return year*100 + week, fmt.Sprintf("%d-W%02d", year, week)
		}},
		{"monthly", p.Monthly, func(t time.Time, _ int) (int, string) { return t.Year()*100 + int(t.Month()), t.Format("2006-01") }},
		{"yearly", p.Yearly, func(t time.Time, _ int) (int, string) { return t.Year(), t.Format("2006") }},
	}
}

// keep gives the reasons for which the rules keep healthy backups, which come newest first, by object.
func (p Policy) keep(healthy []Backup) map[string][]string {
	reasons := map[string][]string{}
	because := func(b Backup, why string) { reasons[b.Object] = append(reasons[b.Object], why) }
	zone := p.Zone
	if zone == nil {
		zone = time.UTC
	}
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
		left, last := r.count, -1
		for nr, b := range healthy {
			if left == 0 {
				break
			}
			period, name := r.period(b.Taken.In(zone), nr)
			switch {
			case period != last:
				because(b, join(r.name, name))
			case nr == len(healthy)-1:
				because(b, join("oldest "+r.name, name)) // the longest history that the numbers allow
			default:
				continue
			}
			last = period
			if left > 0 {
				left--
			}
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
		if r.count != 0 {
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
