package agent

import (
	"context"
	"time"

	"offsite/agent/drill"
)

// watchDrills tells once a day which drills have failed, or have not passed for too long: somebody's timer may be broken. The drills
// themselves are another process, which has a key that opens the backups.
func (a *Agent) watchDrills(ctx context.Context) error {
	began := a.Now()
	for {
		a.tellDrills(began)
		if err := sleep(ctx, daily, nil); err != nil {
			return err
		}
	}
}

// tellDrills is one look. A drill that has never been run is overdue when it could have been since began.
func (a *Agent) tellDrills(began time.Time) {
	if len(a.Drills) == 0 {
		return
	}
	all, err := drill.ReadBook(a.State)
	if err != nil {
		a.Log.Error("nobody knows how the drills went", "err", err)
		return
	}
	now := a.Now().In(a.Zone)
	for name, schedule := range a.Drills {
		overdue := func(done time.Time) bool {
			wait := schedule.Next(done.In(a.Zone)).Sub(done)
			return now.Sub(done) > wait+wait/10+daily
		}
		if len(all[name]) == 0 {
			if overdue(began) {
				a.Log.Error("a drill is overdue: it was never run; `offsite drill --due` is to be called once a day", "drill", name)
			}
			continue
		}
		bySeries := map[string][]drill.Record{}
		for _, r := range all[name] {
			bySeries[r.Series] = append(bySeries[r.Series], r)
		}
		for series, records := range bySeries {
			last, passed := records[len(records)-1], drill.LastPassed(records)
			switch {
			case !last.Passed():
				a.Log.Error("the last drill has failed: the backup could not be restored", "drill", name, "series", series, "target", last.Target, "object", last.Object, "at", last.Began, "reason", last.Reason)
			case overdue(passed.Began):
				a.Log.Error("a drill is overdue; `offsite drill --due` is to be called once a day", "drill", name, "series", series, "last_passed", passed.Began)
			}
		}
	}
}
