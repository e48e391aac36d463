// Package retention decides which backups of one series stay on one target. It is pure: it is told the time, the
// policy and the backups, and says of each what happens to it and why. Others list, and others delete.
//
// The keep set is what `restic forget` keeps for the same numbers (restic 0.16 or newer, internal/data/
// snapshot_policy.go): going from the newest to the oldest, each rule keeps the newest backup of each period that has
// one, until its number is used up; periods without backups do not count; rules are independent, and what any of them
// keeps stays; weeks are ISO 8601's; and a rule that has places left at the end keeps the oldest backup too.
//
// Around that stand refusals, since a mistake here destroys data without a sound:
//
//   - Only a backup whose manifest a trusted key signed, whose data is there, and that is not suspect, takes a place. An
//     unsound one (unsigned, of an unknown signer, without its data) is never removed. A suspect one goes when it has been there
//     for SuspectAge and a healthy one is newer.
//   - The newest healthy backups, MinKeep of them and at least one, stay whatever the rules say.
//   - A policy without rules removes nothing.
//   - A backup from the future takes no place, and stays.
//   - A plan that removes more than half of a series and more than MassLimit backups is held for a person. So is any
//     that removes from an alarmed series: its newest backup is suspect, or the clock stands before its newest one.
package retention

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of the refusals.
const (
	// SuspectAge is how old a suspect backup must be before it may go.
	SuspectAge = 30 * 24 * time.Hour
	// MassLimit is how many backups of a series may go at once in any case.
	MassLimit = 5
	// FutureSlack is by how much a backup may be ahead of the clock.
	FutureSlack = 24 * time.Hour
	// DefaultMinKeep is MinKeep unless the configuration sets it.
	DefaultMinKeep = 3
)

// Forever is a rule's number that never runs out.
const Forever = -1

// Policy is how many backups stay: for each rule a number, 0 for none, or Forever.
type Policy struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
	// Within keeps everything that is younger than this, counted back from the newest healthy backup; the zero
	// Duration: no such rule.
	Within Duration
	// MinKeep is how many of the newest healthy backups stay in any case; less than 1 counts as 1.
	MinKeep int
	// Zone is where days begin; nil is UTC.
	Zone *time.Location
}

// Empty says that there are no rules.
func (p Policy) Empty() bool {
	return p.Last == 0 && p.Hourly == 0 && p.Daily == 0 && p.Weekly == 0 && p.Monthly == 0 && p.Yearly == 0 && p.Within == Duration{}
}

// Backup is what Make must know of one.
type Backup struct {
	// Object is its name.
	Object string
	Taken  time.Time
	// Found is when its host first saw it: of two that claim the same Taken, such as a file that was written over, the one
	// found later is the newer.
	Found time.Time
	// Shape tells files of a series apart that are not the same thing twice, such as a dump in two formats: the rules count for
	// each shape by itself.
	Shape string
	// Dump tells which dump it is of; empty: that is not known. A target may hold one dump in two objects, after it had lost the
	// first for a while: they count as one backup, and stay or go together.
	Dump string
	// Stored is the size of its data on the target, in bytes.
	Stored int64
	// Modified is when the target stored it, by the target's clock; the zero time: that is not known.
	Modified time.Time
	// Suspect says why it is suspect; empty if it is not.
	Suspect string
	// Unsound says why it cannot be counted on: its manifest is not signed by a trusted key, or damaged, or its data is
	// not what the manifest says; empty if nothing is wrong.
	Unsound string
	// Locked is until when the target does not let it go, as far as that is known; the zero time: it does.
	Locked time.Time
}

// Decision is what happens to one backup.
type Decision struct {
	Backup
	// Reasons why it stays, one at least; or the one reason why it goes.
	Reasons []string
}

// Plan is what is to happen to the backups of one series on one target.
type Plan struct {
	// Keep and Remove hold every backup once between them, newest first.
	Keep, Remove []Decision
	// Held says why a person must confirm before anything is removed; empty if nobody must.
	Held string
}

// Frees is how many bytes of data go.
func (p *Plan) Frees() (bytes int64) {
	for _, d := range p.Remove {
		bytes += d.Stored
	}
	return bytes
}

// Make plans. The order of backups does not matter.
func Make(now time.Time, policy Policy, backups []Backup) *Plan {
	shapes := byShape(backups)
	if len(shapes) == 1 {
		return plan(now, policy, shapes[0])
	}
	whole := &Plan{}
	var held []string
	for _, some := range shapes {
		p := plan(now, policy, some)
		whole.Keep, whole.Remove = append(whole.Keep, p.Keep...), append(whole.Remove, p.Remove...)
		if p.Held != "" {
			held = append(held, p.Held)
		}
	}
	for _, decisions := range [][]Decision{whole.Keep, whole.Remove} {
		slices.SortFunc(decisions, func(a, b Decision) int { return newer(a.Backup, b.Backup) })
	}
	whole.Held = strings.Join(held, "; ")
	return whole
}

