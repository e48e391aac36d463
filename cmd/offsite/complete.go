package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"offsite/agent/dump"
	"offsite/agent/status"
	"offsite/configs"
)

// completeWithin is how long somebody who pressed a key may wait for names.
const completeWithin = 2 * time.Second

// completion is what a shell may offer for an argument.
type completion = cobra.CompletionFunc

// addCompletions says what the arguments and flags of the commands are, so that shells offer their names. They come from the running agent,
// or the journal, and the configuration; no target is asked. Who may not read these is offered nothing.
func addCompletions(root *cobra.Command, config *string) {
	known := func(pick func(*configs.Config, *status.Host) []string) completion {
		return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return offered(cmd.Context(), *config, len(args) > 0, pick)
		}
	}
	arguments := map[string]completion{
		"list": known(seriesNames), "restore": known(restorable), "accept": known(acceptable), "drill": known(drillNames), "alarm test": known(wayNames),
		"push": cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	flags := map[string]completion{"target": known(targetNamesOf), "series": known(seriesNames)}
	levels := map[string][]string{"verify": {"head", "hash", "decrypt"}, "repair": {"head", "hash"}}
	var add func(*cobra.Command)
	add = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		cmd.ValidArgsFunction = cobra.NoFileCompletions
		if f, ok := arguments[path]; ok {
			cmd.ValidArgsFunction = f
		}
		for name, f := range flags {
			if cmd.Flags().Lookup(name) != nil && path != "init" { // which asks for places
				cobra.CheckErr(cmd.RegisterFlagCompletionFunc(name, f))
			}
		}
		if all, ok := levels[path]; ok {
			cobra.CheckErr(cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)))
		}
		for _, c := range cmd.Commands() {
			add(c)
		}
	}
	for _, c := range root.Commands() {
		add(c)
	}
}

// offered gives the names that pick finds. Nothing is said of what fails: somebody is typing a line, and the command itself will tell.
func offered(ctx context.Context, config string, had bool, pick func(*configs.Config, *status.Host) []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const only = cobra.ShellCompDirectiveNoFileComp
	if had { // each of these commands takes one
		return nil, only
	}
	c, err := loadToRead(config)
	if err != nil {
		return nil, only
	}
	ctx, stop := context.WithTimeout(ctx, completeWithin)
	defer stop()
	h, err := hostStatus(ctx, c, io.Discard)
	if err != nil {
		h = &status.Host{}
	}
	names := slices.DeleteFunc(pick(c, h), func(name string) bool { return printable(name) != name })
	slices.Sort(names)
	return slices.Compact(names), only
}

func seriesNames(c *configs.Config, h *status.Host) (names []string) {
	for _, s := range h.Series {
		names = append(names, s.Name)
	}
	return append(names, c.ExpectedSeries()...)
}

// restorable are the series, and the newest dump of each.
func restorable(c *configs.Config, h *status.Host) []string {
	names := seriesNames(c, h)
	for _, s := range h.Series {
		if s.Last != nil {
			names = append(names, s.Last.Name)
		}
	}
	return names
}

// acceptable are the newest dumps that are suspect.
func acceptable(_ *configs.Config, h *status.Host) (names []string) {
	for _, s := range h.Series {
		if s.Last != nil && s.Last.Health == dump.Suspect {
			names = append(names, s.Last.Name)
		}
	}
	return names
}

func targetNamesOf(c *configs.Config, _ *status.Host) (names []string) {
	for _, t := range c.Targets {
		names = append(names, t.Name)
	}
	return names
}

func drillNames(c *configs.Config, _ *status.Host) (names []string) {
	for _, d := range c.Drills {
		names = append(names, d.Name)
	}
	return names
}

func wayNames(c *configs.Config, _ *status.Host) (names []string) {
	for _, w := range c.Alarms.Ways {
		names = append(names, w.Name)
	}
	return names
}
