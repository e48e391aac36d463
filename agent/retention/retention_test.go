package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	panic(s)
}

func backup(s string) Backup { return Backup{Object: s, Taken: at(s), Stored: 1} }

// daily is one backup each day at three, from first to last.
func daily(first, last string) (all []Backup) {
	for t := at(first).Add(3 * time.Hour); t.Before(at(last).AddDate(0, 0, 1)); t = t.AddDate(0, 0, 1) {
		all = append(all, backup(t.Format("2006-01-02 15:04")))
	}
	return all
}

func objects(all []Decision) (names []string) {
	for _, d := range all {
		names = append(names, d.Object)
	}
	return names
}

func TestRules(t *testing.T) {
	standard := Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: Forever}
	irregular := []Backup{backup("2026-01-01 03:00"), backup("2026-01-01 15:00"), backup("2026-01-05 03:00"), backup("2026-02-28 23:59"), backup("2026-03-01 00:00")}
	for _, c := range []struct {
		name    string
		policy  Policy
		backups []Backup
		want    string // of each that stays, day and reasons
	}{
		{"nothing there", standard, nil, ""},
		{"one", standard, []Backup{backup("2026-01-01")}, "2026-01-01 newest daily 2026-01-01 weekly 2026-W01 monthly 2026-01 yearly 2026"},
		{"last", Policy{Last: 2}, irregular, "2026-03-01 00:00 newest last; 2026-02-28 23:59 last"},
		{"daily keeps the newest of a day, and does not count days without one", Policy{Daily: 4}, irregular,
			"2026-03-01 00:00 newest daily 2026-03-01; 2026-02-28 23:59 daily 2026-02-28; 2026-01-05 03:00 daily 2026-01-05; 2026-01-01 15:00 daily 2026-01-01"},
		{"the oldest stays while there is room", Policy{Daily: 5}, irregular,
			"2026-03-01 00:00 newest daily 2026-03-01; 2026-02-28 23:59 daily 2026-02-28; 2026-01-05 03:00 daily 2026-01-05; 2026-01-01 15:00 daily 2026-01-01; 2026-01-01 03:00 oldest daily 2026-01-01"},
		{"weeks are those of ISO 8601: the last days of 2026 and the first of 2027 are one", Policy{Weekly: 2}, daily("2026-12-25", "2027-01-04"),
			"2027-01-04 03:00 newest weekly 2027-W01; 2027-01-03 03:00 weekly 2026-W53"},
		{"a leap day is a day", Policy{Daily: 2}, daily("2028-02-27", "2028-03-01"), "2028-03-01 03:00 newest daily 2028-03-01; 2028-02-29 03:00 daily 2028-02-29"},
		{"within counts from the newest backup, not from now", Policy{Within: Duration{Days: 2}}, daily("2026-01-01", "2026-01-10"),
			"2026-01-10 03:00 within 2d newest; 2026-01-09 03:00 within 2d"},
		{"min_keep", Policy{Daily: 1, MinKeep: 3}, daily("2026-01-01", "2026-01-10"),
			"2026-01-10 03:00 newest daily 2026-01-10; 2026-01-09 03:00 min_keep; 2026-01-08 03:00 min_keep"},
		{"hourly", Policy{Hourly: 2}, []Backup{backup("2026-01-01 03:10"), backup("2026-01-01 03:50"), backup("2026-01-01 04:00")},
			"2026-01-01 04:00 newest hourly 2026-01-01 04h; 2026-01-01 03:50 hourly 2026-01-01 03h"},
	} {
		var got []string
		for _, d := range Make(at("2030-01-01"), c.policy, c.backups).Keep {
			got = append(got, d.Object+" "+strings.Join(d.Reasons, " "))
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "; "), c.want)
		}
	}
}

// A dump that was written over claims the same time as before: the later version is the newer one.
func TestOfTwoWithTheSameTimeTheOneFoundLaterStays(t *testing.T) {
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		first, second := backup("2026-01-10 03:00"), backup("2026-01-10 03:00")
		first.Object, first.Found = names[0], at("2026-01-10 03:01")
		second.Object, second.Found = names[1], at("2026-01-10 03:20")
		plan := Make(at("2026-01-10 04:00"), Policy{Daily: 7}, []Backup{first, backup("2026-01-09"), second})
		if got := objects(plan.Remove); len(got) != 1 || got[0] != names[0] {
			t.Errorf("%q goes, want %q, which was found first", got, names[0])
		}
	}
}

