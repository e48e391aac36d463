package agent

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent/dump"
	"offsite/agent/status"
)

// troubles are all that a person should know now, by what the report says; it sets the report's levels. lasting says whether one was told
// and is not over; unknown why nobody knows of the drills.
func (a *Agent) troubles(h *status.Host, f *facts, unknown error, lasting func(key string) bool) []status.Alarm {
	var all []status.Alarm
	for i := range h.Series {
		all = append(all, seriesTroubles(&h.Series[i], h.At)...)
	}
	for i := range h.Targets {
		all = append(all, a.targetTroubles(&h.Targets[i], f, lasting)...)
	}
	all = append(all, a.unsents.troubles(h.At)...)
	all = append(all, drillTroubles(h.Drills)...)
	if unknown != nil {
		all = append(all, status.Alarm{
			Key: "drill/records", Kind: status.KindDrill, Level: status.Warning, Text: fmt.Sprintf("nobody knows how the drills went: %v", unknown),
		})
	}
	if h.Running {
		return append(append(all, a.untakenTroubles()...), a.strangerTroubles(f)...)
	}
	return append(all, a.noAgent(f)...)
}

// seriesTroubles are those of one series.
func seriesTroubles(s *status.Series, now time.Time) (all []status.Alarm) {
	add := func(kind string, level status.Level, since time.Time, remedy, text string, args ...any) {
		s.Level = status.Worse(s.Level, level)
		all = append(all, status.Alarm{
			Key: kind + "/" + s.Name, Kind: kind, Level: level, Series: s.Name, Text: fmt.Sprintf(text, args...), Remedy: remedy, Since: since,
		})
	}
	silence(s, add)
	if s.Last != nil && s.Last.Health == dump.Suspect {
		add(status.KindSuspect, status.Problem, s.Last.Found, "look at the job that wrote it; `offsite accept "+quoted(s.Last.Name)+"` if the dump is fine",
			"the newest dump of series %s, %s, is suspect: %s", s.Name, s.Last.Name, s.Last.Reason)
	}
	var lost []string
	for _, c := range s.On {
		if c.Lost {
			lost = append(lost, c.Target)
		}
		if c.Damaged+c.Missing > 0 {
			s.Level = status.Problem
		}
		if c.Held != "" {
			s.Level = status.Worse(s.Level, status.Warning)
			all = append(all, status.Alarm{
				Key: "held/" + c.Target + "/" + s.Name, Kind: status.KindHeld, Level: status.Warning, Series: s.Name, Target: c.Target,
				Text:   fmt.Sprintf("retention of series %s on %s is held: %s", s.Name, c.Target, c.Held),
				Remedy: "look at `offsite prune`; `offsite prune --confirm` does what it says",
			})
		}
	}
	if len(lost) > 0 {
		add(status.KindUnsent, status.Problem, time.Time{},
			"let the job keep its dumps for longer, or look why the target is slow; it is over when the next dump is there",
			"the newest dump of series %s, %s, went away before %s had it", s.Name, s.Last.Name, strings.Join(lost, ", "))
	}
	return all
}

// silence adds that a series is overdue, if it is.
func silence(s *status.Series, add func(kind string, level status.Level, since time.Time, remedy, text string, args ...any)) {
	never := "`series: [{match: " + quoted(s.Name) + ", expect: never}]`"
	switch {
	case !s.Overdue:
	case s.Last == nil:
		add(status.KindOverdue, status.Problem, s.Due, "look at the job that writes the dumps, and at the watched directories",
			"series %s has never brought a dump", s.Name)
	case s.Last.Found.After(s.Due): // it was late already when this host met it
		add(status.KindOverdue, status.Warning, s.Last.Found,
			"if it has ended, write "+never+" into the configuration; else look at the job that writes the dumps",
			"series %s brought its last dump at %s, before offsite knew it, and none since", s.Name, stampText(s.Last.Taken))
	default:
		how := "by its rhythm"
		if s.Expected {
			how = "by the configuration"
		}
		add(status.KindOverdue, status.Problem, s.Due,
			"look at the job that writes the dumps; if the series has ended or changed, write "+never+", or 26h, into the configuration",
			"series %s is overdue: its last dump is of %s, and %s the next was due by %s", s.Name, stampText(s.Last.Taken), how, stampText(s.Due))
	}
}

