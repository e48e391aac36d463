package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/agent/fleet"
	"offsite/agent/status"
	"offsite/agent/vault"
)

func fleetCommand(config *string, std streams) *cobra.Command {
	var where bare
	var asJSON, bySeries bool
	cmd := &cobra.Command{
		Use: "fleet", Short: "Show what a target holds of all hosts", Args: usage(cobra.NoArgs),
		Long: `Reads what all hosts have brought to one target, and shows the worst first: whose backups are overdue, suspect, damaged, or signed by
a key that is not trusted. It lists the target once, and reads the newest manifests of each series; keys that may list and read are
enough, and nothing is written. The hosts' verifier keys stand under trust in the configuration, or come with --trust.

When the next backup of a series is due is learnt from the times of those before it; it takes three.

Exit status: 0 nothing is worse than a warning, 1 something is overdue or suspect, or the target cannot be read, 3 not all of it could be read,
4 there is no such host, 5 something is damaged or signed by a key that is not trusted.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if _, err := path.Match(where.host, ""); err != nil {
				return usageError{fmt.Errorf("--host %q: write a name, or a pattern such as \"db-*\"", where.host)}
			}
			o, err := where.open(*config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.Close()) }()
			if len(o.targets) > 1 {
				return usageError{fmt.Errorf("name one target with --target: %s", targetNames(o.targets))}
			}
			f, failed := readFleet(cmd.Context(), o, where.host)
			if f == nil || len(f.Hosts) == 0 && failed != nil {
				return failed
			}
			if err := printFleet(f, bySeries, asJSON, std); err != nil {
				return err
			}
			return fleetOutcome(f, where.host, failed)
		},
	}
	where.flags(cmd)
	f := cmd.Flags()
	f.Lookup("host").Usage = "only hosts of this name, or that match this pattern, such as \"db-*\""
	f.Lookup("target").Usage = "the target to look at; needed if the configuration has several"
	f.BoolVar(&bySeries, "series", false, "a line for each series instead of each host")
	f.BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func targetNames(targets []agent.Target) string {
	var names []string
	for _, t := range targets {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

func readFleet(ctx context.Context, o *opened, pattern string) (*status.Fleet, error) {
	options := fleet.Options{Target: o.targets[0].Target, Name: o.targets[0].Name, Keys: o.keys, Now: time.Now()}
	if pattern != "" {
		options.Prefix = fleet.Literal(pattern)
		options.Match = func(host string) bool {
			match, _ := path.Match(pattern, host) // the pattern was tried before
			return match
		}
	}
	f, err := fleet.Read(ctx, options)
	if err != nil {
		err = fmt.Errorf("%s: %w", options.Name, err)
	}
	return f, err
}

func printFleet(f *status.Fleet, bySeries, asJSON bool, std streams) error {
	if asJSON {
		if err := writeJSON(std.out, f); err != nil {
			return err
		}
	} else if err := fleetTable(f, bySeries, std); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "%s: %s, %d series, %d backups, %s; %d overdue, %d suspect, %d damaged or not trusted\n", f.Target,
		many(len(f.Hosts), "host"), f.Series, f.Backups, humanize.IBytes(uint64(f.Stored)), f.Overdue, f.Suspect, f.Unsound)
	if f.Strange > 0 {
		fmt.Fprintf(std.err, "%s there that offsite did not name\n", many(f.Strange, "object"))
	}
	if !f.Checked {
		fmt.Fprintln(std.err, "warning: who signed was not checked; --trust KEY checks it")
	}
	return nil
}

func fleetTable(f *status.Fleet, bySeries bool, std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	if bySeries {
		fmt.Fprintln(w, "HOST\tSERIES\tSTATE\tNEWEST\tDUE\tBACKUPS\tSTORED\tWHAT IS WRONG")
	} else {
		fmt.Fprintln(w, "HOST\tSTATE\tSERIES\tNEWEST\tBACKUPS\tSTORED\tWHAT IS WRONG")
	}
	for _, h := range f.Hosts {
		if !bySeries {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\n", printable(h.Host), h.Level, len(h.Series), howOld(f.At, h.Newest), h.Backups, humanize.IBytes(uint64(h.Stored)), wrongWithHost(h))
			continue
		}
		for _, s := range h.Series {
			due := "-"
			if !s.Due.IsZero() {
				due = s.Due.Format("2006-01-02 15:04")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", printable(h.Host), printable(s.Name), s.Level, howOld(f.At, s.Newest), due, s.Backups, humanize.IBytes(uint64(s.Stored)), printable(strings.Join(s.Problems, "; ")))
		}
	}
	return w.Flush()
}

// wrongWithHost is a line: the worst of the first series, and how many more there are.
func wrongWithHost(h status.FleetHost) string {
	const shown = 2
	var all []string
	if len(h.Shared) > 0 {
		all = append(all, "its key signs for "+shortened(h.Shared, shown)+" too")
	}
	for _, s := range h.Series {
		if len(s.Problems) > 0 {
			all = append(all, s.Name+": "+s.Problems[0])
		}
	}
	if more := len(all) - shown; more > 0 {
		all = append(all[:shown], fmt.Sprintf("%d more, see --series", more))
	}
	return printable(strings.Join(all, "; "))
}

func shortened(names []string, shown int) string {
	if more := len(names) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), more)
	}
	return strings.Join(names, ", ")
}

// howOld is how old something is, in one unit.
func howOld(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return "-"
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", max(0, int(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// fleetOutcome is the error that it deserves: damage counts more than what could not be read, and that more than what is late.
func fleetOutcome(f *status.Fleet, pattern string, failed error) error {
	switch {
	case f.Unsound > 0:
		return errors.Join(fmt.Errorf("%w: backups of %d series are damaged, or signed by keys that are not trusted here", vault.ErrIntegrity, f.Unsound), failed)
	case failed != nil:
		return fmt.Errorf("%w\n%w", errUnlisted, failed)
	case len(f.Hosts) == 0:
		return fmt.Errorf("hosts %q: %w on %s", cmp.Or(pattern, "*"), errNotFound, f.Target)
	case f.Overdue+f.Suspect > 0:
		return fmt.Errorf("%d of %d series overdue, %d with a suspect newest backup", f.Overdue, f.Series, f.Suspect)
	}
	return nil
}
