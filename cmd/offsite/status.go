package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"offsite/agent"
	"offsite/agent/status"
	"offsite/configs"
)

func statusCommand(config *string, std streams) *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Say whether everything is safe", Args: usage(cobra.NoArgs),
		Long: `Shows what is wrong, and each series: its last dump, since when it is offsite on each target, when the next is due, and how its
size has gone. The running agent is asked by its socket, which root and the group offsite may use; without one the journal
is read. --watch goes on showing, with the transfers, until Ctrl-C. Exit 1 if something is a problem.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadToRead(*config)
			if err != nil {
				return err
			}
			if watch && !asJSON {
				return watchStatus(cmd.Context(), c, std)
			}
			h, err := hostStatus(cmd.Context(), c, std.err)
			if err != nil {
				return err
			}
			if err := printStatus(h, asJSON, std.out); err != nil {
				return err
			}
			if h.Level == status.Problem {
				return errProblems
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing until Ctrl-C")
	return cmd
}

// errProblems: the status shows what is wrong.
var errProblems = errors.New("something needs somebody to look, see above")

// hostStatus asks the running agent, or reads the journal if none runs.
func hostStatus(ctx context.Context, c *configs.Config, log io.Writer) (*status.Host, error) {
	o, err := readOptions(c, log)
	if err != nil {
		return nil, err
	}
	h := &status.Host{}
	a, err := agent.OpenToRead(o)
	switch {
	case errors.Is(err, agent.ErrRunning):
		if err := ask(ctx, c, http.MethodGet, "/status", nil, h); err != nil {
			return nil, err
		}
		if h.Host != c.Host {
			return nil, fmt.Errorf("at %s the agent of another host answers, %s: give each a socket of its own by `socket` in the configuration", socketPath(c), h.Host)
		}
		return h, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no agent has run on this host yet (%w): start it, or try `offsite agent --once`", errNotFound)
	case errors.Is(err, fs.ErrPermission): // perhaps one runs that may be asked
		if asked := ask(ctx, c, http.MethodGet, "/status", nil, h); asked == nil {
			return h, nil
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	h, err = a.Status()
	return h, errors.Join(err, a.Close())
}

// watchStatus shows the status again and again, over what it showed before on a terminal, and one after the other elsewhere.
func watchStatus(ctx context.Context, c *configs.Config, std streams) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, isFile := std.out.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	for {
		h, err := hostStatus(ctx, c, std.err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		var text strings.Builder
		if err := printStatus(h, false, &text); err != nil {
			return err
		}
		out := text.String()
		if terminal { // home, each line cleared to its end, and what is below
			out = "\x1b[H" + strings.ReplaceAll(out, "\n", "\x1b[K\n") + "\x1b[J"
		}
		if _, err := io.WriteString(std.out, out); err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
