package doctor

import (
	"context"

	"offsite/agent/status"
)

// backups says what the agent, or the journal that the last one left, says of dumps and backups: silence above all. What other groups
// look at for themselves is left to them.
func (p *Patient) backups(ctx context.Context) Group {
	g := Group{Title: "backups"}
	if p.Status == nil {
		return g
	}
	h, err := p.Status(ctx)
	if err != nil {
		g.warning("status", "start the agent; `offsite status` says more", "nobody knows how the backups are: %v", err)
		return g
	}
	wrong := 0
	for _, a := range h.Alarms {
		switch a.Kind {
		case status.KindStopped, status.KindDrill:
			continue
		}
		wrong++
		g.add(a.Level, a.Kind, a.Remedy, "%s", a.Text)
	}
	if a := p.Config.Alarms; len(a.Ways)+len(a.Pings) == 0 {
		g.warning("ways", "write one under alarms:, as example.yaml shows, and try it by `offsite alarm test`", "nobody is told when something is wrong: only the log, `offsite status` and the page know")
	}
	unknown := 0
	for _, s := range h.Series {
		if s.Due.IsZero() && !s.Expected {
			unknown++
		}
	}
	switch {
	case len(h.Series) == 0:
		g.ok("series", "no dump was met yet")
	case wrong == 0:
		g.ok("series", "%d series, and none is late or suspect", len(h.Series))
	}
	if unknown > 0 {
		g.ok("rhythm", "when silence of %d series is an alarm is not known before five dumps; `expect` says it outright", unknown)
	}
	return g
}
