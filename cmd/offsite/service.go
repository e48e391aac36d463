package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent"
	"offsite/agent/status"
	"offsite/cmd/offsite/metrics"
	"offsite/cmd/offsite/page"
	"offsite/configs"
)

// serving runs the agent, and beside it answers questions, serves the page, and tells systemd how it is. None of these keeps the agent
// from shipping.
func (s *service) serving(ctx context.Context, a *agent.Agent, c *configs.Config) error {
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return answering(beside, c, a, s.given.status, s.log) })
	group.Go(func() error { return s.showing(beside, c, a) })
	group.Go(func() error { return notifying(beside, a) })
	group.Go(func() error { return watchdogOf(a, s.log).run(beside) })
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	group.Go(func() error {
		if err := s.seeing(beside, a); err != nil {
			fail(err)
		}
		return nil
	})
	err := a.Run(running)
	if cause := context.Cause(running); err == nil && ctx.Err() == nil && cause != nil {
		err = cause
	}
	stop()
	return errors.Join(err, group.Wait())
}

// shipOnce runs the agent once, and answers questions meanwhile.
func shipOnce(ctx context.Context, c *configs.Config, a *agent.Agent, log *slog.Logger) (agent.Summary, error) {
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return answering(beside, c, a, nil, log) })
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
func (s *service) showing(ctx context.Context, c *configs.Config, a *agent.Agent) error {
	config := s.config
	if config == configs.DefaultPath {
		config = "" // the commands that the page shows find it
	}
	source := shown{a}
	o := page.Options{Source: source, Zone: a.Zone, Now: time.Now, Config: config, Metrics: metrics.New(source.Status, version, s.log), Log: s.log}
	if c.Fleet != nil {
		o.Fleet, o.FleetEvery = fleetReader(c), c.Fleet.Every
	}
	p, err := page.New(o)
	if err != nil {
		return err
	}
	sockets, err := listeners(s.given.page)
	if err != nil {
		s.log.Error("the sockets that systemd gave for the page cannot be used", "err", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.Run(ctx) })
	group.Go(func() error { return listening(ctx, c.Listen, sockets, p.Behind, s.log) })
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