// Midnight is that of the zone, on the days when clocks change too.
func TestDaysBeginInTheirZone(t *testing.T) {
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b string // UTC
		same bool
	}{
		{"2026-07-01 21:59", "2026-07-01 22:01", false}, // midnight in summer
		{"2026-01-01 22:30", "2026-01-01 22:59", true},
		{"2026-01-01 22:59", "2026-01-01 23:00", false}, // midnight in winter
		{"2026-03-28 23:00", "2026-03-29 21:59", true},  // a day of 23 hours
		{"2026-10-24 22:00", "2026-10-25 22:59", true},  // a day of 25 hours
		{"2026-10-24 22:00", "2026-10-25 23:00", false},
	} {
		plan := Make(at("2030-01-01"), Policy{Daily: 9, Zone: prague}, []Backup{backup("2020-01-01"), backup(c.a), backup(c.b)})
		if got := len(plan.Keep) == 2; got != c.same {
			t.Errorf("%s and %s are of one day: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

func suspect(b Backup) Backup { b.Suspect = "cut short"; return b }
func unsound(b Backup) Backup { b.Unsound = "signed by a stranger"; return b }

func each(all []Backup, change func(Backup) Backup) (changed []Backup) {
	for _, b := range all {
		changed = append(changed, change(b))
	}
	return changed
}

func TestRefusals(t *testing.T) {
	good := daily("2026-01-01", "2026-01-10")
	for _, c := range []struct {
		name    string
		now     string
		policy  Policy
		backups []Backup
		removed int
		held    string
	}{
		{"a policy without rules", "2026-02-01", Policy{MinKeep: 1}, good, 0, ""},
		{"cron is dead: the calendar alone removes nothing", "2027-02-01", Policy{Daily: 10}, good, 0, ""},
		{"suspect ones after good ones take no place", "2026-02-09 04:00", Policy{Daily: 7}, append(each(daily("2026-01-11", "2026-02-09"), suspect), good...), 3, "is suspect: cut short"},
		{"suspect ones go when they are old and a healthy one is newer", "2026-03-01", Policy{Daily: 20}, append(each(daily("2025-12-01", "2025-12-31"), suspect), good...), 31, "it would remove 31 of 41"},
		{"suspect ones stay for 30 days", "2026-01-20", Policy{Daily: 20}, append(each(daily("2025-12-26", "2025-12-31"), suspect), good...), 0, ""},
		{"suspect ones stay while none is better", "2027-01-01", Policy{Daily: 1}, each(good, suspect), 0, ""},
		{"unsigned ones never go and take no place", "2026-02-01", Policy{Daily: 10}, append(each(daily("2025-01-01", "2025-12-31"), unsound), good...), 0, ""},
		{"a name that says 2038", "2026-01-11", Policy{Daily: 7}, append(slices.Clone(good), backup("2038-01-01")), 3, "the clock says"},
		{"the clock was set back", "2025-06-01", Policy{Daily: 7}, good, 0, ""},
		{"edited to daily: 1", "2026-01-11", Policy{Daily: 1, MinKeep: 1}, good, 9, "it would remove 9 of 10 backups at once"},
		{"five are not many", "2026-01-11", Policy{Daily: 5}, good, 5, ""},
		{"six of ten are", "2026-01-11", Policy{Daily: 4}, good, 6, "at once"},
		{"six of twelve are not more than half", "2026-01-13", Policy{Daily: 6}, daily("2026-01-01", "2026-01-12"), 6, ""},
	} {
		plan := Make(at(c.now), c.policy, c.backups)
		if len(plan.Remove) != c.removed || !strings.Contains(plan.Held, c.held) || c.held == "" && plan.Held != "" {
			t.Errorf("%s: removes %d, held %q; want %d, %q", c.name, len(plan.Remove), plan.Held, c.removed, c.held)
		}
		for _, d := range plan.Remove {
			if d.Unsound != "" {
				t.Errorf("%s: removes what it may not: %+v", c.name, d)
			}
		}
	}
}

// Six years of daily dumps, pruned each day, hold exactly the tiers.
func TestSixYears(t *testing.T) {
	policy := Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: Forever, MinKeep: 3}
	var there []Backup
	removed := 0
	for _, b := range daily("2026-01-01", "2031-12-31") {
		there = append(there, b)
		plan := Make(b.Taken, policy, there)
		if plan.Held != "" || len(plan.Remove) > 3 {
			t.Fatalf("on %s: held %q, removes %q", b.Object, plan.Held, objects(plan.Remove))
		}
		removed += len(plan.Remove)
		there = there[:0]
		for _, d := range plan.Keep {
			there = append(there, d.Backup)
		}
	}
	var got []string
	for _, d := range Make(at("2031-12-31 04:00"), policy, there).Keep {
		got = append(got, d.Object[:10])
	}
	want := []string{
		"2031-12-31", "2031-12-30", "2031-12-29", "2031-12-28", "2031-12-27", "2031-12-26", "2031-12-25", // days
		"2031-12-21", "2031-12-14", // weeks that end before them: Sundays
		"2031-11-30", "2031-10-31", "2031-09-30", "2031-08-31", "2031-07-31", "2031-06-30", "2031-05-31", "2031-04-30", "2031-03-31", "2031-02-28", "2031-01-31",
		"2030-12-31", "2029-12-31", "2028-12-31", "2027-12-31", "2026-12-31",
		"2026-01-01", // the oldest: yearly is never used up
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if removed+len(got) != len(daily("2026-01-01", "2031-12-31")) {
		t.Errorf("%d removed", removed)
	}
}

// history is an irregular series of backups, some of them suspect or of unknown origin.
func history(t *rapid.T) []Backup {
	n := rapid.IntRange(0, 60).Draw(t, "backups")
	var all []Backup
	hours := 0
	for i := range n {
		hours += rapid.SampledFrom([]int{1, 3, 12, 24, 24, 24, 24, 48, 24 * 9, 24 * 40}).Draw(t, "gap")
		b := Backup{Object: fmt.Sprintf("o%03d", i), Taken: at("2024-12-20").Add(time.Duration(hours) * time.Hour), Stored: int64(i)}
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			b.Suspect = "short"
		case 1:
			b.Unsound = "unsigned"
		}
		all = append(all, b)
	}
	return all
}

func somePolicy(t *rapid.T) Policy {
	number := func(name string, most int) int {
		return rapid.SampledFrom([]int{0, 0, 1, 2, 7, most, Forever}).Draw(t, name)
	}
	return Policy{
		Last: number("last", 10), Hourly: number("hourly", 24), Daily: number("daily", 14), Weekly: number("weekly", 8), Monthly: number("monthly", 12),
		Yearly: number("yearly", 5), MinKeep: rapid.IntRange(0, 5).Draw(t, "min_keep"), Within: Duration{Days: rapid.SampledFrom([]int{0, 0, 10}).Draw(t, "within")},
	}
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, policy := history(t), somePolicy(t)
		now := at("2030-01-01")
		if len(all) > 0 && rapid.Bool().Draw(t, "now is soon after") {
			now = all[len(all)-1].Taken.Add(time.Hour)
		}
		plan := Make(now, policy, all)

		if len(plan.Keep)+len(plan.Remove) != len(all) {
			t.Fatalf("%d kept and %d removed of %d", len(plan.Keep), len(plan.Remove), len(all))
		}
		shuffled := slices.Clone(all)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := Make(now, policy, shuffled); fmt.Sprint(again) != fmt.Sprint(plan) {
			t.Fatalf("the order matters:\n%v\n%v", plan, again)
		}
		var kept []Backup
		for _, d := range plan.Keep {
			if len(d.Reasons) == 0 {
				t.Fatalf("%s stays without a reason", d.Object)
			}
			kept = append(kept, d.Backup)
		}
		if again := Make(now, policy, kept); len(again.Remove) != 0 {
			t.Fatalf("a second run removes %q", objects(again.Remove))
		}
		newest := map[string]bool{}
		for i := len(all) - 1; i >= 0 && len(newest) < max(1, policy.MinKeep); i-- {
			if all[i].Suspect == "" && all[i].Unsound == "" {
				newest[all[i].Object] = true
			}
		}
		for _, d := range plan.Remove {
			if newest[d.Object] || d.Unsound != "" || policy.Empty() || len(d.Reasons) != 1 {
				t.Fatalf("removes %+v", d)
			}
		}
		numbers := map[string]int{"last": policy.Last, "hourly": policy.Hourly, "daily": policy.Daily, "weekly": policy.Weekly, "monthly": policy.Monthly, "yearly": policy.Yearly}
		for name, number := range numbers {
			used := 0
			for _, d := range plan.Keep {
				for _, r := range d.Reasons {
					if word, _, _ := strings.Cut(strings.TrimPrefix(r, "oldest "), " "); word == name {
						used++
					}
				}
			}
			if number != Forever && used > number {
				t.Fatalf("%s keeps %d, and may %d", name, used, number)
			}
		}
	})
}

