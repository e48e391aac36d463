package retention

import (
	"iter"
	"maps"
	"time"
)

// Horizon is how far ahead a lease reaches for what the rules keep forever: it is given anew as time goes by, so that
// nobody locks an object for a hundred years by a mistake.
const Horizon = 366 * 24 * time.Hour

// maxLease bounds every other lease: a lock of compliance mode cannot be taken back.
const maxLease = 10 * Horizon

// Leases says until when the policy is sure to keep each backup that it keeps, by object: the earliest instant at which it
// could let it go, if from now on each period brought a new backup at its beginning. A lock until then is never in the way
// of the policy, and as the backup is promoted to a longer tier its lease gets longer. What has no lease is not there.
//
//   - A rule that keeps one backup in each of N periods lets go of one when N newer periods have a backup.
//   - While a period lasts, its newest backup may yet be superseded. So it has its lease by the shortest rule alone, and
//     where the series has more than one backup in that period, only to the end of it. The others follow when their
//     period is over.
//   - within keeps a backup until one is taken that is so much newer.
//   - last and min_keep count backups, not time, and give no lease.
//   - A suspect backup that no healthy one replaces stays SuspectAge. An unsound one has no lease: it may be a stranger's.
func Leases(now time.Time, policy Policy, backups []Backup) map[string]time.Time {
	leases := map[string]time.Time{}
	for _, some := range byShape(backups) {
		maps.Copy(leases, leasesOf(now, policy, some))
	}
	return leases
}

// leasesOf is Leases for backups of one shape.
func leasesOf(now time.Time, policy Policy, backups []Backup) map[string]time.Time {
	leases := map[string]time.Time{}
	extend := func(b Backup, until time.Time) {
		if most := now.Add(maxLease); until.After(most) {
			until = monthAfter(most)
		}
		if until.After(leases[b.Object]) && until.After(now) {
			leases[b.Object] = until
		}
	}
	var healthy []Backup
	for _, b := range newestFirst(backups) {
		switch {
		case b.Unsound != "" || future(now, b):
		case b.Suspect != "":
			extend(b, b.age().Add(SuspectAge))
		default:
			healthy = append(healthy, b)
		}
	}
	if len(healthy) == 0 {
		return leases
	}
	healthy, twins := distinct(healthy)
	zone := policy.zone()
	if !policy.Within.zero() {
		for _, b := range healthy {
			extend(b, policy.Within.after(b.Taken.In(zone)))
		}
	}
	for i, r := range policy.calendar() {
		for b, until := range r.leases(now.In(zone), zone, healthy, i == 0) {
			extend(b, until)
		}
	}
	for twin, first := range twins {
		if until, has := leases[first]; has {
			leases[twin] = until
		}
	}
	return leases
}

// FirstLease is the lease that a backup gets when it is stored, when nothing but its time is looked at: until the shortest
// period that it lies in is over, or for FirstLook if that is longer, but not beyond what that rule keeps. By then its lease
// is known from Leases.
func FirstLease(policy Policy, taken time.Time) (until time.Time) {
	taken = taken.In(policy.zone())
	if !policy.Within.zero() {
		until = policy.Within.after(taken)
	}
	if rules := policy.calendar(); len(rules) > 0 {
		r := rules[0]
		first := later(r.begin(taken, 1), taken.Add(FirstLook))
		if end := r.begin(taken, r.count); r.count != Forever && end.Before(first) {
			first = end
		}
		until = later(until, first)
	}
	if most := taken.Add(maxLease); until.After(most) {
		return most
	}
	return until
}

// FirstLook is the time within which somebody is sure to look at a new backup.
const FirstLook = 48 * time.Hour

// calendar is the rules that go by the calendar, the one with the shortest periods first.
func (p Policy) calendar() (rules []rule) {
	for _, r := range p.rules() {
		if r.count != 0 && r.begin != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// leases yields those that one rule gives to the backups that it keeps. now is in the zone.
func (r rule) leases(now time.Time, zone *time.Location, healthy []Backup, shortest bool) iter.Seq2[Backup, time.Time] {
	return func(yield func(Backup, time.Time) bool) {
		newest := healthy[0].Taken.In(zone)
		current := r.begin(later(now, newest), 0) // the period in which the next backup is, at the earliest
		crowded := len(healthy) > 1 && !healthy[1].Taken.Before(current)
		place := 0
		for kept := range r.kept(healthy, zone) {
			needed := r.count - place // so many newer periods must have a backup
			if newest.Before(current) {
				needed-- // the current one is the first of them
			}
			place++
			until := monthAfter(now.Add(Horizon)) // which changes once a month, not every day
			if r.count != Forever {
				until = r.begin(current, needed)
			}
			if !kept.Taken.Before(current) { // it may yet be superseded
				if !shortest {
					continue
				}
				if crowded {
					until = r.begin(current, 1)
				}
			}
			if !yield(kept.Backup, until) {
				return
			}
		}
	}
}

// monthAfter is the beginning of the month after t.
func monthAfter(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
