package rhythm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func prague(t *testing.T) *time.Location {
	zone, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// schedules are jobs as people have them: whether one runs at this hour of this day.
var schedules = []struct {
	name string
	runs func(t time.Time) bool // t is a full hour
	// slowest is how long after a dead cron it must be told at most, whenever it dies.
	slowest time.Duration
}{
	{"hourly", func(t time.Time) bool { return true }, 3 * time.Hour},
	{"every six hours", func(t time.Time) bool { return t.Hour()%6 == 0 }, 8 * time.Hour},
	{"daily at three", func(t time.Time) bool { return t.Hour() == 3 }, 28 * time.Hour},
	{"twice a day", func(t time.Time) bool { return t.Hour() == 3 || t.Hour() == 14 }, 17 * time.Hour},
	{"weekdays", func(t time.Time) bool { return t.Hour() == 22 && weekday(t) }, 3*day + 10*time.Hour},
	{"office hours of weekdays", func(t time.Time) bool { return t.Hour() >= 8 && t.Hour() <= 18 && weekday(t) }, 2*day + 22*time.Hour},
	{"Monday, Wednesday, Friday", func(t time.Time) bool {
		return t.Hour() == 3 && slices.Contains([]time.Weekday{time.Monday, time.Wednesday, time.Friday}, t.Weekday())
	}, 3*day + 10*time.Hour},
	{"weekly", func(t time.Time) bool { return t.Hour() == 4 && t.Weekday() == time.Sunday }, 8 * day},
	{"every second week", func(t time.Time) bool {
		return t.Hour() == 4 && t.Weekday() == time.Sunday && t.Unix()/(7*86400)%2 == 0
	}, 24 * day},
	{"monthly, on the first", func(t time.Time) bool { return t.Hour() == 4 && t.Day() == 1 }, 35 * day},
	{"the last day of the month", func(t time.Time) bool { return t.Hour() == 4 && t.AddDate(0, 0, 1).Day() == 1 }, 35 * day},
	{"the first Sunday of the month", func(t time.Time) bool { return t.Hour() == 4 && t.Weekday() == time.Sunday && t.Day() <= 7 }, 40 * day},
	{"the first and the fifteenth", func(t time.Time) bool { return t.Hour() == 4 && (t.Day() == 1 || t.Day() == 15) }, 20 * day},
}

func weekday(t time.Time) bool { return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday }

// times are when a schedule's dumps come from one instant to another, each some minutes late.
func times(runs func(time.Time) bool, from, until time.Time, late *rand.Rand) (all []time.Time) {
	for t := from.Truncate(time.Hour); t.Before(until); t = t.Add(time.Hour) {
		if runs(t) {
			all = append(all, t.Add(time.Duration(late.Int64N(int64(12*time.Minute)))))
		}
	}
	return all
}

// stride is such that about a thousand are looked at, at all hours of all days.
func stride(n int) int {
	if n < 1500 {
		return 1
	}
	return n/1000 | 1
}

// Over a simulated year no schedule that keeps to itself is called overdue, wherever in the week or year the series begins.
func TestNoneCriesWolf(t *testing.T) {
	zone := prague(t)
	for _, s := range schedules {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for start := range 7 {
				late := rand.New(rand.NewPCG(uint64(start), 0))
				from := time.Date(2026, 1, 1+start, 0, 0, 0, 0, zone)
				all := times(s.runs, from, from.AddDate(1, 6, 0), late)
				for n := range all {
					if n < Fewest || n > 300 && n%stride(len(all)) != 0 {
						continue
					}
					if r := Learn(all[max(0, n-Most):n], zone); r.Overdue(all[n]) {
						t.Errorf("begun %s: the dump of %s is called late: it was due at %s, slack %s", from.Format("Mon 2006-01-02"), all[n], r.Due.In(zone), r.Slack)
					}
				}
			}
		})
	}
}

