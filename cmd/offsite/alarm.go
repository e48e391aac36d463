package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"offsite/agent/alarm"
	"offsite/agent/status"
	"offsite/cmd/offsite/notify"
	"offsite/configs"
)

// errUntold is errPartly for alarms.
var errUntold error = partly("not every way out of alarms works")

func alarmCommand(config *string, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "alarm", Short: "Try the ways out of alarms", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("write `offsite alarm test`, to send a test by every way out of alarms, or `offsite alarm test WAY`")}
		},
	}
	cmd.AddCommand(alarmTestCommand(config, std))
	return cmd
}

func alarmTestCommand(config *string, std streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test [WAY]", Short: "Send a test by every way out of alarms, or by one", Args: usage(cobra.MaximumNArgs(1)),
		Long: `Sends a test by every way under alarms: ways: in the configuration, or by the one that is named, whatever its level, and says
which work. Pings are left alone: a test would tell their watcher that all is well. A file without a path means systemd's
credentials directory; as root, outside of the service, name it: CREDENTIALS_DIRECTORY=/etc/offsite offsite alarm test.

Exit 0 if every way works, 3 if some do, 1 if none does, 4 if there is no such way.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadToRead(*config)
			if err != nil {
				return err
			}
			wanted, err := waysNamed(c, args)
			if err != nil {
				return err
			}
			tried := tryWays(cmd.Context(), wanted, testMessage(c.Host, time.Now()))
			if cmd.Context().Err() != nil {
				return cmd.Context().Err()
			}
			if err := printTried(tried, asJSON, std); err != nil {
				return err
			}
			return triedOutcome(tried)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// waysNamed is the way of that name, or all.
func waysNamed(c *configs.Config, names []string) (wanted []alarm.Way, err error) {
	all := ways(c, time.Now)
	if len(all) == 0 {
		return nil, usageError{errNoWays}
	}
	var there []string
	for _, w := range all {
		there = append(there, w.Name())
		if len(names) == 0 || names[0] == w.Name() {
			wanted = append(wanted, w)
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("way %q: %w in the configuration, which has %s", names[0], errNotFound, strings.Join(there, ", "))
	}
	return wanted, nil
}

func testMessage(host string, now time.Time) alarm.Message {
	return alarm.Message{Host: host, At: now, Notices: []alarm.Notice{{State: alarm.Begun, Alarm: status.Alarm{
		Key: "test", Kind: status.KindTest, Level: status.OK, Since: now,
		Text: "this is a test of offsite on " + host + "; alarms come this way",
	}}}}
}

// triedWay is what became of a test.
type triedWay struct {
	Way   string `json:"way"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// tryWays sends by all at once; each has a time limit of its own.
func tryWays(ctx context.Context, all []alarm.Way, m alarm.Message) []triedWay {
	tried := make([]triedWay, len(all))
	var group sync.WaitGroup
	for i, w := range all {
		group.Go(func() {
			tried[i] = triedWay{Way: w.Name(), OK: true}
			if err := w.Send(ctx, m); err != nil {
				tried[i] = triedWay{Way: w.Name(), Error: err.Error()}
			}
		})
	}
	group.Wait()
	return tried
}

func printTried(tried []triedWay, asJSON bool, std streams) error {
	if asJSON {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(tried)
	}
	for _, t := range tried {
		line := t.Way + ": ok"
		if !t.OK {
			line = t.Way + ": FAILED: " + notify.Line(t.Error)
		}
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	return nil
}

func triedOutcome(tried []triedWay) error {
	failed := 0
	for _, t := range tried {
		if !t.OK {
			failed++
		}
	}
	switch {
	case failed == 0:
		return nil
	case failed < len(tried):
		return errUntold
	case failed == 1:
		return errors.New("the test was not sent")
	}
	return errors.New("no way out of alarms works")
}
