package retention

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in the calendar's units, as restic writes it: 2y5m7d3h.
type Duration struct{ Years, Months, Days, Hours int }

// ParseDuration reads numbers with units: y, m (months), d, h; each at most once. A bare number is a mistake.
func ParseDuration(s string) (d Duration, err error) {
	wrong := errors.New("should be a length of time such as 30d, 12h or 1y6m (m is months)")
	units := map[byte]*int{'y': &d.Years, 'm': &d.Months, 'd': &d.Days, 'h': &d.Hours}
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 {
			return Duration{}, wrong
		}
		n, err := strconv.ParseUint(rest[:i], 10, 20)
		field, known := units[rest[i]]
		if err != nil || !known {
			return Duration{}, wrong
		}
		*field = int(n)
		delete(units, rest[i])
		rest = rest[i+1:]
	}
	if d.zero() {
		return Duration{}, wrong
	}
	return d, nil
}

// String is what ParseDuration reads.
func (d Duration) String() string {
	var b strings.Builder
	for _, part := range []struct {
		n    int
		unit string
	}{{d.Years, "y"}, {d.Months, "m"}, {d.Days, "d"}, {d.Hours, "h"}} {
		if part.n != 0 {
			fmt.Fprintf(&b, "%d%s", part.n, part.unit)
		}
	}
	return b.String()
}

func (d Duration) zero() bool { return d == Duration{} }

// before is the instant that lies this long before t.
func (d Duration) before(t time.Time) time.Time {
	return t.AddDate(-d.Years, -d.Months, -d.Days).Add(-time.Duration(d.Hours) * time.Hour)
}

// after is the first instant, to the day where months differ in length, of which before is not before t.
func (d Duration) after(t time.Time) time.Time {
	until := t.AddDate(d.Years, d.Months, d.Days).Add(time.Duration(d.Hours) * time.Hour)
	for day := midnight(until, 0, 0, 0); !d.before(day).Before(t); day = midnight(day, 0, 0, -1) {
		until = day
	}
	return until
}
