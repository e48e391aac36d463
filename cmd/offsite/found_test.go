package main

import (
	"testing"
	"time"

	"offsite/agent/retention"
)

const day = 24 * time.Hour

// every makes a series with a dump each gap, the last of them now.
func every(now time.Time, gap time.Duration, sizes ...int64) (s foundSeries) {
	for i, size := range sizes {
		s.dumps = append(s.dumps, foundDump{now.Add(-gap * time.Duration(len(sizes)-1-i)), size})
	}
	return s
}

func TestRhythm(t *testing.T) {
	for gap, want := range map[time.Duration]string{
		0: "not known yet", time.Minute: "every 1 minutes", 15 * time.Minute: "every 15 minutes", time.Hour + time.Minute: "every hour", 6 * time.Hour: "every 6 hours",
		day - time.Hour: "every day", 3 * day: "every 3 days", 7 * day: "every week", 31 * day: "every month",
	} {
		if got := rhythm(gap); got != want {
			t.Errorf("%v: %q, want %q", gap, got, want)
		}
	}
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	s := every(now, day, 1, 2, 3, 4, 5)
	s.dumps = append(s.dumps[:2], s.dumps[3:]...) // a night was missed
	if s.gap() != day {
		t.Errorf("one night missed: %v", s.gap())
	}
	if g := every(now, day, 9).gap(); g != 0 {
		t.Errorf("one dump: %v", g)
	}
}

func TestGrowth(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	sizes := make([]int64, 366)
	for i := range sizes {
		sizes[i] = 1000 + int64(i)*1000/365 // twice as large after a year
	}
	if g := every(now, day, sizes...).growth(); g < 1.6 || g > 2.2 {
		t.Errorf("%v, want about 2", g)
	}
	if g := every(now, day, sizes[:10]...).growth(); g != 1 {
		t.Errorf("ten days say nothing: %v", g)
	}
	for i := range sizes {
		sizes[i] = 5000 - int64(i)
	}
	if g := every(now, day, sizes...).growth(); g != 1 {
		t.Errorf("what shrinks is not believed: %v", g)
	}
}

// The estimate is what retention really keeps: 7 days, 4 weeks, 12 months, with those that are several at once, and this year and the next.
func TestInAYear(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	policy := retention.Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: retention.Forever, MinKeep: 3}
	n, bytes := inAYear(every(now.Add(-2*time.Hour), day, 100, 100, 100), policy, now)
	if n < 20 || n > 24 || bytes != int64(100*n) {
		t.Errorf("%d backups, %d bytes", n, bytes)
	}
	if n, _ := inAYear(every(now, day, 1, 1), retention.Policy{Daily: 30, MinKeep: 3}, now); n != 30 {
		t.Errorf("30 days: %d", n)
	}
	if n, _ := inAYear(every(now, 7*day, 1, 1), retention.Policy{}, now); n != 54 {
		t.Errorf("a policy without rules keeps all, two and 52: %d", n)
	}
	if _, bytes := inAYear(every(now, 7*day, 100), retention.Policy{Last: 1}, now); bytes != 100 {
		t.Errorf("the rhythm is not known: %d", bytes)
	}
}
