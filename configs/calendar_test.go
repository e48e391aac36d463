package configs

import (
	"testing"
	"time"
)

// What the calendar events mean was asked of systemd 252: systemd-analyze calendar --iterations=3 --base-time='2026-01-31 00:00:00 UTC'.
func TestCalendarEventsAreThoseOfSystemd(t *testing.T) {
	base := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for event, next := range map[string][]string{
		"Mon":                        {"2026-02-02T00:00:00Z", "2026-02-09T00:00:00Z"},
		"Mon,Tue 5:00 Europe/Berlin": {"2026-02-02T04:00:00Z", "2026-02-03T04:00:00Z", "2026-02-09T04:00:00Z"},
		"Mon..Fri 10:00":             {"2026-02-02T10:00:00Z", "2026-02-03T10:00:00Z"},
		"daily":                      {"2026-02-01T00:00:00Z"},
		"weekly UTC":                 {"2026-02-02T00:00:00Z"},
		"monthly":                    {"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		"quarterly":                  {"2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z"},
		"yearly":                     {"2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"},
		"10-15":                      {"2026-10-15T00:00:00Z"},
		"*-*-31":                     {"2026-03-31T00:00:00Z"},
		"*-*~7":                      {"2026-02-22T00:00:00Z", "2026-03-25T00:00:00Z", "2026-04-24T00:00:00Z"},
		"*-*~3,1":                    {"2026-02-26T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-29T00:00:00Z"},
		"*-*~5/2":                    {"2026-02-24T00:00:00Z", "2026-02-26T00:00:00Z", "2026-02-28T00:00:00Z"},
		"*-*~16,24..26/3":            {"2026-02-05T00:00:00Z", "2026-02-13T00:00:00Z", "2026-03-08T00:00:00Z"},
		"Mon *-*~07/1":               {"2026-02-23T00:00:00Z"},
		"Mon *-2~1..3":               {"2028-02-28T00:00:00Z", "2029-02-26T00:00:00Z", "2033-02-28T00:00:00Z"},
		"*-*-1..7/2":                 {"2026-02-01T00:00:00Z", "2026-02-03T00:00:00Z", "2026-02-05T00:00:00Z"},
		"1/2-*-*":                    {"2027-01-01T00:00:00Z"},
		"*:2/3":                      {"2026-01-31T00:02:00Z", "2026-01-31T00:05:00Z"},
		"2:30..45/5":                 {"2026-01-31T02:30:00Z", "2026-01-31T02:35:00Z", "2026-01-31T02:40:00Z"},
		"5,7:30":                     {"2026-01-31T05:30:00Z", "2026-01-31T07:30:00Z", "2026-02-01T05:30:00Z"},
		"*:*:*":                      {"2026-01-31T00:00:01Z", "2026-01-31T00:00:02Z"},
		"*-3-29 2:30 Europe/Berlin":  {"2027-03-29T00:30:00Z"}, // 2:30 is not on the clock in 2026
		"2003-03-05 05:40":           {"never"},
		"*-2-30":                     {"never"},
	} {
		c, err := ParseCalendar(event)
		if err != nil {
			t.Errorf("%q: %v", event, err)
			continue
		}
		at := base
		for _, want := range next {
			got := "never"
			n, ok := c.Next(at)
			if ok {
				got = n.UTC().Format(time.RFC3339)
			}
			if got != want {
				t.Errorf("%q after %v: %s, want %s", event, at, got, want)
				break
			}
			at = n
		}
	}
	for _, event := range []string{"", "10", "*", "0/5", "*-13-1", "25:00", "10:60", "Fri..Mon 10:00", "~3", "*-~3", "*-*-1,", "*-*-5..", "*-*~31", "*-*~7..1",
		"2026-12~1 10", "Wed 1:2:3:4", "Mon Tue", "every day", "+5:00", "1-2-3-4", "5:00 Nowhere/City", "Mon,,Tue", "*-*-1/0"} {
		if c, err := ParseCalendar(event); err == nil {
			t.Errorf("%q is taken: %+v", event, c)
		}
	}
}

func FuzzParseCalendar(f *testing.F) {
	f.Add("Mon..Fri *-*~1..7/2 10:00/5 Europe/Berlin")
	f.Add("2026/2-1,2..9/3-* *:*:*")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCalendar(text)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 23, 59, 59, 0, time.UTC)
		if next, ok := c.Next(at); ok && !next.After(at) {
			t.Errorf("%q: %v is not after %v", text, next, at)
		}
	})
}
