package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent"
	"offsite/configs"
)

// listNotKept prints the dumps that retention kept from being shipped. While the agent runs it is asked.
func listNotKept(ctx context.Context, config string, args []string, asJSON bool, std streams) error {
	c, err := loadToRead(config)
	if err != nil {
		return err
	}
	all, err := notKept(ctx, c, std)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		all = slices.DeleteFunc(all, func(n agent.NotKept) bool { return n.Series != args[0] })
	}
	if asJSON {
		return writeJSON(std.out, append([]agent.NotKept{}, all...))
	}
	if len(all) == 0 {
		fmt.Fprintln(std.err, "no dump was kept from any target by its retention")
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tSERIES\tTAKEN\tSIZE\tFILE\tWOULD BE REMOVED BY")
	for _, n := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", n.Target, printable(n.Series), n.Taken.UTC().Format(time.RFC3339), humanize.IBytes(uint64(n.Size)), printable(n.Path), n.Policy)
	}
	return w.Flush()
}

func notKept(ctx context.Context, c *configs.Config, std streams) (all []agent.NotKept, err error) {
	o, err := readOptions(c, std.err)
	if err != nil {
		return nil, err
	}
	a, err := agent.OpenToRead(o)
	switch {
	case errors.Is(err, agent.ErrRunning):
		return all, ask(ctx, c, http.MethodGet, "/not-kept", nil, &all)
	case errors.Is(err, fs.ErrNotExist): // no agent has ever run
		return nil, nil
	case err != nil:
		return nil, err
	}
	all, err = a.NotKept()
	return all, errors.Join(err, a.Close())
}
