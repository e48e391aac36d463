package configs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Calendar is a calendar event as systemd.time(7) writes it, such as "Mon *-*-1..7 03:00" or "monthly", in whole seconds.
// No library for it can be had; the tests compare it with systemd-analyze.
type Calendar struct {
	weekdays             [7]bool // from Sunday
	year, month, day     field
	hour, minute, second field
	fromEnd              bool           // days count from the end of the month, the last being 1
	zone                 *time.Location // nil: that of the instant that Next is given
}

// field is what one part may be: any of its spans. None: everything.
type field []span

// span is from start to stop by steps; a step of 0 is start alone.
type span struct{ start, stop, step int }

// open is the stop of a span that goes on as long as its field does.
const open = math.MaxInt

var shorthands = map[string]string{
	"minutely": "*:*", "hourly": "*:00", "daily": "*-*-*", "weekly": "Mon", "monthly": "*-*-1", "quarterly": "*-1,4,7,10-1",
	"semiannually": "*-1,7-1", "semi-annually": "*-1,7-1", "biannually": "*-1,7-1", "bi-annually": "*-1,7-1",
	"yearly": "*-1-1", "annually": "*-1-1", "anually": "*-1-1",
}

var errNotCalendar = errors.New("no calendar event of systemd.time(7), such as Mon 03:00 or *-*-01 04:30")

// ParseCalendar reads a calendar event.
func ParseCalendar(text string) (c *Calendar, err error) {
	words := strings.Fields(text)
	c = &Calendar{}
	if n := len(words); n > 1 {
		if zone, err := time.LoadLocation(words[n-1]); err == nil && words[n-1] != "Local" {
			c.zone, words = zone, words[:n-1]
		}
	}
	if len(words) == 1 {
		if long, ok := shorthands[strings.ToLower(words[0])]; ok {
			words = []string{long}
		}
	}
	if len(words) == 0 {
		return nil, errNotCalendar
	}
	midnight := field{{0, 0, 0}}
	c.hour, c.minute, c.second = midnight, midnight, midnight
	c.weekdays = [7]bool{true, true, true, true, true, true, true}
	parts := []struct {
		is   func(string) bool
		read func(string) error
	}{
		{func(s string) bool { return !strings.ContainsAny(s[:1], "0123456789*") }, c.readWeekdays},
		{func(s string) bool { return !strings.Contains(s, ":") }, c.readDate},
		{func(s string) bool { return strings.Contains(s, ":") }, c.readTime},
	}
	for _, p := range parts {
		if len(words) > 0 && p.is(words[0]) {
			if err := p.read(words[0]); err != nil {
				return nil, err
			}
			words = words[1:]
		}
	}
	if len(words) > 0 {
		return nil, errNotCalendar
	}
	return c, nil
}

func (c *Calendar) readWeekdays(text string) error {
	c.weekdays = [7]bool{}
	for _, part := range strings.Split(strings.TrimSuffix(text, ","), ",") {
		first, last, isRange := strings.Cut(part, "..")
		from, ok := weekday(first)
		to, ok2 := from, true
		if isRange {
			to, ok2 = weekday(last)
		}
		if !ok || !ok2 || from > to {
			return fmt.Errorf("%q is no weekday, or range of weekdays from Monday to Sunday", part)
		}
		for d := from; d <= to; d++ {
			c.weekdays[(d+1)%7] = true
		}
	}
	return nil
}

// weekday counts from Monday, as systemd's ranges do.
func weekday(text string) (n int, ok bool) {
	for d := range 7 {
		if name := time.Weekday((d + 1) % 7).String(); strings.EqualFold(text, name) || strings.EqualFold(text, name[:3]) {
			return d, true
		}
	}
	return 0, false
}

func (c *Calendar) readDate(text string) (err error) {
	if before, last, ok := strings.Cut(text, "~"); ok {
		c.fromEnd, text = true, before+"-"+last
	}
	parts := strings.Split(text, "-")
	switch len(parts) {
	case 2:
	case 3:
		if c.year, err = readField(parts[0], 0, 9999); err != nil {
			return err
		}
		for i := range c.year {
			c.year[i].start, c.year[i].stop = century(c.year[i].start), century(c.year[i].stop)
		}
		parts = parts[1:]
	default:
		return errNotCalendar
	}
	if c.month, err = readField(parts[0], 1, 12); err != nil {
		return err
	}
	days := 31
	if c.fromEnd {
		days = 28 // what every month has
	}
	c.day, err = readField(parts[1], 1, days)
	return err
}

