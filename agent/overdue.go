package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"offsite/agent/drill"
	"offsite/agent/status"
)

// drillStatus is what is known of the drills that are to be run again and again, by their names and series. The drills themselves are
// another process, which has a key that opens the backups, and somebody's timer: that may be broken.
func (a *Agent) drillStatus(f *facts) ([]status.Drill, error) {
	if len(a.Drills) == 0 {
		return nil, nil
	}
	book, err := drill.ReadBook(a.State)
	if err != nil {
		return nil, err
	}
	var all []status.Drill
	for _, name := range slices.Sorted(maps.Keys(a.Drills)) {
		bySeries := map[string][]drill.Record{}
		for series, s := range f.series {
			if s.offsite && a.Drills[name].Covers(series) {
				bySeries[series] = nil
			}
		}
		for _, r := range book[name] {
			if _, covered := bySeries[r.Series]; covered { // what it does not cover any more is over
				bySeries[r.Series] = append(bySeries[r.Series], r)
			}
		}
		for _, series := range slices.Sorted(maps.Keys(bySeries)) {
			all = append(all, a.oneDrill(name, series, bySeries[series], f.run.First))
		}
	}
	return all, nil
}

// oneDrill is a drill of one series. One that was never run is due since an agent ran first.
func (a *Agent) oneDrill(name, series string, records []drill.Record, first time.Time) status.Drill {
	schedule := a.Drills[name].Schedule
	s := status.Drill{Name: name, Series: series, Level: status.OK, Trend: []status.Run{}}
	for _, r := range records[max(0, len(records)-shownRuns):] {
		s.Trend = append(s.Trend, status.Run{
			Target: r.Target, Dump: r.Name, Taken: r.Taken.UTC(), Began: r.Began.UTC(), Took: r.Took, Bytes: r.Bytes, Rows: r.Rows,
			Passed: r.Passed(), Reason: r.Reason, Setup: r.Setup,
		})
	}
	since := first
	if n := len(s.Trend); n > 0 {
		s.Last = &s.Trend[n-1]
		since = s.Last.Began
	}
	if passed := drill.LastPassed(records); passed != nil {
		s.Passed, since = passed.Began.UTC(), passed.Began
	}
	if schedule == nil || since.IsZero() {
		return s
	}
	s.Due = schedule.Next(since.In(a.Zone)).UTC()
	wait := s.Due.Sub(since)
	s.Overdue = a.Now().Sub(since) > wait+wait/10+daily
	return s
}

// shownRuns is how many runs of a drill are shown.
const shownRuns = 15

// drillTroubles sets the levels of drills, and gives what is wrong with them.
func drillTroubles(all []status.Drill) (troubles []status.Alarm) {
	for i := range all {
		d := &all[i]
		of := fmt.Sprintf("drill %s", d.Name)
		if d.Series != "" && d.Series != d.Name {
			of += " of series " + d.Series
		}
		alarm := status.Alarm{Key: "drill/" + d.Name + "/" + d.Series, Kind: status.KindDrill, Series: d.Series}
		switch {
		case d.Last != nil && !d.Last.Passed && d.Last.Setup:
			alarm.Level, alarm.Since = status.Problem, d.Last.Began
			alarm.Text = fmt.Sprintf("%s could not be run, which says nothing of the backup: %s", of, d.Last.Reason)
			alarm.Remedy = "mend what it needs; `offsite drill " + d.Name + "` runs it again"
		case d.Last != nil && !d.Last.Passed:
			alarm.Level, alarm.Since = status.Problem, d.Last.Began
			alarm.Text = fmt.Sprintf("%s has failed: %s of %s could not be restored from %s: %s", of, d.Last.Dump, stampText(d.Last.Taken), d.Last.Target, d.Last.Reason)
			alarm.Remedy = "look at the reason; `offsite drill " + d.Name + "` runs it again"
		case d.Overdue && d.Last == nil:
			alarm.Level, alarm.Since = status.Warning, d.Due
			alarm.Text = of + " was never run"
			alarm.Remedy = "`offsite drill --due` is to be called once a day, by a timer or cron"
		case d.Overdue:
			alarm.Level, alarm.Since = status.Warning, d.Due
			alarm.Text = fmt.Sprintf("%s is overdue: it passed last at %s", of, stampText(d.Passed))
			alarm.Remedy = "`offsite drill --due` is to be called once a day, by a timer or cron"
		default:
			continue
		}
		d.Level = alarm.Level
		troubles = append(troubles, alarm)
	}
	return troubles
}

// stampText is an instant as people and programs read it.
func stampText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
