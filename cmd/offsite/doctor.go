package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"offsite/agent/status"
	"offsite/cmd/offsite/doctor"
	"offsite/configs"
)

// verdict is what doctor exits with when not all is well.
type verdict struct {
	level status.Level
	text  string
}

func (v *verdict) Error() string { return v.text }

// code is 1 for warnings and 2 for problems.
func (v *verdict) code() int {
	if v.level == status.Problem {
		return 2
	}
	return 1
}

func verdictOf(err error) int {
	var v *verdict
	errors.As(err, &v)
	return v.code()
}

func doctorCommand(config *string, std streams) *cobra.Command {
	p := doctor.Patient{Now: time.Now}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at everything that must be right for backups, and say what to do", Args: usage(cobra.NoArgs),
		Long: `Looks at the configuration, keys, directories, the host, the service, drills, backups and every target, and says of each whether it is
ok, a warning or a problem, and what to do about it. On each target a probe is stored, looked at, read, listed, locked (where backups
are) and removed: nothing is left there, unless the target keeps it, which is said. Nothing is changed on this host.

Run it as root: it looks as the user that the service runs as, by the rules of the system.

Exit status: 0 all is well, 1 there are warnings, 2 there are problems.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return diagnose(cmd.Context(), *config, p, asJSON, std)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Target, "target", "", "look at this target only")
	f.StringVar(&p.User, "user", "", "whom the agent runs as; as the service says unless set")
	f.DurationVar(&p.Timeout, "timeout", time.Minute, "how long each target may take")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// lookCommand is for doctor itself, which runs it as the agent's user.
func lookCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use: doctor.LookCommand, Hidden: true, Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return doctor.Look(cmd.Context(), std.in, std.out) },
	}
}

// diagnose prints the findings, and gives their verdict as an error unless all is well.
func diagnose(ctx context.Context, config string, p doctor.Patient, asJSON bool, std streams) error {
	if err := admit(ctx, config, &p); err != nil {
		return err
	}
	var all []doctor.Check
	var failed error
	colour := onTerminal(std.out)
	err := doctor.Examine(ctx, p, func(g doctor.Group) {
		all = append(all, g.Checks...)
		if !asJSON {
			failed = errors.Join(failed, doctor.Print(std.out, g, colour))
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	level := doctor.Level(all)
	if asJSON {
		if err := writeJSON(std.out, map[string]any{"level": level, "checks": all}); err != nil {
			return err
		}
	}
	if level == status.OK {
		switch {
		case asJSON:
		case p.Target != "":
			fmt.Fprintf(std.out, "all is well with target %s\n", p.Target)
		default:
			fmt.Fprintln(std.out, "all is well")
		}
		return nil
	}
	return &verdict{level, tally(all)}
}

// tally counts what is not well.
func tally(all []doctor.Check) string {
	n := map[status.Level]int{}
	for _, c := range all {
		n[c.Level]++
	}
	var parts []string
	for _, l := range []status.Level{status.Problem, status.Warning} {
		if n[l] > 0 {
			parts = append(parts, many(n[l], string(l)))
		}
	}
	return strings.Join(parts, ", ")
}

// onTerminal says whether colours are wanted there (no-color.org).
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// admit finds out what doctor must know beforehand. A configuration with mistakes is looked at as far as it can be read.
func admit(ctx context.Context, config string, p *doctor.Patient) error {
	c, err := configs.Load(config, configChecks())
	var mistakes *configs.Error
	if errors.As(err, &mistakes) {
		p.Mistakes = mistakes.Mistakes
		if c, err = loadToRead(config); err != nil {
			c, err = nil, nil
		}
	}
	if err != nil {
		return usageError{err}
	}
	if p.Path, err = filepath.Abs(config); err != nil {
		return err
	}
	p.Config, p.Open, p.Place, p.Journal, p.Kits = c, openTarget, location, agentJournal, []string{kitName, kitPage}
	if c == nil {
		return nil
	}
	if p.Status == nil {
		p.Status = func(ctx context.Context) (*status.Host, error) { return hostStatus(ctx, c, io.Discard) }
	}
	if p.Target != "" && !hasTarget(c, p.Target) {
		return fmt.Errorf("target %q: %w in the configuration", p.Target, errNotFound)
	}
	if _, p.Keys, p.SignerErr = trusted(c); p.SignerErr != nil {
		p.Keys = nil
	}
	if os.Geteuid() != 0 && errors.Is(p.SignerErr, syscall.EACCES) {
		return usageError{p.SignerErr} // all that follows would be about this user, and not about the agent
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return err
	}
	for _, s := range sources(c, zone) {
		found, _ := findSeries(ctx, s, time.Now()) // what cannot be read is a finding of its own
		for _, series := range found {
			p.Need += series.newest().size
		}
	}
	return nil
}

func hasTarget(c *configs.Config, name string) bool {
	for _, t := range c.Targets {
		if t.Name == name {
			return true
		}
	}
	return false
}
