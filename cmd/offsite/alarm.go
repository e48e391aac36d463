package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
		Use: "alarm", Short: "Try the ways out of alarms, or tell that a unit has failed", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("write `offsite alarm test`, to send a test by every way out of alarms, or `offsite alarm test WAY`")}
		},
	}
	cmd.AddCommand(alarmTestCommand(config, std), alarmFailedCommand(config, std))
	return cmd
}

func alarmTestCommand(config *string, std streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test [WAY]", Short: "Send a test by every way out of alarms, or by one", Args: usage(cobra.MaximumNArgs(1)),
		Long: `Sends a test by every way under alarms: ways: in the configuration, or by the one that is named, whatever its level, and says
which work. Pings are left alone: a test would tell their watcher that all is well. A file without a path means systemd's
credentials directory; outside of the service, that is /etc/offsite/credentials or what $CREDENTIALS_DIRECTORY names.

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
			tried, err := tryWays(cmd.Context(), wanted, testMessage(c.Host, time.Now()), func(t triedWay) error {
				if asJSON {
					return nil
				}
				_, err := fmt.Fprintln(std.out, t)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(std.out, tried); err != nil {
					return err
				}
			}
			return triedOutcome(tried)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func alarmFailedCommand(config *string, std streams) *cobra.Command {
	return &cobra.Command{
		Use: "failed UNIT", Short: "Tell by every way that a unit of systemd has failed", Args: usage(cobra.ExactArgs(1)),
		Long: `Tells by every way under alarms: ways: in the configuration that a unit of systemd has failed; offsite-alarm@.service calls it, for
OnFailure= of the agent and of drills. How it failed is taken from the environment in which systemd starts it. It works as long as these
ways can be read, whatever else is wrong in the configuration.

Exit 0 if every way works, 3 if some do, 1 if none does.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			host, way, err := configs.LoadAlarms(*config, configChecks())
			if err != nil {
				return usageError{err}
			}
			if host == "" {
				if host, err = os.Hostname(); err != nil {
					return err
				}
			}
			wanted := ways(way, time.Now)
			m := failedMessage(host, args[0], os.Getenv("MONITOR_SERVICE_RESULT"), os.Getenv("MONITOR_EXIT_STATUS"), time.Now())
			tried, err := tryWays(cmd.Context(), wanted, m, func(t triedWay) error {
				_, err := fmt.Fprintln(std.out, t)
				return err
			})
			if err != nil {
				return err
			}
			return triedOutcome(tried)
		},
	}
}

// agentUnit is the unit of the agent.
const agentUnit = "offsite.service"

// failedMessage tells that systemd has given up a unit. result and status are systemd's (systemd.exec(5), MONITOR_SERVICE_RESULT); empty:
// it did not say.
func failedMessage(host, unit, result, exit string, now time.Time) alarm.Message {
	text := printable(unit) + " has failed"
	if result != "" {
		text += ": " + printable(result)
	}
	if exit != "" {
		text += ", status " + printable(exit)
	}
	remedy := "what it said: journalctl -u " + printable(unit)
	if unit == agentUnit {
		text += "; NO DUMP IS SHIPPED until it runs again"
		remedy += "; then: systemctl restart " + unit
	}
	return alarm.Message{Host: host, At: now, Notices: []alarm.Notice{{State: alarm.Begun, Alarm: status.Alarm{
		Key: "unit/" + unit, Kind: status.KindStopped, Level: status.Problem, Since: now, Text: text, Remedy: remedy,
	}}}}
}

// waysNamed is the way of that name, or all.
func waysNamed(c *configs.Config, names []string) (wanted []alarm.Way, err error) {
	all := ways(c.Alarms.Ways, time.Now)
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

func (t triedWay) String() string {
	if t.OK {
		return t.Way + ": ok"
	}
	return t.Way + ": FAILED: " + notify.Line(t.Error)
}

// tryWays sends by all at once; each has a time limit of its own. What became of each is told in their order, as soon as it is known.
func tryWays(ctx context.Context, all []alarm.Way, m alarm.Message, tell func(triedWay) error) (tried []triedWay, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	results := make([]chan error, len(all))
	for i, w := range all {
		results[i] = make(chan error, 1)
		group.Go(func() { results[i] <- w.Send(ctx, m) })
	}
	for i, w := range all {
		t := triedWay{Way: w.Name(), OK: true}
		if err := <-results[i]; err != nil {
			t.OK, t.Error = false, err.Error()
		}
		if ctx.Err() != nil {
			return tried, ctx.Err()
		}
		tried = append(tried, t)
		if err := tell(t); err != nil {
			return tried, err
		}
	}
	return tried, nil
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
