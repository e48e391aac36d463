package agent

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"offsite/agent/alarm"
	"offsite/agent/drill"
	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/limit"
	"offsite/agent/retention"
	"offsite/agent/status"
	"offsite/agent/watch"
	"offsite/crypto"
	"offsite/providers"
)

// Options is all that an agent needs. Nothing in it is changed by the agent.
type Options struct {
	// Host is the name under which this host's backups lie on every target.
	Host string
	// Machine is what tells this machine from every other (machine-id(5)); empty: that is not known.
	Machine string
	// Zone is the zone in which stamps without one are read.
	Zone *time.Location
	// Sources are the watched directories.
	Sources []Source
	// Recipients are what dumps are sealed for, and RecipientNames how the configuration writes them.
	Recipients     []age.Recipient
	RecipientNames []string
	// Signer signs manifests. Trusted are the keys, this host's own among them, whose manifests count as ours.
	Signer  *crypto.Signer
	Trusted *crypto.Verifiers
	// Targets each get every dump. The caller closes them.
	Targets []Target
	// State is a directory that exists and is the agent's alone, and Journal the file in it.
	State   string
	Journal string
	// Afresh: what the journal has is thrown away.
	Afresh bool
	// Memory is the budget for blocks in flight, in bytes; BlockSize is in bytes too, 0: by the size of the dump.
	Memory, BlockSize int64
	// Whole is the largest block that is held in memory, in bytes; 0: 32 MiB. A larger one is made while it is sent.
	Whole int64
	// Health is how closely dumps are looked at.
	Health Health
	// Drills are the drills that are to pass again and again, and when: it is told when one does not.
	Drills map[string]Drill
	// Expect says in how much time after the last dump of a series the next one must be there, if somebody has written that down (0: it may be
	// silent); nil: nobody has. Expected are the names of series that must bring dumps though none was ever met.
	Expect   func(series string) (within time.Duration, said bool)
	Expected []string
	// Ways are the ways out of alarms. Grace is how long a target may fail before that is told, and Repeat after how much time what lasts
	// is told again; 0: an hour, and a day.
	Ways          []alarm.Way
	Grace, Repeat time.Duration
	// Pings are watchers elsewhere, told of each run of their series, or every so often that this host lives.
	Pings alarm.Pings
	// Program is the version, for manifests.
	Program string

	// Now is the clock, Log gets a line for each change of state, and Observer hears of transfers. None of them may be nil.
	Now      func() time.Time
	Log      *slog.Logger
	Observer Observer
}

// Source is one watched directory.
type Source struct {
	watch.Dir
	dump.Rules
}

// Drill is what the agent must know of a drill that is to be run again and again.
type Drill struct {
	drill.Schedule
	// Covers says whether a series is to be restored by it.
	Covers func(series string) bool
}

// Target is one place that gets every dump.
type Target struct {
	Name string
	// Location tells one place from another, such as s3://bucket/prefix: a target that moves is a new one.
	Location string
	providers.Target
	// Retention is what is done about old backups there, by the Policy of each series; a nil Policy: nothing.
	Retention Mode
	Policy    func(series string) retention.Policy
	// Limit is how fast dumps may go there, all together.
	Limit limit.Timetable
	// Scrub is how what lies there is read and compared, and Backfill that it is to get what other targets have.
	Scrub    Scrub
	Backfill bool
	// Lock says that backups are to be locked as long as their policy is sure to keep them: the Target is a
	// providers.Locker then, and there is a Policy.
	Lock bool
}

// Observer is told how transfers get on. Its methods are called from many goroutines and must return at once. file is the dump's name,
// which two dumps that are under way at once may share.
type Observer interface {
	// Started: a transfer of total bytes to a target begins.
	Started(target, file string, total int64)
	// Had: n bytes of it were on the target already, of an earlier transfer that was cut off.
	Had(target, file string, n int64)
	// Sent: n more bytes of it are on the target.
	Sent(target, file string, n int64)
	// Ended: err is nil when the target has the dump.
	Ended(target, file string, err error)
}

// Agent ships the finished dumps of the watched directories to all targets. Make it with New.
type Agent struct {
	Options
	journal   *journal.Journal
	watcher   *watch.Watcher
	workers   []*worker
	shipments shipments
	held      held
	memory    *memory
	newest    newest
	ids       ids
	exams     *exams
	suspects  suspects
	named     bool          // the dumps were named by a person: no target declines them
	unfound   atomic.Bool   // files are to be found once more
	scanned   chan struct{} // closed when all that lay on the disk at the start is in the journal
	changed   bell          // rings when there is something new to show
	urgent    bell          // rings when somebody should be told at once
	underway  *underway
	pulse     *pulse
	finding   atomic.Pointer[loop] // that takes found dumps
	unsents   unsents
	untaken   atomic.Pointer[status.Alarm] // a changed configuration is not in use
	runs      runs
	knowledge knowledge
	alarms    alarms
	began     time.Time // when it was made; zero: it is only to answer what was known
	refused   refused
	lock      *stateLock
}

