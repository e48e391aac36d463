package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"offsite/agent"
)

func agentCommand(config *string, std streams) *cobra.Command {
	var once, check bool
	cmd := &cobra.Command{
		Use: "agent", Short: "Watch and ship until stopped; --once ships what is due, then exits", Args: usage(cobra.NoArgs),
		Long: `Watches and ships until it is stopped. SIGHUP makes it read the configuration again: if that is wrong it says so, and goes on with
the one of before. (In a terminal SIGHUP ends it, as it ends every command.)`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s := &service{config: *config, std: std, log: slog.New(slog.NewTextHandler(std.err, nil)), sandboxed: os.Getenv(sandboxVariable) != ""}
			if check {
				return s.check()
			}
			if !once {
				s.given = takeGiven()
				return runService(cmd.Context(), s)
			}
			c, err := loadConfig(*config)
			if err != nil {
				return err
			}
			return withAgent(c, std.err, func(*agent.Options) {}, func(a *agent.Agent) error {
				summary, err := shipOnce(cmd.Context(), c, a, a.Log)
				summarise(summary, std)
				return errors.Join(err, outcome(summary))
			})
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "ship what is due, then exit")
	cmd.Flags().BoolVar(&check, "check", false, "only look whether the configuration is right")
	cmd.MarkFlagsMutuallyExclusive("once", "check")
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
