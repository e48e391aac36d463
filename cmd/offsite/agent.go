package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"offsite/agent"
)

func agentCommand(config *string, std streams) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "agent", Short: "Watch and ship until stopped; --once ships what is due, then exits", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := loadConfig(*config)
			if err != nil {
				return err
			}
			o, err := agentOptions(c, std.err)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTargets(o.Targets)) }()
			a, err := agent.New(o)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			if !once {
				o.Log.Info("watching", "version", version, "directories", len(o.Sources), "targets", len(o.Targets))
				return serving(cmd.Context(), c, *config, a, o.Log)
			}
			s, err := shipOnce(cmd.Context(), c, a, o.Log)
			summarise(s, std)
			return errors.Join(err, outcome(s))
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "ship what is due, then exit")
	return cmd
}

// summarise says for people what a run did.
func summarise(s agent.Summary, std streams) {
	for _, r := range s.Targets {
		fmt.Fprintf(std.err, "%s: %d delivered", r.Target, r.Delivered)
		if r.Declined > 0 {
			fmt.Fprintf(std.err, ", %d old ones not shipped since retention would remove them", r.Declined)
		}
		if r.Failed > 0 {
			fmt.Fprintf(std.err, ", %d still owed", r.Failed)
		}
		if r.Lost > 0 {
			fmt.Fprintf(std.err, ", %d changed or went away before they were delivered", r.Lost)
		}
		if r.Gone > 0 {
			fmt.Fprintf(std.err, ", %d BACKUPS ARE GONE from it and no retention of ours removed them", r.Gone)
		}
		if r.Unpruned != nil {
			fmt.Fprintf(std.err, ", retention failed: %s", harmless(r.Unpruned.Error()))
		}
		if r.Err != nil && (r.Failed > 0 || r.Lost > 0) {
			fmt.Fprintf(std.err, " (%s)", harmless(r.Err.Error()))
		}
		fmt.Fprintln(std.err)
	}
	for _, u := range s.Suspect {
		fmt.Fprintf(std.err, "SUSPECT, shipped all the same: %s\n", printable(u))
	}
	for _, u := range s.Unshipped {
		fmt.Fprintf(std.err, "NOT SHIPPED, and will not be until somebody looks: %s\n", printable(u))
	}
	for _, u := range s.Unfinished {
		fmt.Fprintf(std.err, "not finished, left for the next run: %s\n", printable(u))
	}
}
