package agent

import (
	"context"
	"fmt"
	"time"

	"offsite/agent/journal"
	"offsite/agent/status"
)

// manyKilled is from how many killed runs in a row on somebody should look: memory may be short, say.
const manyKilled = 3

// open begins a run: it writes down that there is one, and tells if the last one did not come to its end.
func (a *Agent) open(once bool) {
	a.openAlarms()
	last, err := a.journal.LastRun()
	killed := 0
	if !last.Began.IsZero() && last.Ended.IsZero() {
		killed = last.Killed + 1
	}
	if err == nil {
		err = a.journal.SetRun(journal.Run{First: earliest(last.First, a.began), Began: a.began, Once: once, Killed: killed})
	}
	if err != nil {
		a.Log.Warn("cannot write down that the agent runs", "err", err)
		return
	}
	if killed > 0 {
		alarm := status.Alarm{
			Key: "stopped/killed", Kind: status.KindStopped, Level: status.Warning,
			Text: fmt.Sprintf("the agent that was started at %s was not stopped: it was killed, or the machine lost its power; it runs again since %s",
				stampText(last.Began), stampText(a.began)),
			Remedy: "nothing is lost; if nobody knows why, look at the system's log",
		}
		if killed >= manyKilled {
			alarm.Level = status.Problem
			alarm.Text += fmt.Sprintf("; that is the %dth time in a row", killed)
		}
		a.event(alarm)
	}
}

// close ends a run, and tells if a fault ended it.
func (a *Agent) close(ctx context.Context, fault error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendFor)
	defer cancel()
	if fault != nil {
		a.event(status.Alarm{
			Key: "stopped/fault", Kind: status.KindStopped, Level: status.Problem,
			Text: fmt.Sprintf("the agent has stopped by itself: %v", fault), Remedy: "mend what is named, and start it again",
		})
		if err := a.tellAlarms(ctx); err != nil {
			a.Log.Error("cannot tell that the agent stops", "err", err)
		}
	}
	last, err := a.journal.LastRun()
	if err == nil {
		last.Ended = a.Now().UTC()
		err = a.journal.SetRun(last)
	}
	if err != nil {
		a.Log.Warn("cannot write down that the agent has stopped", "err", err)
	}
}

// earliest is the earlier of two instants, a zero one being none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
