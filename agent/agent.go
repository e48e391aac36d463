package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

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
	Pings         alarm.Pings
	Grace, Repeat time.Duration
	// Program is the version, for manifests.
	Program string

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
	a := &Agent{Options: o, journal: j, lock: lock, shipments: shipments{by: map[string]*shipment{}}, held: newHeld(), newest: newNewest(), began: o.Now().UTC(), scanned: make(chan struct{}), pulse: newPulse(o.Now)}
	a.exams = newExams(o.Health, a.reopen, a.pulse)
	a.underway = newUnderway(o.Observer, o.Now, &a.changed)
	if rebuilt {
		a.event(status.Alarm{Key: "journal/rebuilt", Kind: status.KindJournal, Level: status.Warning, Text: "the journal could not be used: it was set aside, and is rebuilt from what the targets hold",
			Remedy: "nothing is lost; if it happens again, look at the disk of the state directory"})
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

// Run ships until ctx ends, and then returns nil once everything it started has ended. A transfer that is cut off by
// that goes on at the next start. Any other return is a fault that stops the agent.
func (a *Agent) Run(ctx context.Context) error {
	a.open(false)
	err := ended(ctx, a.run(ctx))
	a.close(ctx, err)
	return err
}

func (a *Agent) run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	found := make(chan watch.File, atOnce)
	group.Go(func() error { return a.watch(running, found) })
	group.Go(func() error { return a.discover(running, found) })
	group.Go(func() error { return a.exams.run(running, a.judged) })
	group.Go(func() error { return a.relieve(running) })
	group.Go(func() error { return a.watchAlarms(running) })
	group.Go(func() error { return a.watchPings(running) })
	group.Go(func() error {
		select {
		case <-a.watcher.Ready():
			return sendTo(found)(running, watch.File{}) // the end of what was there
		case <-running.Done():
			return running.Err()
		}
	})
	for _, w := range a.workers {
		group.Go(func() error {
			// First look what is on the disk: a dump that was renamed while the agent was down is not gone, and which dumps of the past
			// a target takes nobody can say before all of them are known.
			select {
			case <-a.scanned:
				return w.run(running, 0)
			case <-running.Done():
				return running.Err()
			}
		})
		group.Go(func() error { return w.tend(running) })
		group.Go(func() error { return w.care(running) })
	}
	return group.Wait()
}

// Once finds and ships what is due now, tells what is wrong, and returns. Each target gets a few tries for each dump.
func (a *Agent) Once(ctx context.Context) (Summary, error) {
	a.open(true)
	s, err := a.round(ctx)
	if err == nil && a.unfound.Swap(false) {
		s, err = a.round(ctx)
	}
	if err == nil {
		err = a.tellAlarms(ctx)
		a.sendPings(ctx)
		for _, p := range a.Pings.Alive {
			a.sendAlive(ctx, p)
		}
	}
	a.close(ctx, nil)
	return s, err
}

// round finds, ships and tidies up once.
func (a *Agent) round(ctx context.Context) (Summary, error) {
	found := make(chan watch.File, atOnce)
	group := new(errgroup.Group)
	var pending []watch.Pending
	group.Go(func() (err error) {
		defer close(found)
		pending, err = a.watcher.Scan(ctx, sendTo(found))
		return err
	})
	group.Go(func() error { return a.discover(ctx, found) })
	scanErr := group.Wait()
	if ctx.Err() != nil {
		return Summary{}, ctx.Err()
	}
	s, err := a.drain(ctx) // what was found is shipped even if another directory could not be read
	if err == nil {
		err = a.tidyUp(ctx, &s)
	}
	err = errors.Join(scanErr, err)
	s.Unshipped = a.refused.texts()
	for _, p := range pending {
		text := fmt.Sprintf("%s: %s", p.Path, p.Reason)
		if p.Trouble {
			s.Unshipped = append(s.Unshipped, text)
		} else {
			s.Unfinished = append(s.Unfinished, text)
		}
	}
	return s, err
}

// drain ships what is owed, and returns when every worker has nothing left that it could try, and every dump its verdict.
func (a *Agent) drain(ctx context.Context) (Summary, error) {
	group, ctx := errgroup.WithContext(ctx)
	examining, stop := context.WithCancel(ctx)
	group.Go(func() error { return ended(examining, a.exams.run(examining, a.judged)) })
	group.Go(func() error {
		defer stop()
		if err := a.work(ctx); err != nil {
			return err
		}
		if err := a.exams.idle(ctx); err != nil {
			return err
		}
		return a.work(ctx) // manifests that came before the verdict
	})
	err := group.Wait()
	var s Summary
	for _, w := range a.workers {
		s.add(w)
	}
	s.Suspect = a.suspects.all()
	return s, err
}

// work lets every worker do what it can.
func (a *Agent) work(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range a.workers {
		group.Go(func() error { return w.run(ctx, onceTries) })
	}
	return group.Wait()
}

// tidyUp applies retention to every target that has taken what it was owed.
func (a *Agent) tidyUp(ctx context.Context, s *Summary) error {
	for i, w := range a.workers {
		if s.Targets[i].Failed > 0 {
			continue
		}
		if err := w.retain(ctx, ""); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.Targets[i].Unpruned = err
		}
		s.Targets[i].Gone = w.gone()
		if err := w.careOnce(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.log.Warn("what lies on the target could not be looked at", "err", err)
		}
		s.Targets[i].Damaged = w.damagedSeen()
	}
	return nil
}

// watch runs the watcher. What it has found it may have to hold for as long as those that came before are looked at.
func (a *Agent) watch(ctx context.Context, found chan<- watch.File) error {
	l := a.pulse.begin("the watcher")
	defer l.ends()
	send := sendTo(found)
	a.watcher.Turns(l.rests)
	return a.watcher.Run(ctx, func(ctx context.Context, f watch.File) error {
		l.asks()
		defer l.turns()
		return send(ctx, f)
	})
}

func sendTo(found chan<- watch.File) func(context.Context, watch.File) error {
	return func(ctx context.Context, f watch.File) error {
		select {
		case found <- f:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended turns the end that the caller asked for into success.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// offer queues a dump for every target that is owed it, or the verdict on it.
func (a *Agent) offer(d *journal.Dump) {
	for _, w := range a.workers {
		if t := d.Targets[w.target.Name]; t.State == journal.Owed || t.Pending {
			w.queue.push(d.ID)
		}
	}
}