// A second object of a dump takes no place of its own and pushes nothing out: the plan for all others is the same without it, and it
// shares the first one's fate.
func TestTwinsAreOneBackup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, policy := history(t), somePolicy(t)
		now := at("2030-01-01")
		with := slices.Clone(all)
		twinOf := map[string]string{}
		for i := range all {
			if all[i].Dump = "dump of " + all[i].Object; rapid.IntRange(0, 3).Draw(t, "twins") == 0 && all[i].Suspect == "" && all[i].Unsound == "" {
				twin := all[i]
				twin.Object = rapid.SampledFrom([]string{"a", "z"}).Draw(t, "before or after") + twin.Object
				twinOf[twin.Object] = all[i].Object
				with = append(with, twin)
			}
			with[i] = all[i]
		}
		kept := func(backups []Backup) map[string]bool {
			kept := map[string]bool{}
			for _, d := range Make(now, policy, backups).Keep {
				kept[d.Object] = true
			}
			return kept
		}
		want, got := kept(all), kept(with)
		for _, b := range all {
			if want[b.Object] != got[b.Object] {
				t.Fatalf("%s: kept %v without twins, %v with them", b.Object, want[b.Object], got[b.Object])
			}
		}
		for twin, first := range twinOf {
			if got[twin] != got[first] {
				t.Fatalf("%s: kept %v, its twin %v", first, got[first], got[twin])
			}
		}
		leases := Leases(now, policy, with)
		for twin, first := range twinOf {
			if leases[twin] != leases[first] {
				t.Fatalf("%s is leased until %v, its twin until %v", first, leases[first], leases[twin])
			}
		}
	})
}

