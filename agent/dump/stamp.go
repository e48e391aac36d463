package dump

import (
	"regexp"
	"strconv"
	"time"
)

// stamp is a time as a file name has it.
type stamp struct {
	year, month, day, hour, minute, second int
	clock                                  bool   // it has a time of day
	zone                                   string // "Z", "+01:00" or "+0100"; empty: none
	unix                                   int64  // seconds since 1970, instead of all that
}

// Stamps, most telling first. Year, month, day come in this order, and nothing else is guessed: 03-04-2026 has two
// readings. A digit before or after means that it is some other number.
var (
	dateTime = regexp.MustCompile(`(?:^|[^0-9])((\d{4})([-._]?)(\d{2})([-._]?)(\d{2})(?:[T_\-. @]|_-_|)(\d{2})([-.:_hH]?)(\d{2})(?:([-.:_mM]?)(\d{2})(?:[.,]\d{1,9})?)?s?(Z|[+-]\d{2}:?\d{2})?)(?:$|[^0-9])`)
	dateOnly = regexp.MustCompile(`(?:^|[^0-9])((\d{4})([-._]?)(\d{2})([-._]?)(\d{2}))(?:$|[^0-9])`)
	epoch    = regexp.MustCompile(`(?:^|[^0-9])(1\d{9}|1\d{12})(?:$|[^0-9])`)
)

// findStamp gives the last stamp in a name, and where it lies.
func findStamp(name string) (s stamp, from, to int, found bool) {
	for _, find := range []func(string) (stamp, int, int, bool){findDateTime, findDate, findEpoch} {
		if s, from, to, found = find(name); found {
			return s, from, to, true
		}
	}
	return stamp{}, 0, 0, false
}

func findDateTime(name string) (found stamp, from, to int, ok bool) {
	each(dateTime, name, func(m []int) {
		if group(name, m, 3) != group(name, m, 5) {
			return // 2026-1122 is something else
		}
		s := stamp{
			year: number(name, m, 2), month: number(name, m, 4), day: number(name, m, 6),
			hour: number(name, m, 7), minute: number(name, m, 9), second: number(name, m, 11),
			clock: true, zone: group(name, m, 12),
		}
		if s.valid() {
			found, from, to, ok = s, m[2], m[3], true
		}
	})
	return
}

func findDate(name string) (found stamp, from, to int, ok bool) {
	each(dateOnly, name, func(m []int) {
		if group(name, m, 3) != group(name, m, 5) {
			return
		}
		s := stamp{year: number(name, m, 2), month: number(name, m, 4), day: number(name, m, 6)}
		if s.valid() {
			found, from, to, ok = s, m[2], m[3], true
		}
	})
	return
}

func findEpoch(name string) (found stamp, from, to int, ok bool) {
	each(epoch, name, func(m []int) {
		n, err := strconv.ParseInt(group(name, m, 1), 10, 64)
		if err != nil {
			return
		}
		if n >= 1e12 {
			n /= 1000
		}
		found, from, to, ok = stamp{unix: n}, m[2], m[3], true
	})
	return
}

// each calls give for every match, overlapping ones too: the character between two numbers ends one and begins the
// other.
func each(re *regexp.Regexp, s string, give func(m []int)) {
	for at := 0; at <= len(s); {
		m := re.FindStringSubmatchIndex(s[at:])
		if m == nil {
			return
		}
		for i := range m {
			if m[i] >= 0 {
				m[i] += at
			}
		}
		// The context before the stamp was cut off with s[:at]: a digit there means that it is some other number.
		if m[2] == 0 || s[m[2]-1] < '0' || s[m[2]-1] > '9' {
			give(m)
		}
		at = m[2] + 1
	}
}

func group(s string, m []int, i int) string {
	if m[2*i] < 0 {
		return ""
	}
	return s[m[2*i]:m[2*i+1]]
}

func number(s string, m []int, i int) int {
	n, _ := strconv.Atoi(group(s, m, i)) // the pattern admits digits only; a missing group is 0
	return n
}

// valid refuses the 31st of February and 25 o'clock, and years in which nobody made these dumps.
func (s stamp) valid() bool {
	t := time.Date(s.year, time.Month(s.month), s.day, s.hour, s.minute, s.second, 0, time.UTC)
	return s.year >= 1980 && s.year <= 2199 && t.Year() == s.year && int(t.Month()) == s.month && t.Day() == s.day &&
		t.Hour() == s.hour && t.Minute() == s.minute && t.Second() == s.second
}

// instant is the moment that the stamp names. Without a zone of its own it is read in zone. An hour that a clock
// shows twice, at the end of summer time, is the one nearer to mtime; one that it never shows is an hour later, as
// time.Date has it. A date without a time of day is the instant of mtime if that is on this date, else its midnight.
func (s stamp) instant(zone *time.Location, mtime time.Time) time.Time {
	if s.unix != 0 {
		return time.Unix(s.unix, 0)
	}
	if s.zone != "" {
		zone = s.fixed()
	}
	at := func(zone *time.Location) time.Time {
		return time.Date(s.year, time.Month(s.month), s.day, s.hour, s.minute, s.second, 0, zone)
	}
	if !s.clock {
		if y, m, d := mtime.In(zone).Date(); y == s.year && int(m) == s.month && d == s.day {
			return mtime
		}
		return at(zone)
	}
	t := at(zone)
	for _, other := range []time.Time{t.Add(-time.Hour), t.Add(time.Hour)} {
		same := other.In(zone)
		if same.Hour() == s.hour && same.Minute() == s.minute && same.Day() == s.day &&
			mtime.Sub(other).Abs() < mtime.Sub(t).Abs() {
			return other
		}
	}
	return t
}

func (s stamp) fixed() *time.Location {
	if s.zone == "Z" {
		return time.UTC
	}
	digits := s.zone[1:3] + s.zone[len(s.zone)-2:]
	n, _ := strconv.Atoi(digits)
	offset := (n/100*60 + n%100) * 60
	if s.zone[0] == '-' {
		offset = -offset
	}
	return time.FixedZone(s.zone, offset)
}