// byShape takes the backups of each shape together, in the order of the shapes.
func byShape(backups []Backup) (groups [][]Backup) {
	by := map[string][]Backup{}
	for _, b := range backups {
		by[b.Shape] = append(by[b.Shape], b)
	}
	for _, shape := range slices.Sorted(maps.Keys(by)) {
		groups = append(groups, by[shape])
	}
	return groups
}

// plan plans for backups of one shape.
func plan(now time.Time, policy Policy, backups []Backup) *Plan {
	all := newestFirst(backups)
	var healthy []Backup
	for _, b := range all {
		if b.Suspect == "" && b.Unsound == "" && !future(now, b) {
			healthy = append(healthy, b)
		}
	}
	healthy, twins := distinct(healthy)
	reasons := policy.keep(healthy)
	for twin, first := range twins {
		if len(reasons[first]) > 0 {
			reasons[twin] = []string{"it is of the same dump as " + first}
		}
	}
	plan := &Plan{}
	for _, b := range all {
		why, stays := verdict(now, b, reasons[b.Object], healthy)
		switch {
		case policy.Empty():
			why, stays = []string{"there are no rules"}, true
		case !stays && b.Locked.After(now):
			why, stays = append(why, "but the target keeps it: locked until "+stamp(b.Locked)), true
		}
		if stays {
			plan.Keep = append(plan.Keep, Decision{b, why})
		} else {
			plan.Remove = append(plan.Remove, Decision{b, why})
		}
	}
	plan.Held = held(now, plan, all)
	return plan
}

// distinct leaves one backup of each dump, the first; and says of each other one which that is.
func distinct(backups []Backup) (first []Backup, twins map[string]string) {
	of := map[string]string{}
	twins = map[string]string{}
	for _, b := range backups {
		if there := of[b.Dump]; b.Dump != "" && there != "" {
			twins[b.Object] = there
			continue
		}
		of[b.Dump] = b.Object
		first = append(first, b)
	}
	return first, twins
}

func newestFirst(backups []Backup) []Backup {
	all := slices.Clone(backups)
	slices.SortFunc(all, newer)
	return all
}

// newer is negative if a is newer than b.
func newer(a, b Backup) int {
	return cmp.Or(b.Taken.Compare(a.Taken), b.Found.Compare(a.Found), cmp.Compare(b.Object, a.Object))
}

// age is since when a suspect backup is there at the earliest: its own time may be wrong, which may be why it is suspect.
func (b Backup) age() time.Time { return later(later(b.Taken, b.Found), b.Modified) }

func future(now time.Time, b Backup) bool { return b.Taken.After(now.Add(FutureSlack)) }

// verdict is what happens to b, for which the rules gave reasons.
func verdict(now time.Time, b Backup, reasons []string, healthy []Backup) (why []string, stays bool) {
	switch {
	case b.Unsound != "":
		return []string{b.Unsound + ": never removed"}, true
	case future(now, b):
		return []string{"from the future: takes no place"}, true
	case b.Suspect != "" && now.Sub(b.age()) <= SuspectAge:
		return []string{"suspect (" + b.Suspect + "): takes no place, stays 30 days"}, true
	case b.Suspect != "" && (len(healthy) == 0 || !healthy[0].Taken.After(b.Taken)):
		return []string{"suspect (" + b.Suspect + "), and no healthy one is newer"}, true
	case b.Suspect != "":
		return []string{"suspect (" + b.Suspect + "), older than 30 days, and a healthy one is newer"}, false
	case len(reasons) > 0:
		return reasons, true
	}
	return []string{"no rule keeps it"}, false
}

// held looks for signs that the plan should not be trusted.
func held(now time.Time, plan *Plan, all []Backup) string {
	if len(plan.Remove) == 0 {
		return ""
	}
	for _, b := range all { // the newest that anybody can have an opinion of
		if b.Unsound != "" {
			continue
		}
		if future(now, b) {
			return fmt.Sprintf("the clock says %s, which is before the newest backup of %s: one of them is wrong", stamp(now), stamp(b.Taken))
		}
		if b.Suspect != "" {
			return fmt.Sprintf("the newest backup, of %s, is suspect: %s", stamp(b.Taken), b.Suspect)
		}
		break
	}
	counted := 0 // what nobody may remove says nothing about the rest
	for _, b := range all {
		if b.Unsound == "" && !future(now, b) {
			counted++
		}
	}
	if n := len(plan.Remove); n > MassLimit && 2*n > counted {
		return fmt.Sprintf("it would remove %d of %d backups at once", n, counted)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
