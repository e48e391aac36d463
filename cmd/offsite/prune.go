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

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/agent/vault"
)

// pruneJournal is that of commands that work while the agent, which has its own open, runs.
const pruneJournal = "prune.db"

func pruneCommand(config *string, std streams) *cobra.Command {
	var target, series string
	var confirm, asJSON bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Show what retention keeps and removes, and remove it with --confirm", Args: usage(cobra.NoArgs),
		Long: `Prints what stays and why, what goes and why, and what that frees. Nothing is removed without --confirm, which also
carries out plans that are held for a person. The agent removes by itself what is not held, on targets whose retention
is enforce; here the mode does not matter. Works while the agent runs.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := loadConfig(*config)
			if err != nil {
				return err
			}
			if confirm {
				defer lookAgain(cmd.Context(), c, nil)
			}
			return withAgent(c, std.err, besideTheAgent, func(a *agent.Agent) error {
				p := pruning{a, target, series}
				return p.run(cmd.Context(), confirm, asJSON, std)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&target, "target", "", "only on this target")
	f.StringVar(&series, "series", "", "only this series")
	f.BoolVar(&confirm, "confirm", false, "remove what the plan says")
	f.BoolVar(&asJSON, "json", false, "print the plans as a JSON array")
	return cmd
}

// pruning is one prune.
type pruning struct {
	agent          *agent.Agent
	target, series string
}

func (p *pruning) run(ctx context.Context, confirm, asJSON bool, std streams) error {
	plans, planErr := p.agent.Plans(ctx, p.target, p.series)
	if planErr == nil && len(plans) == 0 {
		return p.nothing()
	}
	if asJSON {
		if err := writePlansJSON(std.out, plans); err != nil {
			return err
		}
	} else {
		writePlans(std.out, plans)
	}
	var failed []error
	if confirm {
		failed = p.carry(ctx, plans, std)
	} else if goes(plans) > 0 {
		fmt.Fprintln(std.err, "nothing was removed; --confirm removes what is listed under \"goes\"")
	}
	p.tellHidden(ctx, plans, std)
	err := errors.Join(append(failed, planErr)...)
	if err != nil && len(plans) > 0 && ctx.Err() == nil {
		return fmt.Errorf("%w\n%w", errPartly, err)
	}
	return err
}

// nothing says why there is no plan.
func (p *pruning) nothing() error {
	var names []string
	for _, t := range p.agent.Targets {
		names = append(names, t.Name)
	}
	switch {
	case p.target != "" && !slices.Contains(names, p.target):
		return fmt.Errorf("target %q: %w in the configuration; there are %s", p.target, errNotFound, strings.Join(names, ", "))
	case p.series != "":
		return fmt.Errorf("series %q: there is no backup of it (%w); `offsite list` shows what there is", p.series, errNotFound)
	}
	return fmt.Errorf("there is no backup of host %s (%w)", p.agent.Host, errNotFound)
}

func goes(plans []agent.SeriesPlan) (n int) {
	for _, p := range plans {
		n += len(p.Remove)
	}
	return n
}

// tellHidden says what the buckets of the plans keep, unseen and billed.
func (p *pruning) tellHidden(ctx context.Context, plans []agent.SeriesPlan, std streams) {
	asked := map[string]bool{}
	for _, plan := range plans {
		if asked[plan.Target] {
			continue
		}
		asked[plan.Target] = true
		h, err := p.agent.Hidden(ctx, plan.Target)
		switch {
		case err != nil:
			fmt.Fprintf(std.err, "%s: cannot see what the bucket hides: %s\n", plan.Target, harmless(err.Error()))
		case h.Versions > 0:
			fmt.Fprintf(std.err, "%s: the bucket hides %d old versions, %s, which are still billed; `versions: delete` removes them with the backups, a lifecycle rule of the bucket later\n", plan.Target, h.Versions, humanize.IBytes(uint64(h.Bytes)))
		}
	}
}

// carry removes what the plans say.
func (p *pruning) carry(ctx context.Context, plans []agent.SeriesPlan, std streams) (failed []error) {
	for _, plan := range plans {
		removed, err := p.agent.Carry(ctx, plan)
		if removed > 0 {
			fmt.Fprintf(std.err, "%s: %s: removed %d backups\n", plan.Target, printable(plan.Series), removed)
		}
		if left := len(plan.Remove) - removed; err == nil && left > 0 {
			fmt.Fprintf(std.err, "%s: %s: the target keeps %d that were to go: it does not allow their removal\n", plan.Target, printable(plan.Series), left)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", plan.Target, err))
			if ctx.Err() != nil {
				return failed
			}
		}
	}
	return failed
}

// writePlans prints a table for each series on each target.
func writePlans(out io.Writer, plans []agent.SeriesPlan) {
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s: %s: %d stay, %d go, which frees %s\n", p.Target, printable(p.Series), len(p.Keep), len(p.Remove), humanize.IBytes(uint64(p.Frees())))
		if p.Held != "" {
			fmt.Fprintf(out, "HELD until a person confirms: %s\n", printable(p.Held))
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		row := func(what string, d retention.Decision) {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", what, d.Taken.Format(time.RFC3339), humanize.IBytes(uint64(d.Stored)), fileName(d.Object), printable(strings.Join(d.Reasons, ", ")))
		}
		for _, d := range p.Keep {
			row("stays", d)
		}
		for _, d := range p.Remove {
			row("goes", d)
		}
		w.Flush()
	}
}

// fileName is the dump's name in an object's.
func fileName(object string) string {
	n, err := vault.Parse(object)
	if err != nil {
		return printable(object)
	}
	return printable(n.File)
}

// The plans as --json prints them.
type (
	planJSON struct {
		Target string       `json:"target"`
		Series string       `json:"series"`
		Keep   []keptJSON   `json:"keep"`
		Remove []removeJSON `json:"remove"`
		Held   string       `json:"held"`
	}
	keptJSON struct {
		Object  string    `json:"object"`
		Taken   time.Time `json:"taken"`
		Reasons []string  `json:"reasons"`
	}
	removeJSON struct {
		Object string    `json:"object"`
		Taken  time.Time `json:"taken"`
		Reason string    `json:"reason"`
	}
)

func writePlansJSON(out io.Writer, plans []agent.SeriesPlan) error {
	all := []planJSON{}
	for _, p := range plans {
		j := planJSON{Target: p.Target, Series: p.Series, Keep: []keptJSON{}, Remove: []removeJSON{}, Held: p.Held}
		for _, d := range p.Keep {
			j.Keep = append(j.Keep, keptJSON{d.Object, d.Taken, d.Reasons})
		}
		for _, d := range p.Remove {
			j.Remove = append(j.Remove, removeJSON{d.Object, d.Taken, strings.Join(d.Reasons, ", ")})
		}
		all = append(all, j)
	}
	return writeJSON(out, all)
}
