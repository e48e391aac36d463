package alarm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"offsite/agent/status"
)

// Event is what a watcher is told.
type Event string

// The events. A run of a series begins when a dump is found, and ends, one way or the other, once for all targets.
const (
	Started   Event = "started"
	Succeeded Event = "succeeded"
	Failed    Event = "failed"
)

// Ping is a watcher elsewhere, such as healthchecks.io: it alarms when it is told of a failure, and when it hears nothing for too long.
// Its implementations are elsewhere.
type Ping interface {
	// Name says for messages which it is; it never holds a secret.
	Name() string
	// Send tells one event, with a text for people, of which a watcher may keep the beginning only. It ends with ctx, and may be called
	// again with the same. An error must hold no secret.
	Send(ctx context.Context, e Event, text string) error
}

// Pings are all watchers.
type Pings struct {
	Series []SeriesPing
	Alive  []AlivePing
}

// SeriesPing is told of each run of the series that its pattern fits.
type SeriesPing struct {
	Ping
	// Series is a name, or a pattern as path.Match has it.
	Series string
}

// AlivePing is told every so often how the host is: Alive says what.
type AlivePing struct {
	Ping
	Every time.Duration
}

// Run tells every watcher of the series one event of a run. Each is told, whatever becomes of the others.
func (p Pings) Run(ctx context.Context, series string, e Event, text string) error {
	var errs []error
	for _, s := range p.Series {
		if fits, _ := path.Match(s.Series, series); !fits && s.Series != series {
			continue
		}
		if err := s.Send(ctx, e, text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// Alive is what an AlivePing is told while these alarms last: all is well, or the problems among them.
func Alive(lasting []status.Alarm) (Event, string) {
	var problems []string
	for _, a := range lasting {
		if a.Level == status.Problem {
			problems = append(problems, a.Text)
		}
	}
	if len(problems) == 0 {
		return Succeeded, ""
	}
	return Failed, strings.Join(problems, "\n")
}
