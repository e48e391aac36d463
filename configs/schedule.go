package configs

import (
	"fmt"
	"time"
)

// Schedule is when something is done again: every so many days, or at a calendar event. Its zero value is never.
type Schedule struct {
	days     Days
	calendar *Calendar
	text     string
}

// UnmarshalText reads a number of days such as 30d, a calendar event such as Mon 03:00, or "never".
func (s *Schedule) UnmarshalText(b []byte) (err error) {
	s.text = string(b)
	if err := s.days.UnmarshalText(b); err == nil {
		return nil
	}
	if s.calendar, err = ParseCalendar(s.text); err != nil {
		return fmt.Errorf("should be a number of days such as 30d, a calendar event such as \"Mon 03:00\", or never: %w", err)
	}
	if _, ok := s.calendar.Next(farAway); !ok {
		return fmt.Errorf("%q does not come again and again: there is no such day, or it names years, after which it would never be due "+
			"and nobody would be told; leave the year out", s.text)
	}
	return nil
}

// farAway is an instant after which every calendar event comes again that has no last year: even February 29 on a given weekday does so
// before Calendar gives up.
var farAway = time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC)

// Never says that there is no schedule.
func (s Schedule) Never() bool { return s.days <= 0 && s.calendar == nil }

// early is how much sooner than the days say is soon enough: a daily timer does not fire to the second.
const early = 6 * time.Hour

// Next is when it is time again after it was done at the given instant, in the zone of that instant, unless the event names
// another. A schedule that has come to its end, or is never, gives an instant that is far away.
func (s Schedule) Next(done time.Time) time.Time {
	if s.days > 0 {
		return done.Add(time.Duration(s.days)*24*time.Hour - early)
	}
	if s.calendar != nil {
		if next, ok := s.calendar.Next(done); ok {
			return next
		}
	}
	return done.AddDate(1000, 0, 0)
}

// String is the schedule as it was written.
func (s Schedule) String() string { return s.text }