// century completes a year of two digits.
func century(year int) int {
	switch {
	case year < 70:
		return year + 2000
	case year < 100:
		return year + 1900
	}
	return year
}

func (c *Calendar) readTime(text string) (err error) {
	parts := strings.Split(text, ":")
	if len(parts) > 3 {
		return errNotCalendar
	}
	for i, f := range []*field{&c.hour, &c.minute, &c.second}[:len(parts)] {
		if *f, err = readField(parts[i], 0, []int{23, 59, 59}[i]); err != nil {
			return err
		}
	}
	return nil
}

func readField(text string, least, most int) (f field, err error) {
	if text == "*" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		value, step, stepped := strings.Cut(part, "/")
		first, last, isRange := strings.Cut(value, "..")
		s := span{}
		if s.start, err = number(first, least, most); err == nil && isRange {
			s.stop, err = number(last, s.start, most)
			s.step = 1
		} else if err == nil {
			s.stop = s.start
		}
		if err == nil && stepped {
			if s.step, err = number(step, 1, most); !isRange {
				s.stop = open
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		if isRange {
			s.stop -= (s.stop - s.start) % s.step // where the steps end: with ~ that is where they begin
		}
		f = append(f, s)
	}
	return f, nil
}

func number(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strings.ContainsAny(text, "+-") {
		return 0, errNotCalendar
	}
	if n < least || n > most {
		return 0, fmt.Errorf("%d is not from %d to %d", n, least, most)
	}
	return n, nil
}

func (f field) fits(n int) bool {
	return f == nil || slices.ContainsFunc(f, func(s span) bool {
		return n == s.start || s.step > 0 && n > s.start && n <= s.stop && (n-s.start)%s.step == 0
	})
}

// onDay says whether a day of a month with so many is meant.
func (c *Calendar) onDay(day, days int) bool {
	if !c.fromEnd {
		return c.day.fits(day)
	}
	counted := slices.Clone(c.day)
	for i, s := range counted {
		first, last := days+1-s.start, open
		if s.stop != open {
			last = days + 1 - s.stop
		}
		counted[i] = span{min(first, last), max(first, last), s.step}
	}
	return counted.fits(day)
}

// lastYear is where systemd, too, gives up.
const lastYear = 2199

// Next is the first instant after the given one; ok is false when there is none before the year 2200.
func (c *Calendar) Next(after time.Time) (next time.Time, ok bool) {
	if c.zone != nil {
		after = after.In(c.zone)
	}
	zone := after.Location()
	for day := midday(after.Year(), after.Month(), after.Day(), zone); day.Year() <= lastYear; {
		y, m, d := day.Date()
		switch {
		case !c.year.fits(y):
			day = midday(y+1, 1, 1, zone)
			continue
		case !c.month.fits(int(m)):
			day = midday(y, m+1, 1, zone)
			continue
		case c.weekdays[day.Weekday()] && c.onDay(d, midday(y, m+1, 0, zone).Day()):
			if next, ok := c.within(day, after); ok {
				return next, true
			}
		}
		day = midday(y, m, d+1, zone)
	}
	return time.Time{}, false
}

// midday stands for a day: every zone has it.
func midday(y int, m time.Month, d int, zone *time.Location) time.Time {
	return time.Date(y, m, d, 12, 0, 0, 0, zone)
}

// within is the first instant of a day that comes after the given one. A time that the day lacks, in spring, is left out.
func (c *Calendar) within(day, after time.Time) (next time.Time, ok bool) {
	y, m, d := day.Date()
	for hour := range 24 {
		last := time.Date(y, m, d, hour, 59, 59, 0, day.Location())
		if !c.hour.fits(hour) || !last.After(after) {
			continue
		}
		for minute := range 60 {
			for second := range 60 {
				if !c.minute.fits(minute) || !c.second.fits(second) {
					continue
				}
				t := time.Date(y, m, d, hour, minute, second, 0, day.Location())
				if t.After(after) && t.Hour() == hour {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}
