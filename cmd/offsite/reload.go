package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

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
	c, err := loadConfig(s.config)
	if err != nil {
		return nil, s.hint(err)
	}
	o, err := agentOptions(c, s.std.err)
	if err != nil {
		return nil, s.hint(err)
	}
	return &setup{c, o}, nil
}

// check is prepare without the secrets of targets: systemd gives the credentials to the agent, and not to what a reload runs before.
func (s *service) check() error {
	c, err := loadConfig(s.config)
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
	next, err := s.prepare()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { inform(daemon.SdNotifyStopping) })()
	for next != nil && err == nil {
		next, err = s.run(ctx, next, asked)
	}
	return err
}

// run runs an agent until ctx ends, or until another configuration is there and valid, which it gives. What was under way then goes on with
// that where it was, as after every stop.
func (s *service) run(ctx context.Context, now *setup, asked <-chan os.Signal) (next *setup, err error) {
	defer func() {
		if err = errors.Join(err, closeTargets(now.Options.Targets)); err != nil && next != nil {
			next, err = nil, errors.Join(err, closeTargets(next.Options.Targets))
		}
	}()
	a, err := agent.New(now.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
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
			if next = s.reload(); next != nil {
				stop()
				return next, <-ended
			}
		}
	}
}

// reload is the configuration of now; nil: it is not valid, and the one of before stays in use.
func (s *service) reload() *setup {
	if err := notifyReloading(); err != nil {
		s.log.Warn("cannot tell systemd of the reload", "err", err)
	}
	next, err := s.prepare()
	if err == nil {
		s.log.Info("the configuration was read again", "config", s.config)
		return next
	}
	s.log.Error("the changed configuration is not taken: the agent goes on with the one of before", "err", err)
	inform(daemon.SdNotifyReady, "STATUS=goes on with the configuration of before: the changed one is wrong, see the log")
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

// seeEvery is how often it is looked whether the watched directories are still those of the host.
const seeEvery = 10 * time.Second

// seeing fails when a watched directory was removed on the host, and perhaps made anew: the sandbox has the one of before, which is empty for
// ever. Started again, the service sees what is there. Outside of a sandbox it has nothing to do.
func (s *service) seeing(ctx context.Context, a *agent.Agent) error {
	for s.sandboxed && pause(ctx, seeEvery) {
		for _, source := range a.Sources {
			if removed(source.Path) {
				return fmt.Errorf("the watched directory %s was removed on the host, or is another one there than the one that the service sees: it is started again", source.Path)
			}
		}
	}
	return nil
}

// removed says whether a directory is no more. One that was removed while it is bound can be opened all the same.
func removed(dir string) bool {
	f, err := os.Open(dir)
	if err == nil {
		_, err = f.Readdirnames(1)
		f.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}
