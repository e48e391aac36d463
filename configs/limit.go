package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Limit is how fast dumps may go to a target: one rate, or rates by the hours of the day and, with "else", one for the
// others.
type Limit struct {
	// Rate in bytes a second, outside of Hours; 0: no limit.
	Rate  Size
	Hours []LimitHours
}

// LimitHours are a part of each day, in minutes since midnight; To before From is past midnight.
type LimitHours struct {
	From, To int
	// Rate in bytes a second; 0: no limit.
	Rate Size
}

// leastRate is what the slowest limit must leave: below it servers take the connection for dead.
const leastRate = 16e3

var hours = regexp.MustCompile(`^([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9])$`)

// limit decodes a rate, or rates by hours.
func (d *decoder) limit(n ast.Node, l *Limit, key string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		l.Rate = d.rate(n, key)
		return
	}
	for _, kv := range m.Values {
		name := kv.Key.GetToken().Value
		at := join(key, name)
		d.lines[at] = line(kv.Key)
		if name == "else" {
			l.Rate = d.rate(kv.Value, at)
			continue
		}
		h, err := parseHours(name)
		if err != nil {
			d.note(line(kv.Key), at, err.Error())
			continue
		}
		for _, other := range l.Hours {
			if h.overlaps(other) {
				d.note(line(kv.Key), at, "overlaps with other hours; each minute has one rate")
			}
		}
		h.Rate = d.rate(kv.Value, at)
		l.Hours = append(l.Hours, h)
	}
}

// rate reads a number of bytes a second, or "unlimited", which is 0.
func (d *decoder) rate(n ast.Node, key string) (rate Size) {
	text, ok := d.scalar(n, key)
	if !ok || text == "unlimited" {
		return 0
	}
	number, perSecond := strings.CutSuffix(text, "/s")
	if err := rate.UnmarshalText([]byte(number)); err != nil || !perSecond {
		d.note(line(n), key, fmt.Sprintf("%q should be a rate in bytes a second, such as 20MB/s, or unlimited", text))
	} else if rate < leastRate {
		d.note(line(n), key, fmt.Sprintf("%q is so little that servers take the connection for dead; write 16KB/s or more, or unlimited", text))
	}
	return rate
}

func parseHours(s string) (LimitHours, error) {
	m := hours.FindStringSubmatch(s)
	if m == nil {
		return LimitHours{}, fmt.Errorf("%q should be hours of the day such as 08:00-18:00, or else", s)
	}
	var n [4]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // the pattern has digits here
	}
	h := LimitHours{From: n[0]*60 + n[1], To: n[2]*60 + n[3]}
	if h.To > 24*60 || h.From == h.To {
		return LimitHours{}, fmt.Errorf("%q is no part of a day; write hours such as 08:00-18:00, or else", s)
	}
	return h, nil
}

func (h LimitHours) overlaps(other LimitHours) bool {
	for minute := range 24 * 60 {
		if h.has(minute) && other.has(minute) {
			return true
		}
	}
	return false
}

func (h LimitHours) has(minute int) bool {
	if h.From < h.To {
		return h.From <= minute && minute < h.To
	}
	return minute >= h.From || minute < h.To
}
