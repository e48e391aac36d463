package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"offsite/agent/journal"
	"offsite/agent/status"
)

const (
	// stuckFor is how long a file counts as one that cannot be shipped after that was seen last: it is seen again each minute.
	stuckFor = 15 * time.Minute
	// lostFor is how long a loss is an alarm.
	lostFor = 24 * time.Hour
)

// unsents are what cannot be shipped, or never was: an alarm as long as it lasts.
type unsents struct {
	mu  sync.Mutex
	all map[string]unsentFile // by path
}

type unsentFile struct {
	why   string
	since time.Time
	until time.Time
	lost  bool
}

// note has it that a file is not shipped.
func (u *unsents) note(path, why string, lost bool, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f, there := u.all[path]
	if !there || f.lost && !lost {
		f = unsentFile{since: now}
	}
	f.why, f.lost, f.until = why, lost, now.Add(stuckFor)
	if lost {
		f.until = now.Add(lostFor)
	}
	if u.all == nil {
		u.all = map[string]unsentFile{}
	}
	u.all[path] = f
}

// shipped has it that what lies at a path is on its way after all; a loss is still one.
func (u *unsents) shipped(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.all[path].lost {
		delete(u.all, path)
	}
}

// The keys of the alarms.
const (
	unsentStuck = "unsent/stuck"
	unsentLost  = "unsent/lost"
)

// troubles are two alarms at most, whatever the number of files.
func (u *unsents) troubles(now time.Time) (all []status.Alarm) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.all, func(_ string, f unsentFile) bool { return now.After(f.until) })
	for _, lost := range []bool{false, true} {
		var paths []string
		since := now
		for path, f := range u.all {
			if f.lost == lost {
				paths = append(paths, path)
				if f.since.Before(since) {
					since = f.since
				}
			}
		}
		if len(paths) == 0 {
			continue
		}
		slices.Sort(paths)
		a := status.Alarm{
			Key: unsentStuck, Kind: status.KindUnsent, Level: status.Warning, Since: since,
			Text:   fmt.Sprintf("%s cannot be shipped: %s", plural(len(paths), "file"), u.list(paths)),
			Remedy: "mend what is named, or leave the files out by `exclude` in the configuration",
		}
		if lost {
			a.Key, a.Level = unsentLost, status.Problem
			a.Text = fmt.Sprintf("%s changed or went away before every target had them: %s", plural(len(paths), "dump"), u.list(paths))
			a.Remedy = "let the job keep its dumps for longer, or look why the target is slow; after a day `offsite repair` fills a target from the others"
		}
		all = append(all, a)
	}
	return all
}

// list names the first few.
func (u *unsents) list(paths []string) string {
	const most = 3
	var parts []string
	for _, path := range paths[:min(most, len(paths))] {
		parts = append(parts, path+" ("+u.all[path].why+")")
	}
	if more := len(paths) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// plural is "1 dump", "2 dumps".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// stuck has it that a file cannot be shipped until somebody looks.
func (a *Agent) stuck(path, why string) {
	a.unsents.note(path, why, false, a.Now())
	a.changed.ring()
}

// missed has it that a dump was lost before these targets had it.
func (a *Agent) missed(d *journal.Dump, lacking []string, cause error) {
	slices.Sort(lacking)
	a.unsents.note(d.Path, fmt.Sprintf("%s: %v", strings.Join(lacking, ", "), cause), true, a.Now())
	a.changed.ring()
	a.hurry()
}