// New opens the journal and takes the state directory for itself, so that two agents never work on it at once. It
// starts nothing and asks no target. Close it.
func New(o Options) (*Agent, error) {
	lock, err := lockState(filepath.Join(o.State, o.Journal+".lock"))
	if err != nil {
		return nil, err
	}
	if o.Afresh {
		if err := os.Remove(filepath.Join(o.State, o.Journal)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, lock.release())
		}
	}
	j, rebuilt, err := openJournal(filepath.Join(o.State, o.Journal), o.Log)
	if err != nil {
		lock.release()
		return nil, err
	}
	a := &Agent{
		Options: o, journal: j, lock: lock, shipments: shipments{by: map[string]*shipment{}}, held: newHeld(), newest: newNewest(),
		began: o.Now().UTC(), scanned: make(chan struct{}), pulse: newPulse(o.Now),
	}
	a.exams = newExams(o.Health, a.reopen, a.pulse)
	a.underway = newUnderway(o.Observer, o.Now, &a.changed)
	if rebuilt {
		a.event(status.Alarm{
			Key: "journal/rebuilt", Kind: status.KindJournal, Level: status.Warning,
			Text:   "the journal could not be used: it was set aside, and is rebuilt from what the targets hold",
			Remedy: "nothing is lost; if it happens again, look at the disk of the state directory",
		})
	}
	var dirs []watch.Dir
	for _, s := range o.Sources {
		dirs = append(dirs, s.Dir)
	}
	a.watcher = watch.New(dirs, watch.Options{Log: o.Log, Known: a.known, Trouble: a.stuck})
	if err := a.addWorkers(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// openJournal opens the journal. One that cannot be used is set aside: the targets know what they hold, and dumps must go on.
func openJournal(path string, log *slog.Logger) (j *journal.Journal, rebuilt bool, err error) {
	j, err = journal.Open(path)
	if !errors.Is(err, journal.ErrUnusable) {
		return j, false, err
	}
	away, moveErr := journal.SetAside(path)
	if moveErr != nil {
		return nil, false, errors.Join(err, moveErr)
	}
	log.Error("the journal was set aside and is begun anew: what the targets hold is asked of them, what was under way begins again", "journal", away, "err", err)
	j, err = journal.Open(path)
	return j, true, err
}

// addWorkers makes a worker for each target, and gives it what the journal says it is owed.
func (a *Agent) addWorkers() error {
	var names []string
	for _, t := range a.Targets {
		names = append(names, t.Name)
	}
	if err := a.journal.Only(names); err != nil {
		return err
	}
	a.memory = newMemory(a.Memory, a.ownMemory(), len(a.Targets))
	for _, t := range a.Targets {
		place, err := a.journal.Place(t.Name)
		if err != nil {
			return err
		}
		if place.Location != t.Location {
			if err := a.journal.Move(t.Name, t.Location); err != nil {
				return err
			}
		}
		policy := func(string) string { return "" } // nothing would remove them now
		if t.Policy != nil && t.Retention == Enforce {
			policy = func(series string) string { return t.Policy(series).String() }
		}
		if err := a.journal.Reconsider(t.Name, policy); err != nil {
			return err
		}
		a.workers = append(a.workers, newWorker(a, t, &share{memory: a.memory}))
	}
	return a.resume()
}

// resume takes up what an earlier run left: it holds the dumps that are owed, and queues them. What was begun for other
// recipients than those of now begins anew, since whoever changed them may not have the old keys much longer.
func (a *Agent) resume() error {
	var open, changed []*journal.Dump
	err := a.journal.EachUnsettled(func(d *journal.Dump) error {
		if d.Sealing != nil && !slices.Equal(d.Recipients, a.RecipientNames) {
			changed = append(changed, d)
		} else {
			open = append(open, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range changed {
		fresh, err := a.resealed(d)
		if err != nil {
			return err
		}
		open = append(open, fresh)
	}
	slices.SortFunc(open, func(a, b *journal.Dump) int { return cmp.Or(a.Taken.Compare(b.Taken), a.Found.Compare(b.Found)) })
	for _, d := range open {
		if d.Open() || d.Health == nil {
			a.held.hold(d)
		}
		a.newest.note(d)
		a.offer(d)
	}
	for _, d := range open {
		if a.isNewest(d) {
			a.runs.follow(d, false)
		}
	}
	return nil
}

// resealed is the dump under a new id, owed to those who lack it; what was begun under the old one is tidied up.
func (a *Agent) resealed(d *journal.Dump) (*journal.Dump, error) {
	a.Log.Info("recipients have changed: the dump is sealed anew", "dump", d.Path)
	fresh := *d
	fresh.Sealing, fresh.Recipients, fresh.Targets = nil, nil, maps.Clone(d.Targets)
	if err := a.name(&fresh); err != nil {
		return nil, err
	}
	_, err := a.journal.Update(d.ID, func(d *journal.Dump) {
		for name, t := range d.Targets {
			if t.State == journal.Owed {
				d.Targets[name] = journal.Delivery{State: journal.Lost, At: a.Now()}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, w := range a.workers {
		if d.Targets[w.target.Name].State == journal.Owed {
			w.queue.push(d.ID)
		}
	}
	return &fresh, a.journal.Add(&fresh)
}

// Close gives back the journal and the state directory. Run or Once must have returned.
func (a *Agent) Close() error {
	a.held.close()
	if a.memory != nil { // one that only reads has none
		a.memory.close()
	}
	return errors.Join(a.journal.Close(), a.lock.release())
}

// offer queues a dump for every target that is owed it, or the verdict on it.
func (a *Agent) offer(d *journal.Dump) {
	for _, w := range a.workers {
		if t := d.Targets[w.target.Name]; t.State == journal.Owed || t.Pending {
			w.queue.push(d.ID)
		}
	}
}
