package notify

import (
	"context"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

// AtLeast is a way that tells nothing less bad than level. A test is told all the same.
func AtLeast(level status.Level, w alarm.Way) alarm.Way {
	if level == "" || level == status.OK {
		return w
	}
	return &atLeast{w, level}
}

type atLeast struct {
	alarm.Way
	level status.Level
}

// Send passes on what is bad enough, and nothing if nothing is.
func (w *atLeast) Send(ctx context.Context, m alarm.Message) error {
	var told []alarm.Notice
	for _, n := range m.Notices {
		if n.Kind == status.KindTest || status.Worse(w.level, n.Level) == n.Level {
			told = append(told, n)
		}
	}
	if len(told) == 0 {
		return nil
	}
	m.Notices = told
	return w.Way.Send(ctx, m)
}
