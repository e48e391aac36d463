package retention

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var defaults = Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: Forever, MinKeep: 3}

// Worked out by hand. 2026-01-10 is a Saturday.
func TestLeases(t *testing.T) {
	tenDays := daily("2026-01-01", "2026-01-10")
	for _, c := range []struct {
		name    string
		now     string
		policy  Policy
		backups []Backup
		of      string // a backup
		want    string // its lease, or nothing
	}{
		{"the newest: seven days must begin", "2026-01-10 04:00", Policy{Daily: 7}, tenDays, "2026-01-10 03:00", "2026-01-17"},
		{"one of yesterday", "2026-01-10 04:00", Policy{Daily: 7}, tenDays, "2026-01-09 03:00", "2026-01-16"},
		{"the last that daily keeps goes when tomorrow's comes", "2026-01-10 04:00", Policy{Daily: 7}, tenDays, "2026-01-04 03:00", "2026-01-11"},
		{"what no rule keeps", "2026-01-10 04:00", Policy{Daily: 7}, tenDays, "2026-01-03 03:00", ""},
		{"the day after, without a new one: today's would be the first", "2026-01-11 02:00", Policy{Daily: 7}, tenDays, "2026-01-10 03:00", "2026-01-17"},
		{"cron dead for a month: seven days from now", "2026-02-10 12:00", Policy{Daily: 7}, tenDays, "2026-01-10 03:00", "2026-02-16"},
		{"longer rules wait until their period is over", "2026-01-10 04:00", defaults, tenDays, "2026-01-10 03:00", "2026-01-17"},
		{"promoted to weekly: Sunday of a week that is over", "2026-01-10 04:00", defaults, tenDays, "2026-01-04 03:00", "2026-01-26"},
		{"promoted to monthly", "2026-02-03 04:00", defaults, daily("2026-01-01", "2026-02-03"), "2026-01-31 03:00", "2027-01-01"},
		{"promoted to yearly: beyond the horizon, to the end of a month", "2027-01-03 04:00", defaults, daily("2026-12-01", "2027-01-03"), "2026-12-31 03:00", "2028-02-01"},
		{"the oldest, as long as there are places", "2026-01-10 04:00", Policy{Daily: 2, Monthly: 3}, tenDays, "2026-01-01 03:00", ""},
		{"the oldest, when its period is over", "2026-02-02 04:00", Policy{Daily: 2, Monthly: 4}, daily("2026-01-01", "2026-02-02"), "2026-01-01 03:00", "2026-04-01"},
		{"several a day: to its end only", "2026-01-10 16:00", Policy{Daily: 7}, append(slices.Clone(tenDays), backup("2026-01-10 15:00")), "2026-01-10 15:00", "2026-01-11"},
		{"several a day: the day after", "2026-01-11 01:00", Policy{Daily: 7}, append(slices.Clone(tenDays), backup("2026-01-10 15:00")), "2026-01-10 15:00", "2026-01-17"},
		{"within", "2026-01-10 04:00", Policy{Within: Duration{Days: 30}}, tenDays, "2026-01-05 03:00", "2026-02-04 03:00"},
		{"within a month, from the end of a long one", "2026-01-31 04:00", Policy{Within: Duration{Months: 1}}, daily("2026-01-31", "2026-01-31"), "2026-01-31 03:00", "2026-03-01"},
		{"last gives none", "2026-01-10 04:00", Policy{Last: 5, MinKeep: 3}, tenDays, "2026-01-10 03:00", ""},
		{"a suspect one", "2026-01-10 04:00", Policy{Daily: 7}, append(slices.Clone(tenDays), suspect(backup("2026-01-10 03:30"))), "2026-01-10 03:30", "2026-02-09 03:30"},
		{"an unsound one", "2026-01-10 04:00", Policy{Daily: 7}, append(slices.Clone(tenDays), unsound(backup("2026-01-10 03:30"))), "2026-01-10 03:30", ""},
		{"more than ten years are not locked at once", "2026-01-10 04:00", Policy{Yearly: 1000}, append(daily("2025-12-31", "2025-12-31"), tenDays...), "2025-12-31 03:00", "2036-02-01"},
	} {
		got, want := Leases(at(c.now), c.policy, c.backups)[backup(c.of).Object], time.Time{}
		if c.want != "" {
			want = at(c.want)
		}
		if !got.Equal(want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

func TestFirstLease(t *testing.T) {
	for _, c := range []struct {
		name        string
		policy      Policy
		taken, want string
	}{
		{"two days, for somebody looks by then", defaults, "2026-01-10 03:00", "2026-01-12 03:00"},
		{"not beyond the rule", Policy{Hourly: 3}, "2026-01-10 03:20", "2026-01-10 06:00"},
		{"the period, if it is longer", Policy{Weekly: 4, Yearly: Forever}, "2026-01-06 03:00", "2026-01-12"},
		{"forever", Policy{Daily: Forever}, "2026-01-10 03:00", "2026-01-12 03:00"},
		{"within", Policy{Within: Duration{Days: 5}, Daily: 7}, "2026-01-10 03:00", "2026-01-15 03:00"},
		{"within, by a mistake", Policy{Within: Duration{Years: 100}}, "2026-01-10 03:00", "2036-01-18 03:00"},
	} {
		if got := FirstLease(c.policy, at(c.taken)); !got.Equal(at(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := FirstLease(Policy{Last: 9, MinKeep: 3}, at("2026-01-10")); !got.IsZero() {
		t.Errorf("without the calendar: %v", got)
	}
}

// The law of leases: whatever backups come, the policy keeps what has a lease as long as it lasts. Only the newest of the
// present period may be superseded, by another one of that period.
func TestThePolicyKeepsWhatHasALease(t *testing.T) {
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.SampledFrom([]int{0, 0, 1, 2, 3, 5, Forever})
		policy := Policy{
			Hourly: count.Draw(t, "hourly"), Daily: count.Draw(t, "daily"), Weekly: count.Draw(t, "weekly"), Monthly: count.Draw(t, "monthly"), Yearly: count.Draw(t, "yearly"),
			MinKeep: 1, Zone: rapid.SampledFrom([]*time.Location{time.UTC, prague}).Draw(t, "zone"),
		}
		if rapid.Bool().Draw(t, "with within") {
			policy.Within = Duration{Days: rapid.IntRange(0, 40).Draw(t, "days"), Months: rapid.IntRange(0, 2).Draw(t, "months"), Hours: 1}
		}
		step := rapid.SampledFrom([]time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 20 * 24 * time.Hour}).Draw(t, "step")
		draw := func(from time.Time, n int, name string) (all []Backup, newest time.Time) {
			newest = from
			for range n {
				newest = newest.Add(time.Duration(rapid.Int64Range(1, int64(2*step)).Draw(t, name))).Truncate(time.Second)
				all = append(all, Backup{Object: name + newest.UTC().Format(time.RFC3339), Taken: newest})
			}
			return all, newest
		}
		past, newest := draw(at("2026-03-20"), rapid.IntRange(1, 25).Draw(t, "backups"), "past")
		now := newest.Add(time.Duration(rapid.Int64Range(0, int64(2*step)).Draw(t, "since")))
		future, end := draw(now, rapid.IntRange(0, 25).Draw(t, "more"), "future")
		for object, until := range Leases(now, policy, past) {
			all := slices.Clone(past)
			for _, b := range future {
				if b.Taken.Before(until) {
					all = append(all, b)
				}
			}
			i := slices.IndexFunc(past, func(b Backup) bool { return b.Object == object })
			if superseded(policy, past[i], all) {
				continue
			}
			then := until.Add(-time.Second)
			if end.Before(then) {
				then = later(end, now)
			}
			for _, d := range Make(then, policy, all).Remove {
				if d.Object == object {
					t.Fatalf("%s is leased until %v, and goes at %v", object, until, then)
				}
			}
		}
	})
}

// superseded says whether a backup of the future lies in the shortest period that b lies in.
func superseded(p Policy, b Backup, all []Backup) bool {
	rules := p.calendar()
	if len(rules) == 0 {
		return false
	}
	period, _ := rules[0].period(b.Taken.In(p.zone()), 0)
	return slices.ContainsFunc(all, func(other Backup) bool {
		same, _ := rules[0].period(other.Taken.In(p.zone()), 0)
		return same == period && other.Taken.After(b.Taken)
	})
}
