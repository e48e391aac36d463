package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/agent/vault"
	"offsite/configs"
)

// repairJournal is begun anew with each repair: what the targets hold is to be asked, not remembered.
const repairJournal = "repair.db"

func repairCommand(config *string, std streams) *cobra.Command {
	var o agent.RepairOptions
	var level string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "repair", Short: "Make every copy of each backup whole again", Args: usage(cobra.NoArgs),
		Long: `Looks at all copies of each backup. What a target lacks, though its policy would keep it, or holds damaged is copied from
a target whose copy verifies: ciphertext, no key is needed. Where no target has it whole and the dump is still on this host,
that is sealed anew. A copy that verifies is never written over; a damaged one is kept aside where the target can. --level
hash downloads every copy and compares each block; head looks at manifests and sizes only. Works while the agent runs.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Level = vault.Level(level); o.Level != vault.Head && o.Level != vault.Hash {
				return usageError{fmt.Errorf("--level %q: write head or hash", level)}
			}
			c, err := loadConfig(*config)
			if err != nil {
				return err
			}
			options, err := agentOptions(c, std.err)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTargets(options.Targets)) }()
			if !slices.ContainsFunc(options.Targets, func(t agent.Target) bool { return o.Target == "" || t.Name == o.Target }) {
				return fmt.Errorf("target %q: %w in the configuration", o.Target, errNotFound)
			}
			defer lookAgain(cmd.Context(), c, nil)
			o.Owed = func(ctx context.Context) (map[string]int, error) { return owed(ctx, c) }
			return repairing(cmd.Context(), options, o, asJSON, std)
		},
	}
	f := cmd.Flags()
	f.StringVar(&level, "level", "hash", "head or hash")
	f.StringVar(&o.Target, "target", "", "only what this target lacks or holds damaged")
	f.StringVar(&o.Series, "series", "", "only this series")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what is wrong and change nothing")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// owed is how many dumps the host's agent still owes each target.
func owed(ctx context.Context, c *configs.Config) (map[string]int, error) {
	h, err := hostStatus(ctx, c, io.Discard)
	if err != nil {
		return nil, err
	}
	all := map[string]int{}
	for _, t := range h.Targets {
		all[t.Name] = t.Owed
	}
	return all, nil
}

func repairing(ctx context.Context, options agent.Options, o agent.RepairOptions, asJSON bool, std streams) (err error) {
	options.Journal, options.Afresh = repairJournal, true
	a, err := agent.New(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if !asJSON {
		o.Told = func(r agent.Repaired) {
			if r.Done != "" {
				fmt.Fprintf(std.err, "%s: %s: %s\n", r.Target, fileName(r.Object), printable(r.Done))
			}
		}
	}
	left := unrepaired{}
	o.Coming, o.Bare = func(n int) { left.coming = n }, func(n int) { left.bare = n }
	all, err := a.Repair(ctx, o)
	if printErr := printRepaired(all, asJSON, std); printErr != nil {
		return errors.Join(err, printErr)
	}
	left.say(std)
	return repairOutcome(all, err, left, o.DryRun, std)
}

// unrepaired is what a repair or verification leaves alone.
type unrepaired struct{ coming, bare int }

func (u unrepaired) say(std streams) {
	if u.coming > 0 {
		fmt.Fprintf(std.err, "%d copies are missing and taken to be on their way, since their dumps are less than a day old; `offsite status` shows what is still owed\n", u.coming)
	}
	if u.bare > 0 {
		fmt.Fprintf(std.err, "%d objects have data and no manifest on any target: they are unfinished uploads, or their manifests were lost\n", u.bare)
	}
}

// repairedJSON is one Repaired as --json prints it.
type repairedJSON struct {
	Target  string    `json:"target"`
	Series  string    `json:"series"`
	Taken   time.Time `json:"taken"`
	Object  string    `json:"object"`
	Problem string    `json:"problem"`
	Done    string    `json:"done,omitempty"`
	Error   string    `json:"error,omitempty"`
}

func printRepaired(all []agent.Repaired, asJSON bool, std streams) error {
	if asJSON {
		list := []repairedJSON{}
		for _, r := range all {
			j := repairedJSON{Target: r.Target, Series: r.Series, Taken: r.Taken, Object: r.Object, Problem: r.Problem, Done: r.Done}
			if r.Err != nil {
				j.Error = r.Err.Error()
			}
			list = append(list, j)
		}
		return writeJSON(std.out, list)
	}
	if len(all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tSERIES\tTAKEN\tFILE\tPROBLEM\tDONE")
	for _, r := range all {
		done := r.Done
		if r.Err != nil {
			done = strings.TrimPrefix(done+"; NOT REPAIRED: "+r.Err.Error(), "; ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Target, printable(r.Series), r.Taken.Format(time.RFC3339), fileName(r.Object), printable(strings.TrimPrefix(r.Problem, r.Object+": ")), printable(done))
	}
	return w.Flush()
}

// repairOutcome sums up for people, and is the error that it deserves.
func repairOutcome(all []agent.Repaired, err error, rest unrepaired, dry bool, std streams) error {
	done, left := 0, 0
	for _, r := range all {
		if r.Err == nil && (r.Done != "" || dry) {
			done++
		} else {
			left++
		}
	}
	switch {
	case len(all) == 0 && err == nil && rest == (unrepaired{}):
		fmt.Fprintln(std.err, "every copy is whole, and no target lacks what its policy keeps")
	case dry:
		fmt.Fprintf(std.err, "%d copies could be repaired, %d could not; nothing was changed\n", done, left)
	default:
		fmt.Fprintf(std.err, "%d copies repaired, %d not\n", done, left)
	}
	if dry {
		left += done
	}
	switch {
	case left > 0:
		return errors.Join(fmt.Errorf("%w: %d copies are not as they should be", vault.ErrIntegrity, left), err)
	case err != nil:
		return fmt.Errorf("%w\n%w", errUnrepaired, err)
	}
	return nil
}
