package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"offsite/agent"
	"offsite/agent/drill"
	"offsite/agent/dump"
	"offsite/agent/limit"
	"offsite/agent/retention"
	"offsite/agent/watch"
	"offsite/cmd/offsite/notify"
	"offsite/configs"
	"offsite/crypto"
)

// loadConfig reads the configuration. Whatever is wrong with it is a usage error.
func loadConfig(path string) (*configs.Config, error) { return load(path, configChecks()) }

// loadToRead is loadConfig for commands that bring dumps back: they work when the watched directories are gone.
func loadToRead(path string) (*configs.Config, error) {
	checks := configChecks()
	checks.Reading = true
	return load(path, checks)
}

func load(path string, checks configs.Checks) (*configs.Config, error) {
	c, err := configs.Load(path, checks)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func configChecks() configs.Checks {
	return configs.Checks{
		Recipient: func(s string) error {
			_, err := crypto.ParseRecipient(s)
			return err
		},
		Verifier: crypto.ParseVerifier,
		Pattern:  dump.CheckPattern,
		DSN:      drill.CheckDSN,
		Expect: func(s string) error {
			_, err := drill.ParseExpect(s)
			return err
		},
		Age: func(s string) error {
			_, err := retention.ParseDuration(s)
			return err
		},
		Way: notify.CheckURL, Hook: notify.CheckAddress, HookSecret: notify.CheckHookSecret,
	}
}

// trusted are the keys whose manifests count: this host's own and those of the configuration.
func trusted(c *configs.Config) (*crypto.Signer, *crypto.Verifiers, error) {
	signer, err := crypto.LoadSigner(c.SigningKey)
	if os.IsNotExist(err) {
		return nil, nil, usageError{fmt.Errorf("the signing key %s is missing. To bring dumps back without it: --kit, or its verifier key (the kit has it) under trust. A new one, which `offsite init` makes, does not verify what the old one signed", c.SigningKey)}
	}
	if err != nil {
		return nil, nil, usageError{err}
	}
	keys, err := crypto.ParseVerifiers(append([]string{signer.VerifierKey()}, c.Trust...))
	return signer, keys, err
}

// verifiers are trusted's for a host that may have lost its signing key: then those of the configuration alone.
func verifiers(c *configs.Config) (*crypto.Verifiers, error) {
	_, keys, err := trusted(c)
	if err == nil || exists(c.SigningKey) || len(c.Trust) == 0 {
		return keys, err
	}
	return crypto.ParseVerifiers(c.Trust)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// agentJournal is the agent's journal in the state directory.
const agentJournal = "journal.db"

// readOptions builds what answers need that are asked of no target, and of no running agent.
func readOptions(c *configs.Config, log io.Writer) (agent.Options, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return agent.Options{}, err
	}
	var targets []agent.Target
	for _, t := range c.Targets {
		targets = append(targets, describe(c, t, zone))
	}
	return agent.Options{
		Host: c.Host, Zone: zone, Targets: targets, State: c.State, Journal: agentJournal, Program: "offsite " + version,
		Drills: drills(c), Expect: expectations(c), Expected: c.ExpectedSeries(),
		Ways: ways(c.Alarms.Ways, time.Now), Pings: pings(c), Grace: c.Alarms.Grace, Repeat: c.Alarms.Repeat,
		Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)), Observer: quiet{},
	}, nil
}

// agentOptions builds what the agent needs. The caller closes the targets.
func agentOptions(c *configs.Config, log io.Writer) (agent.Options, error) {
	o, err := readOptions(c, log)
	if err != nil {
		return agent.Options{}, err
	}
	recipients, err := crypto.ParseRecipients(c.Recipients)
	if err != nil {
		return agent.Options{}, usageError{err}
	}
	signer, keys, err := trusted(c)
	if err != nil {
		return agent.Options{}, err
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return agent.Options{}, err
	}
	targets, err := openTargets(c, "")
	if err != nil {
		return agent.Options{}, err
	}
	for i := range targets {
		targets[i].Limit = timetable(c.Targets[i].Limit, o.Zone)
	}
	o.Machine, o.Sources = machineID(), sources(c, o.Zone)
	o.Recipients, o.RecipientNames, o.Signer, o.Trusted = recipients, c.Recipients, signer, keys
	o.Targets, o.Memory, o.BlockSize = targets, int64(c.Memory), int64(c.BlockSize)
	o.Health = agent.Health{Workers: c.Health.MaxCPU, FullBelow: int64(c.Health.FullBelow)}
	return o, nil
}

// withAgent has do use an agent of the configuration, whose options change may change, and closes it and its targets then.
func withAgent(c *configs.Config, log io.Writer, change func(*agent.Options), do func(*agent.Agent) error) (err error) {
	o, err := agentOptions(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeTargets(o.Targets)) }()
	change(&o)
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	return do(a)
}

// besideTheAgent makes options those of a command that works while the agent, which has its own journal open, runs.
func besideTheAgent(o *agent.Options) { o.Journal = pruneJournal }

// drills are those that are to be run again and again.
func drills(c *configs.Config) map[string]agent.Drill {
	every := map[string]agent.Drill{}
	for _, d := range c.Drills {
		if !d.Every.Never() {
			every[d.Name] = agent.Drill{Schedule: d.Every, Covers: d.Covers}
		}
	}
	return every
}

// expectations say when the silence of a series is an alarm.
func expectations(c *configs.Config) func(series string) (time.Duration, bool) {
	return func(series string) (time.Duration, bool) {
		within := c.ExpectFor(series)
		return time.Duration(max(0, within)), within != 0
	}
}

// machineID is what the system calls this machine (machine-id(5)); empty: it has no name for it.
func machineID() string {
	b, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// timetable is a limit as the agent has it.
func timetable(l configs.Limit, zone *time.Location) limit.Timetable {
	t := limit.Timetable{Rate: int64(l.Rate), Zone: zone}
	for _, h := range l.Hours {
		t.Hours = append(t.Hours, limit.Hours{From: h.From, To: h.To, Rate: int64(h.Rate)})
	}
	return t
}

func sources(c *configs.Config, zone *time.Location) (all []agent.Source) {
	for _, w := range c.Watch {
		path := w.Path
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real // below it, links are not followed
		}
		all = append(all, agent.Source{
			Dir:   watch.Dir{Path: path, Include: w.Include, Exclude: w.Exclude, Settle: w.Settle},
			Rules: dump.Rules{Name: w.Name, Pattern: w.Series, Zone: zone},
		})
	}
	return all
}

// quiet is an observer that shows nothing.
type quiet struct{}

func (quiet) Started(string, string, int64) {}
func (quiet) Had(string, string, int64)     {}
func (quiet) Sent(string, string, int64)    {}
func (quiet) Ended(string, string, error)   {}

// policies says what to keep of each series on a target.
func policies(c *configs.Config, t configs.Target, zone *time.Location) func(series string) retention.Policy {
	return func(series string) retention.Policy {
		k := c.KeepFor(t, series)
		p := retention.Policy{
			Last: int(k.Last), Hourly: int(k.Hourly), Daily: int(k.Daily), Weekly: int(k.Weekly), Monthly: int(k.Monthly), Yearly: int(k.Yearly),
			MinKeep: retention.DefaultMinKeep, Zone: zone,
		}
		if k.MinKeep != nil {
			p.MinKeep = int(*k.MinKeep)
		}
		if k.Within != "" {
			p.Within, _ = retention.ParseDuration(k.Within) // checked when the configuration was read
		}
		return p
	}
}
