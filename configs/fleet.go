package configs

import (
	"strings"
	"time"
)

// Fleet is the page's view of all hosts that bring their backups to one target.
type Fleet struct {
	// Target is the name of one of the Targets, below whose prefix the hosts of the fleet lie.
	Target string `yaml:"target"`
	// Every is how old what the page shows may be, while somebody looks at it; 15 minutes unless set.
	Every time.Duration `yaml:"every"`
}

const (
	usualFleet = 15 * time.Minute
	leastFleet = time.Minute
)

func (v *validator) fleet(c *Config) {
	f := c.Fleet
	if f == nil {
		return
	}
	var names []string
	known := false
	for _, t := range c.Targets {
		names = append(names, t.Name)
		known = known || t.Name == f.Target
	}
	switch {
	case len(names) == 0 || v.noted("fleet"): // told already
	case f.Target == "":
		v.wrong("fleet", "needs target: the one to which its hosts bring their backups, %s", strings.Join(names, " or "))
	case !known:
		v.wrong("fleet.target", "%q is no target of this configuration; write %s", f.Target, strings.Join(names, " or "))
	}
	if _, given := v.lines["fleet.every"]; !given {
		f.Every = usualFleet
	}
	if f.Every < leastFleet && !v.noted("fleet.every") {
		v.wrong("fleet.every", "is %s, and a target with many hosts takes longer to read; write 1m or more, such as 15m", f.Every)
	}
}
