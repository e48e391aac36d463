package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"offsite/agent/status"
	"offsite/cmd/offsite/doctor"
	"offsite/configs"
)

// done is what a look at a target did with its probe: keys need not be allowed all of it.
func done(checks []doctor.Check) string {
	may := map[string]bool{}
	for _, c := range checks {
		may[c.Name] = c.Level == status.OK && !strings.HasPrefix(c.Text, "may not")
	}
	switch {
	case may["get"] && may["delete"]:
		return "wrote, read and deleted"
	case may["get"]:
		return "wrote and read"
	case may["delete"]:
		return "wrote and deleted"
	}
	return "wrote"
}

// trial prepares a target, does there what the agent will do, and says what that means.
func trial(ctx context.Context, c *configs.Config, need int64, t configs.Target, out io.Writer) error {
	if err := prepareTarget(ctx, t); err != nil {
		return err
	}
	if t.Retention == "" {
		t.Retention = "enforce"
	}
	p := doctor.Patient{Config: c, Open: openTarget, Place: location, Need: need, Timeout: time.Minute, Now: time.Now}
	g := p.Visit(ctx, t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrong []error
	for _, check := range g.Checks {
		if check.Level == status.Problem {
			wrong = append(wrong, fmt.Errorf("%s; %s", check.Text, check.Remedy))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	fmt.Fprintf(out, "target %s works: %s a probe\n", t.Name, done(g.Checks))
	for _, check := range g.Checks {
		_, left, some := strings.Cut(check.Text, "; ")
		switch {
		case check.Level == status.Warning:
			fmt.Fprintf(out, "  warning: %s\n    -> %s\n", check.Text, check.Remedy)
		case check.Name == "delete" && some:
			fmt.Fprintf(out, "  %s\n", left)
		case telling[check.Name]:
			fmt.Fprintf(out, "  %s\n", check.Text)
		}
	}
	return nil
}

// telling are the findings that are worth a word when all is well.
var telling = map[string]bool{"versions": true, "object-lock": true, "lock": true, "uploads": true, "clock": true, "free": true, "certificate": true, "fsync": true}

// trial is trial for what has been answered so far.
func (a *answers) trial(ctx context.Context, t configs.Target, out io.Writer) error {
	c := &configs.Config{Host: a.Host}
	for _, path := range a.Watch {
		c.Watch = append(c.Watch, configs.Watch{Path: path})
	}
	return trial(ctx, c, a.need(), t, out)
}

// need is the size of the newest dumps.
func (a *answers) need() (bytes int64) {
	for _, s := range a.found {
		bytes += s.newest().size
	}
	return bytes
}