// What a target has in another object it does not lack, and of two objects of one dump elsewhere it lacks one.
func TestLacking(t *testing.T) {
	now := at("2026-03-10")
	of := func(dump string, b Backup) Backup { b.Dump, b.Found = dump, b.Taken; return b }
	for _, c := range []struct {
		name            string
		own, elsewhere  []Backup
		lacking, coming string
	}{
		{"nothing there", nil, []Backup{of("a", backup("2026-03-01"))}, "2026-03-01", ""},
		{"the same dump in another object", []Backup{of("a", backup("2026-03-01 00:00"))}, []Backup{of("a", backup("2026-03-01"))}, "", ""},
		{"only an unsound one of it", []Backup{unsound(of("a", backup("2026-03-01 00:00")))}, []Backup{of("a", backup("2026-03-01"))}, "2026-03-01", ""},
		{"two objects of one dump", nil, []Backup{of("a", backup("2026-03-01")), of("a", backup("2026-03-01 00:00"))}, "2026-03-01", ""},
		{"dumps that nobody can tell apart", nil, []Backup{backup("2026-03-01"), backup("2026-03-02")}, "2026-03-02 2026-03-01", ""},
		{"on its way", nil, []Backup{of("a", backup("2026-03-09 23:00"))}, "", "2026-03-09 23:00"},
		{"what came before what it has is not on its way", []Backup{of("b", backup("2026-03-09 23:30"))}, []Backup{of("a", backup("2026-03-09 23:00"))}, "2026-03-09 23:00", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			names := func(all []Backup) string {
				var names []string
				for _, b := range all {
					names = append(names, b.Object)
				}
				return strings.Join(names, " ")
			}
			lacking, coming := Lacking(now, Policy{Daily: 7}, c.own, c.elsewhere)
			if names(lacking) != c.lacking || names(coming) != c.coming {
				t.Errorf("lacks %q, want %q; coming %q, want %q", names(lacking), c.lacking, names(coming), c.coming)
			}
		})
	}
}

// An older backup that turns up (another host's clock, a late upload) costs nothing newer but the oldest its grace.
func TestAnOlderBackupCostsOnlyTheOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, policy := history(t), somePolicy(t)
		policy.Within = Duration{}
		before := map[string]bool{}
		for _, d := range Make(at("2030-01-01"), policy, all).Keep {
			before[d.Object] = true
		}
		older := Backup{Object: "older", Taken: at("2024-12-20").Add(-time.Duration(rapid.IntRange(1, 10000).Draw(t, "hours")) * time.Hour)}
		for _, d := range Make(at("2030-01-01"), policy, append(slices.Clone(all), older)).Remove {
			if d.Object == "older" || !before[d.Object] {
				continue
			}
			for _, b := range all {
				if b.Taken.Before(d.Taken) && b.Suspect == "" && b.Unsound == "" {
					t.Fatalf("an older backup removes %s, which was not the oldest: %s is older", d.Object, b.Object)
				}
			}
		}
	})
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]Duration{"30d": {Days: 30}, "1y6m": {Years: 1, Months: 6}, "2y5m7d3h": {2, 5, 7, 3}} {
		if d, err := ParseDuration(text); err != nil || d != want || d.String() != text {
			t.Errorf("%s: %+v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "30", "d", "-3d", "3w", "0d", "3d4d", "1.5d", "99999999999d", "3d "} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %+v", text, d)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add("2y5m7d3h")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %+v, which is written %q: %v", s, d, d, err)
		}
	})
}
