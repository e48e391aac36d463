package page

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"offsite/agent/status"
)

// drawn reads a calendar back: which kind each day has that is drawn.
func drawn(t *testing.T, h heat) map[string]kind {
	t.Helper()
	from, err := time.Parse(time.DateOnly, h.From)
	if err != nil {
		t.Fatal(err)
	}
	monday := from.AddDate(0, 0, -(int(from.Weekday())+6)%7)
	days := map[string]kind{}
	for _, l := range h.Lines {
		for _, move := range strings.Split(l.D, "M")[1:] {
			var x, y, n int
			if _, err := fmt.Sscanf(move, "%d %dv%d", &x, &y, &n); err != nil || y+n > 7 || x >= h.Columns {
				t.Fatalf("%q: %v", move, err)
			}
			for i := range n {
				date := monday.AddDate(0, 0, x*7+y+i).Format(time.DateOnly)
				if days[date] != 0 {
					t.Errorf("%s is drawn twice", date)
				}
				days[date] = kind(l.Class[0])
			}
		}
	}
	return days
}

func TestACalendarHasEveryDayInItsPlace(t *testing.T) {
	var days []status.Day
	want := map[string]kind{}
	tiers := []string{"yearly", "monthly", "weekly", "daily", "hourly", "last", "other"}
	for i := range 366 {
		d := status.Day{Date: time.Date(2027, 11, 23+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), Dumps: 1} // has 29 February
		k := kindPast
		switch {
		case i%11 == 3:
			d.Dumps, d.Missing, k = 0, true, kindMissing
		case i%13 == 5:
			d.Suspect, d.Tier, k = 1, "daily", kindSuspect
		case i%17 == 2:
			d.Dumps, k = 0, kindNone
		case i%3 == 0:
			d.Tier = tiers[i/3%7]
			k = map[string]kind{"yearly": 'y', "monthly": 'm', "weekly": 'w', "daily": 'd', "hourly": 'h', "last": 'h', "other": 'h'}[d.Tier]
		}
		days = append(days, d)
		if k != kindNone {
			want[d.Date] = k
		}
	}
	h := newHeat(days)
	if got := drawn(t, h); !maps.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	if want["2028-02-29"] == 0 || h.Columns != 53 {
		t.Errorf("%d columns", h.Columns)
	}
	var months []string
	for _, m := range h.Months {
		months = append(months, m.Name)
	}
	if got := strings.Join(months, " "); got != "Dec Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov" {
		t.Error(got)
	}
	n := 0
	for _, s := range stretches(days) {
		n += s.Days
	}
	if n != 366 {
		t.Errorf("the table has %d days", n)
	}
}

func TestACalendarInWords(t *testing.T) {
	day := func(date string, dumps, suspect int, tier string, missing bool) status.Day {
		return status.Day{Date: date, Dumps: dumps, Suspect: suspect, Tier: tier, Missing: missing}
	}
	h := newHeat([]status.Day{day("2026-11-16", 1, 0, "weekly", false), day("2026-11-17", 1, 0, "", false), day("2026-11-18", 0, 0, "", true), day("2026-11-19", 0, 0, "", true),
		day("2026-11-20", 2, 1, "daily", false), day("2026-11-21", 1, 0, "daily", false), day("2026-11-22", 1, 0, "daily", false)})
	const want = "Calendar from 16 Nov 2026 to 22 Nov 2026. Days of which a backup is kept: 1 weekly, 2 daily. Not kept: 1. Suspect: 20 Nov 2026. Missing: 18 Nov 2026 – 19 Nov 2026."
	if h.Label != want {
		t.Errorf("%s\nwant\n%s", h.Label, want)
	}
	if h.Code != "1w1p2x1s2d" {
		t.Error(h.Code)
	}
}

// Days that are no dates, twice there, or missing do not move the others.
func FuzzCalendar(f *testing.F) {
	f.Add("2026-11-22,2026-11-23,2026-11-30,nonsense,2026-11-24,0001-01-01,9999-12-31", "daily", 1)
	f.Add("2026-11-22", "<b>", -1)
	f.Fuzz(func(t *testing.T, dates, tier string, dumps int) {
		var days []status.Day
		for i, date := range strings.Split(dates, ",") {
			if len(days) < 1000 {
				days = append(days, status.Day{Date: date, Dumps: dumps, Tier: tier, Missing: i%3 == 1, Suspect: i % 2})
			}
		}
		h := newHeat(days)
		if h.Code == "" {
			return
		}
		for d := range drawn(t, h) {
			if !slices.ContainsFunc(days, func(one status.Day) bool { return one.Date == d }) {
				t.Errorf("%s is drawn and is not there", d)
			}
		}
		for r := xml.NewDecoder(strings.NewReader(string(h.SVG()))); ; {
			if _, err := r.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%v\n%s", err, h.SVG())
			}
		}
	})
}
