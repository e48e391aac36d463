package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/configs"
)

func acceptCommand(config *string, std streams) *cobra.Command {
	return &cobra.Command{
		Use: "accept NAME", Short: "Say that a suspect dump is fine, or that the loss of a backup is known", Args: usage(cobra.ExactArgs(1)),
		Long: `A dump that is cut off, empty, or of an odd size is suspect: it is shipped all the same, and counts for nothing in
retention. Where that was a false alarm, accept signs its manifest anew on every target: it counts as healthy from then
on, and the sizes of later dumps are compared with its size. A backup that somebody else has removed from a target is
not missed any more. NAME is the dump's file name or its object's name.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadToRead(*config)
			if err != nil {
				return err
			}
			defer lookAgain(cmd.Context(), c, nil)
			return withAgent(c, std.err, besideTheAgent, func(a *agent.Agent) error { return accept(cmd.Context(), a, c, args[0], std) })
		},
	}
}

// accept says that the suspect backups of that name are fine, or, where there is none, that the loss of one is known.
func accept(ctx context.Context, a *agent.Agent, c *configs.Config, name string, std streams) error {
	all, err := a.Accept(ctx, name)
	err = errors.Join(err, tellJournal(c, all, std))
	for _, one := range all {
		fmt.Fprintf(std.out, "%s: %s counts as healthy now (it was suspect: %s)\n", one.Target, printable(one.Object), printable(one.Reason))
	}
	switch {
	case err != nil && len(all) > 0:
		return fmt.Errorf("%w\n%w", errUnaccepted, err)
	case err == nil && len(all) == 0:
		return acceptLoss(ctx, c, name, std)
	}
	return err
}

// tellJournal takes what was accepted into the journal of an agent that does not run, so that a target which gets the dump later is told
// so. One that runs sees it when it looks again.
func tellJournal(c *configs.Config, all []agent.Accepted, std streams) (err error) {
	o, err := readOptions(c, std.err)
	if err != nil {
		return err
	}
	a, err := agent.OpenToRead(o)
	if errors.Is(err, agent.ErrRunning) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	for _, one := range all {
		if err := a.HearAccepted(one.Object, one.Health); err != nil {
			return err
		}
	}
	return nil
}

// acceptLoss settles that backups of that name, which somebody else has removed, are not missed any more.
func acceptLoss(ctx context.Context, c *configs.Config, name string, std streams) error {
	o, err := readOptions(c, std.err)
	if err != nil {
		return err
	}
	var all []agent.Accepted
	a, err := agent.OpenToRead(o)
	switch {
	case errors.Is(err, agent.ErrRunning):
		err = ask(ctx, c, http.MethodPost, "/accept-loss", name, &all)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err == nil:
		all, err = a.AcceptLoss(name)
		err = errors.Join(err, a.Close())
	}
	for _, one := range all {
		fmt.Fprintf(std.out, "%s: %s is not missed any more\n", one.Target, printable(one.Object))
	}
	if err == nil && len(all) == 0 {
		return fmt.Errorf("no backup that is suspect or gone is called %q (%w); `offsite list` shows which are suspect, `offsite status` which are gone", name, errNotFound)
	}
	return err
}