// targetTroubles are those of one target.
func (a *Agent) targetTroubles(t *status.Target, f *facts, lasting func(string) bool) (all []status.Alarm) {
	add := func(kind string, level status.Level, since time.Time, remedy, text string, args ...any) {
		t.Level = status.Worse(t.Level, level)
		all = append(all, status.Alarm{
			Key: kind + "/" + t.Name, Kind: kind, Level: level, Target: t.Name, Text: fmt.Sprintf(text, args...), Remedy: remedy, Since: since,
		})
	}
	if since, is := a.failing(t, f, lasting(status.KindFailing+"/"+t.Name)); is {
		owed := "it is owed nothing yet"
		if t.Owed > 0 {
			owed = fmt.Sprintf("it lacks %s, %s", plural(t.Owed, "dump"), humanize.IBytes(uint64(t.OwedBytes)))
		}
		why := t.Error
		switch {
		case why == "" && a.worker(t.Name) == nil:
			why = "it had not taken what it is owed when the last agent ended"
		case why == "":
			why = "it has not answered since the agent was started"
		}
		add(status.KindFailing, status.Problem, since, "`offsite doctor --target "+t.Name+"` says what is wrong; nothing is lost as long as the dumps stay on this host", "target %s takes nothing: %s (%s)", t.Name, why, owed)
	}
	if t.Damaged+t.Missing > 0 {
		var what []string
		if t.Damaged > 0 {
			what = append(what, plural(t.Damaged, "backup")+" damaged")
		}
		if t.Missing > 0 {
			what = append(what, plural(t.Missing, "backup")+" gone, though no retention of ours removed them")
		}
		add(status.KindRepair, status.Problem, time.Time{}, "`offsite repair` makes them whole from the other targets or the dumps; a loss that is known is settled by `offsite accept NAME`", "target %s has %s: %s", t.Name, strings.Join(what, ", and "), f.wrong[t.Name])
	}
	return all
}

// grace is how long a target may fail.
func (a *Agent) grace() time.Duration {
	if a.Grace > 0 {
		return a.Grace
	}
	return time.Hour
}

// failing says whether a target has failed for longer than that may be, and since when. After a restart what was told lasts until the target
// has answered once.
func (a *Agent) failing(t *status.Target, f *facts, told bool) (since time.Time, is bool) {
	owed := f.owed[t.Name].since
	w := a.worker(t.Name)
	if w == nil { // nobody tries: what has waited for so long did not get there
		return owed.UTC(), !owed.IsZero() && a.Now().Sub(owed) >= a.grace()
	}
	_, worked := w.tally.into(&status.Target{})
	switch {
	case t.Failing.IsZero():
		return owed, told && !worked && t.Owed > 0
	case !owed.IsZero() && owed.Before(t.Failing):
		since = owed
	default:
		since = t.Failing
	}
	return since.UTC(), told && !worked || a.Now().Sub(since) >= a.grace()
}

// strangerTroubles: somebody else writes under this host's name.
func (a *Agent) strangerTroubles(f *facts) (all []status.Alarm) {
	for _, w := range a.workers {
		name := w.target.Name
		copies, _ := w.tally.into(&status.Target{})
		foreign := f.strangers[name]
		alarm := status.Alarm{Key: "stranger/" + name, Kind: status.KindStranger, Level: status.Problem, Target: name}
		switch {
		case copies > 0:
			alarm.Text = fmt.Sprintf("another machine writes backups under this host's name on %s, with its keys (%s)", name, plural(copies, "backup"))
			alarm.Remedy = "give the copy of this host a host name and a signing key of its own"
		case foreign > 0:
			alarm.Text = fmt.Sprintf("a key that is not trusted here signed %s on %s under this host's name", plural(foreign, "backup"), name)
			alarm.Remedy = "if it is this host's former key, put its verifier key under `trust`; else another host has this name, or somebody forges"
		default:
			continue
		}
		all = append(all, alarm)
	}
	return all
}

// onceStale is after how much time without a run of `agent --once` somebody should look.
const onceStale = 2 * daily

// noAgent: nobody watches.
func (a *Agent) noAgent(f *facts) []status.Alarm {
	alarm := status.Alarm{Key: "stopped", Kind: status.KindStopped, Level: status.Problem, Since: f.run.Ended, Remedy: "start it: `systemctl start offsite`, or `offsite agent`"}
	switch r := f.run; {
	case r.Began.IsZero():
		alarm.Text = "no agent has ever run on this host"
	case r.Once && !r.Ended.IsZero() && a.Now().Sub(r.Ended) < onceStale:
		return nil
	case r.Once:
		alarm.Text = fmt.Sprintf("`offsite agent --once` ran last at %s", stampText(r.Began))
		alarm.Remedy = "look at the timer or cron job that calls it"
	case r.Ended.IsZero():
		alarm.Since = r.Began
		alarm.Text = fmt.Sprintf("no agent runs: the one of %s was killed, or the machine lost its power", stampText(r.Began))
	default:
		alarm.Text = fmt.Sprintf("no agent runs: it was stopped at %s", stampText(r.Ended))
	}
	return []status.Alarm{alarm}
}

// plain are names that a shell and YAML take as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./+@%=-][A-Za-z0-9_./+@%=:,-]*$`)

// quoted is a name as a shell, and YAML, take it for a word.
func quoted(name string) string {
	if plain.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
