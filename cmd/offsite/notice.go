package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"offsite/agent"
	"offsite/agent/status"
)

// What systemd is told (sd_notify(3)). Without it nobody hears any of this.

// inform sends one notice, which may have several lines.
func inform(lines ...string) error {
	_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	return err
}

// notifying says that the agent is ready, and keeps the status line, which `systemctl status` shows, until ctx ends.
func notifying(ctx context.Context, a *agent.Agent) error {
	told := ""
	if err := inform(daemon.SdNotifyReady); err != nil {
		return err
	}
	for {
		changed := a.Changed()
		h, err := a.Status()
		if err != nil {
			return err
		}
		if line := statusLine(h); line != told {
			told = line
			if err := inform("STATUS=" + line); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return nil
		}
		if !pause(ctx, time.Second) { // uploads change something all the time
			return nil
		}
	}
}

// statusLine is the answer, and of what is wrong the first in one line.
func statusLine(h *status.Host) string {
	line := answerOf(h)
	if len(h.Alarms) > 0 {
		line += ": " + printable(h.Alarms[0].Text)
	}
	return line
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

// notifyReloading says that the configuration is being read again; READY=1 comes after it.
func notifyReloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return inform(daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// watchdog tells systemd again and again that the agent is alive, as long as it is. When that ends, systemd aborts the process, with a trace
// of all that it does in the journal, and starts it again.
type watchdog struct {
	limit time.Duration // without a word for so long systemd takes the process for dead; 0: it does not
	stuck func(longer time.Duration) []string
	alive func() error
	log   *slog.Logger
}

// watchdogOf is the agent's, as systemd has asked for it.
func watchdogOf(a *agent.Agent, log *slog.Logger) watchdog {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not served", "err", err)
	}
	return watchdog{limit: limit, stuck: a.Stuck, alive: func() error { return inform(daemon.SdNotifyWatchdog) }, log: log}
}

// run returns when ctx ends. A loop that has stood still for half of the limit is taken for stuck.
func (w watchdog) run(ctx context.Context) error {
	if w.limit <= 0 {
		return nil
	}
	for {
		if stuck := w.stuck(w.limit / 2); len(stuck) > 0 {
			w.log.Error("the agent is stuck, and is not said to be alive", "stuck", stuck)
		} else if err := w.alive(); err != nil {
			return err
		}
		if !pause(ctx, w.limit/4) {
			return nil
		}
	}
}