// Whenever cron dies, after two weeks or two months of the usual, it is told in time.
func TestADeadCronIsToldInTime(t *testing.T) {
	zone := prague(t)
	for _, s := range schedules {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			late := rand.New(rand.NewPCG(1, 0))
			from := time.Date(2026, 2, 1, 0, 0, 0, 0, zone)
			all := times(s.runs, from, from.AddDate(1, 0, 0), late)
			for n := range all {
				lived := n >= 2 && all[n-1].Sub(all[0]) >= 15*day
				if n <= Fewest || !lived || n%stride(len(all)) != 0 {
					continue
				}
				r := Learn(all[max(0, n-Most):n], zone)
				if told := r.Due.Add(r.Slack); !r.Known() || told.Sub(all[n-1]) > s.slowest {
					t.Fatalf("dead after %s: told after %s, and should be after %s", all[n-1], told.Sub(all[n-1]), s.slowest)
				}
			}
		})
	}
}

func TestTheFirstFive(t *testing.T) {
	zone := prague(t)
	monday := time.Date(2026, 3, 2, 3, 0, 0, 0, zone)
	var all []time.Time
	for i := range 5 {
		if r := Learn(all, zone); r.Known() {
			t.Fatalf("%d dumps, and a rhythm: %+v", len(all), r)
		}
		all = append(all, monday.AddDate(0, 0, i))
	}
	r := Learn(all, zone)
	if want := monday.AddDate(0, 0, 7); !r.Due.Equal(want) {
		t.Errorf("after Monday to Friday the next is due %s, want %s: nobody knows of weekends yet", r.Due.In(zone), want)
	}
	if r = Learn(append(all, monday.AddDate(0, 0, 5), monday.AddDate(0, 0, 6)), zone); !r.Due.Equal(monday.AddDate(0, 0, 7)) {
		t.Errorf("after a whole week: due %s", r.Due.In(zone))
	}
}

// The first hours of an hourly series: the hours that nobody has seen yet are not missed, and the next morning they are.
func TestTheFirstDay(t *testing.T) {
	wednesday := time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC)
	var all []time.Time
	for i := range 7 {
		all = append(all, wednesday.Add(time.Duration(i)*time.Hour))
	}
	if r := Learn(all, time.UTC); !r.Due.Equal(wednesday.AddDate(0, 0, 1)) {
		t.Errorf("due %s", r.Due)
	}
}

// An outage that is over does not make the next one be told later.
func TestAnOutageIsNoRhythm(t *testing.T) {
	zone := prague(t)
	for _, outage := range []int{3, 10, 40} {
		var all []time.Time
		at := time.Date(2026, 3, 2, 3, 0, 0, 0, zone)
		for i := range 60 {
			if i == 30 {
				at = at.AddDate(0, 0, outage)
			}
			all = append(all, at)
			if i > 34 {
				if r := Learn(all, zone); r.Gap > 25*time.Hour {
					t.Errorf("%d dumps after an outage of %d days the next is expected after %s", i-29, outage, r.Gap)
				}
			}
			at = at.AddDate(0, 0, 1)
		}
	}
}

// Copies of one dump, or dumps of several formats a few seconds apart, are one beat.
func TestDumpsOfOneMinuteAreOneBeat(t *testing.T) {
	at := time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
	var all []time.Time
	for i := range 10 {
		all = append(all, at.AddDate(0, 0, i), at.AddDate(0, 0, i).Add(20*time.Second))
	}
	if r := Learn(all, time.UTC); r.Gap != 24*time.Hour {
		t.Errorf("%+v", r)
	}
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []time.Time
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for range rapid.IntRange(0, 40).Draw(t, "dumps") {
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(60*day)).Draw(t, "gap")))
			all = append(all, at)
		}
		r := Learn(all, time.UTC)
		if r.Known() && (r.Gap <= 0 || r.Slack < slackest || r.Overdue(at) || !r.Due.After(at)) {
			t.Fatalf("%+v after %s", r, at)
		}
		shuffled := slices.Clone(all)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := Learn(shuffled, time.UTC); again != r {
			t.Fatalf("the order matters: %+v, %+v", r, again)
		}
	})
}

func ExampleLearn() {
	var taken []time.Time
	friday := time.Date(2026, 3, 20, 3, 0, 0, 0, time.UTC)
	for d := range 19 { // weekdays only
		if t := friday.AddDate(0, 0, -d); weekday(t) {
			taken = append(taken, t)
		}
	}
	r := Learn(taken, time.UTC)
	fmt.Println(r.Due.Format("Mon 15:04"), r.Slack)
	// Output: Mon 03:00 7h12m0s
}
