package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"offsite/agent"
	"offsite/agent/status"
	"offsite/cmd/offsite/metrics"
	"offsite/cmd/offsite/page"
	"offsite/configs"
)

// serving runs the agent, and beside it answers questions, serves the page, and tells systemd how it is. None of these keeps the agent
// from shipping.
func serving(ctx context.Context, c *configs.Config, config string, a *agent.Agent, log *slog.Logger) error {
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return answering(beside, c, a, log) })
	group.Go(func() error { return showing(beside, c, config, a, log) })
	group.Go(func() error { return notifying(beside, a) })
	err := a.Run(ctx)
	stop()
	return errors.Join(err, group.Wait())
}

// shipOnce runs the agent once, and answers questions meanwhile.
func shipOnce(ctx context.Context, c *configs.Config, a *agent.Agent, log *slog.Logger) (agent.Summary, error) {
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return answering(beside, c, a, log) })
	s, err := a.Once(ctx)
	stop()
	return s, errors.Join(err, group.Wait())
}

// shown is the agent as the page and the metrics see it.
type shown struct{ agent *agent.Agent }

func (s shown) Status(context.Context) (*status.Host, error) { return s.agent.Status() }

func (s shown) Series(_ context.Context, name string) (*status.SeriesDetail, error) {
	return s.agent.SeriesStatus(name)
}

func (s shown) Days(context.Context) (map[string][]status.Day, error) { return s.agent.Days() }

func (s shown) Next(context.Context) (map[string][]status.Removal, error) { return s.agent.Next() }

func (s shown) Changed() <-chan struct{} { return s.agent.Changed() }

// showing serves the page and the metrics where the configuration, or systemd, says, until ctx ends.
func showing(ctx context.Context, c *configs.Config, config string, a *agent.Agent, log *slog.Logger) error {
	if config == configs.DefaultPath {
		config = "" // the commands that the page shows find it
	}
	s := shown{a}
	o := page.Options{Source: s, Zone: a.Zone, Now: time.Now, Config: config, Metrics: metrics.New(s.Status, version, log), Log: log}
	if c.Fleet != nil {
		o.Fleet, o.FleetEvery = fleetReader(c), c.Fleet.Every
	}
	p, err := page.New(o)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.Run(ctx) })
	group.Go(func() error { return listening(ctx, c.Listen, p.Behind, log) })
	return group.Wait()
}

// fleetReader reads what the page's view of the fleet shows. It has a handle of the target to itself, and only while it reads: nothing is
// held there while nobody looks, and keys that were changed count with the next reading. Nothing is written.
func fleetReader(c *configs.Config) func(context.Context) (*status.Fleet, error) {
	return func(ctx context.Context) (f *status.Fleet, err error) {
		keys, err := verifiers(c)
		if err != nil {
			return nil, err
		}
		targets, err := openTargets(c, c.Fleet.Target)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, closeTargets(targets)) }()
		return readFleet(ctx, &opened{targets: targets, keys: keys}, "")
	}
}

// notifying tells systemd that the agent is ready, and keeps its status line, which `systemctl status` shows. Without systemd nobody hears it.
func notifying(ctx context.Context, a *agent.Agent) error {
	told := ""
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return err
	}
	for {
		changed := a.Changed()
		h, err := a.Status()
		if err != nil {
			return err
		}
		if line := answerOf(h); line != told {
			told = line
			if _, err := daemon.SdNotify(false, "STATUS="+line); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
		case <-ctx.Done():
			_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
			return err
		}
		if !pause(ctx, time.Second) { // uploads change something all the time
			_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
			return err
		}
	}
}

// pause is false if ctx ended before it was over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
