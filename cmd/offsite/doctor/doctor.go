// Package doctor looks at everything that must be right for dumps to go offsite and come back: the configuration, keys, directories,
// the host, the service, drills, backups, and each target with its rights. Every finding says what to do about it.
//
// It changes nothing here, and leaves nothing on a target: a probe is stored, read, and removed.
package doctor

import (
	"context"
	"fmt"
	"time"

	"offsite/agent/status"
	"offsite/configs"
	"offsite/crypto"
	"offsite/providers"
)

// Check is one finding.
type Check struct {
	// Group is what it is about: configuration, keys, directories, host, service, drills, backups, or a target as "target NAME".
	Group string `json:"group"`
	// Name is the same for the same check in each run.
	Name  string       `json:"name"`
	Level status.Level `json:"level"`
	Text  string       `json:"text"`
	// Remedy is what to do; empty if all is well.
	Remedy string `json:"remedy,omitempty"`
}

// Group is the findings about one thing.
type Group struct {
	Title string
	// About says more of it than the title, for people; it may be empty.
	About  string
	Checks []Check
}

// Level is the worst of all findings.
func Level(checks []Check) status.Level {
	worst := status.OK
	for _, c := range checks {
		worst = status.Worse(worst, c.Level)
	}
	return worst
}

func (g *Group) add(level status.Level, name, remedy, format string, args ...any) {
	g.Checks = append(g.Checks, Check{Group: g.Title, Name: name, Level: level, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (g *Group) ok(name, format string, args ...any) { g.add(status.OK, name, "", format, args...) }

func (g *Group) warning(name, remedy, format string, args ...any) {
	g.add(status.Warning, name, remedy, format, args...)
}

func (g *Group) problem(name, remedy, format string, args ...any) {
	g.add(status.Problem, name, remedy, format, args...)
}

// Patient is what is looked at.
type Patient struct {
	// Path is the configuration file, and Mistakes what is wrong with what is in it. Config is nil if that is too much.
	Path     string
	Mistakes []configs.Mistake
	Config   *configs.Config
	// Kits are the names under which init leaves recovery kits beside the configuration.
	Kits []string
	// Keys are those whose manifests count; nil: the signing key cannot be read, as SignerErr says.
	Keys      *crypto.Verifiers
	SignerErr error
	// Journal is the name of the agent's journal in the state directory.
	Journal string
	// Need is the space that the newest dump of each series takes, in bytes.
	Need int64
	// User is whom the agent runs as; empty: as the service says, or as whoever asks.
	User string
	// Target is the only one to look at; empty: all, and everything else.
	Target string
	// Open opens a target, and Place says where it is.
	Open  func(configs.Target) (providers.Target, error)
	Place func(configs.Target) string
	// Status asks the agent how the backups are, or its journal; nil: that is not looked at.
	Status func(context.Context) (*status.Host, error)
	// Timeout is how long each target may take.
	Timeout time.Duration
	Machine Machine
	Now     func() time.Time
}

// Examine looks at everything, and gives each group to out when it and those before it are there, in the same order each time.
func Examine(ctx context.Context, p Patient, out func(Group)) error {
	if p.Config == nil {
		out(p.configuration())
		return ctx.Err()
	}
	waiting := p.examineTargets(ctx)
	if p.Target == "" {
		unit := p.unit(ctx)
		as := p.agentUser(unit)
		reach := p.reached(ctx, as)
		for _, look := range []func() Group{
			p.configuration,
			func() Group { return p.keys(as, reach) },
			func() Group { return p.directories(as, reach) },
			func() Group { return p.host(reach) },
			func() Group { return p.service(unit) },
			p.drills,
			func() Group { return p.backups(ctx) },
		} {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			out(look())
		}
	}
	for _, group := range waiting {
		g := <-group // each has a time limit, and ends when ctx does
		if ctx.Err() == nil {
			out(g)
		}
	}
	return ctx.Err()
}
