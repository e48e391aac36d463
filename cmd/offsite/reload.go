package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"offsite/agent"
	"offsite/configs"
)

// service is the agent as a service of the host: it runs until it is stopped, and goes on with another configuration when it is told to read
// that again.
type service struct {
	config string // its path
	std    streams
	given  given
	log    *slog.Logger
	// sandboxed says that the host is seen through binds, as offsite.service has it.
	sandboxed bool
}

// sandboxVariable is set by our units.
const sandboxVariable = "OFFSITE_SANDBOX"

// setup is a valid configuration with all that an agent needs of it.
type setup struct {
	*configs.Config
	agent.Options
}

// prepare reads the configuration and opens what it names; whatever is wrong with it is found here. The caller closes the targets.
func (s *service) prepare() (*setup, error) {
	c, err := s.load()
	if err != nil {
		return nil, s.hint(err)
	}
	o, err := agentOptions(c, s.std.err)
	if err != nil {
		return nil, s.hint(err)
	}
	return &setup{c, o}, nil
}

// load reads the configuration, whose watched directories must be those of the host.
func (s *service) load() (*configs.Config, error) {
	c, err := loadConfig(s.config)
	if err != nil || !s.sandboxed {
		return c, err
	}
	for i, w := range c.Watch {
		seen, err := bound(w.Path)
		if err == nil && !seen {
			err = errors.New("the service does not see that directory of the host: it is missing there, or the unit does not name it yet")
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: watch[%d].path: %s: %w", s.config, i, w.Path, err)}
		}
	}
	return c, nil
}

// check is prepare without the secrets of targets: systemd gives the credentials to the agent, and not to what a reload runs before.
func (s *service) check() error {
	c, err := s.load()
	if err == nil {
		_, _, err = trusted(c)
	}
	return s.hint(err)
}

// hint says what may be wrong beside the configuration.
func (s *service) hint(err error) error {
	if err != nil && s.sandboxed {
		return fmt.Errorf("%w\n(The service sees of this host only what its unit names: `offsite install` adds what the configuration does, and restarts it.)", err)
	}
	return err
}

// runService runs the service until ctx ends.
func runService(ctx context.Context, s *service) error {
	asked, done := hangups()
	defer done()
	now, err := s.prepare()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { inform(daemon.SdNotifyStopping) })()
	var before *setup // what goes on if no agent can be begun by now; its targets are closed
	var untaken error
	for now != nil {
		next, err := s.run(ctx, now, untaken, asked)
		switch failed := (*unbegun)(nil); {
		case err == nil:
			before, now, untaken = now, next, nil
		case before != nil && errors.As(err, &failed):
			if now, err = s.resume(before, failed); err != nil {
				return err
			}
			before, untaken = nil, failed
		default:
			return err
		}
	}
	return nil
}

// unbegun: no agent could be begun by a configuration that is right by itself.
type unbegun struct{ error }

func (u *unbegun) Unwrap() error { return u.error }

// resume is the setup of before once more, after an agent could not be begun by the changed one.
func (s *service) resume(before *setup, failed error) (*setup, error) {
	s.log.Error("no agent can be begun by the changed configuration: the one of before is used again", "err", failed)
	o, err := agentOptions(before.Config, s.std.err)
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	return &setup{before.Config, o}, nil
}

// run runs an agent until ctx ends, or until another configuration is there and valid, which it gives. What was under way then goes on with
// that where it was, as after every stop. untaken is why the configuration that is there is not the one in use; nil: it is.
func (s *service) run(ctx context.Context, now *setup, untaken error, asked <-chan os.Signal) (next *setup, err error) {
	defer func() {
		if err = errors.Join(err, closeTargets(now.Options.Targets)); err != nil && next != nil {
			next, err = nil, errors.Join(err, closeTargets(next.Options.Targets))
		}
	}()
	a, err := agent.New(now.Options)
	if err != nil {
		return nil, &unbegun{s.hint(err)}
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if untaken != nil {
		a.Untaken(untaken)
	}
	s.log.Info("watching", "version", version, "directories", len(now.Sources), "targets", len(now.Options.Targets))
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.serving(running, a, now.Config) }()
	for {
		select {
		case err := <-ended:
			return nil, err
		case <-asked:
			if next = s.reload(a); next != nil {
				stop()
				return next, <-ended
			}
		}
	}
}

// reload is the configuration of now; nil: it is not valid, and the one of before stays in use, which is told as long as it is so.
func (s *service) reload(a *agent.Agent) *setup {
	if err := notifyReloading(); err != nil {
		s.log.Warn("cannot tell systemd of the reload", "err", err)
	}
	next, err := s.prepare()
	if err == nil {
		s.log.Info("the configuration was read again", "config", s.config)
		return next
	}
	s.log.Error("the changed configuration is not taken: the agent goes on with the one of before", "err", err)
	a.Untaken(err)
	inform(daemon.SdNotifyReady)
	return nil
}

// hangups gives the SIGHUPs by which a service is told to read its configuration again; done ends that. A process that a terminal runs gets
// one when the terminal goes away, which ends the agent as it ends every other command.
func hangups() (asked <-chan os.Signal, done func()) {
	if tty, err := os.Open("/dev/tty"); err == nil {
		tty.Close()
		return nil, func() {}
	}
	c := make(chan os.Signal, 1)
	signal.Ignore(syscall.SIGHUP) // of main's no more
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
