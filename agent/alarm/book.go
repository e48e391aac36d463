package alarm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"offsite/agent/statefile"
	"offsite/agent/status"
)

// bookFile is where the book lies in the state directory. It is disposable: without it, what lasts is told once more.
const bookFile = "alarms.json"

// Book is all alarms that last, and those that are over and not told as such yet, with what each way has told of them. One goroutine at a
// time may use it.
type Book struct {
	path   string
	repeat time.Duration
	all    map[string]*entry
	ways   map[string]*way
	saved  []byte // what the file holds
}

// entry is one alarm.
type entry struct {
	status.Alarm
	// Over is when it was seen no more; zero while it lasts.
	Over time.Time `json:"over,omitzero"`
	// Until, if set, says that it is a single event, which is over by itself then, and of whose end nobody is told.
	Until time.Time `json:"until,omitzero"`
	// Raised is when an event came last.
	Raised time.Time `json:"raised,omitzero"`
	// Told is what each way told of it last.
	Told map[string]told `json:"told,omitempty"`
}

type told struct {
	At time.Time `json:"at"`
	// Level of then: an alarm that has become worse is told anew.
	Level status.Level `json:"level"`
}

// way is how a way out gets on.
type way struct {
	Sent    time.Time `json:"sent,omitzero"`
	Failing time.Time `json:"failing,omitzero"`
	Error   string    `json:"error,omitempty"`
	// Failures in a row, and when to try again.
	Failures int       `json:"failures,omitempty"`
	Again    time.Time `json:"again,omitzero"`
}

// file is the book as it is written down.
type file struct {
	Alarms map[string]*entry `json:"alarms"`
	Ways   map[string]*way   `json:"ways"`
}

// Open reads the book of a state directory; each alarm is to be told again after repeat. A book that cannot be read is begun anew, and
// the error says so; the Book can be used all the same.
func Open(state string, repeat time.Duration) (*Book, error) {
	b := &Book{path: filepath.Join(state, bookFile), repeat: repeat, all: map[string]*entry{}, ways: map[string]*way{}}
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	var f file
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return b, fmt.Errorf("what was told of alarms, %s, cannot be read: what lasts is told once more: %w", b.path, err)
	}
	for key, e := range f.Alarms {
		if e != nil {
			b.all[key] = e
		}
	}
	for name, w := range f.Ways {
		if w != nil {
			b.ways[name] = w
		}
	}
	b.saved = text
	return b, nil
}

// Update takes the troubles that there are now; Since counts where it is set, else they begin now. What is not among them
// is over.
func (b *Book) Update(now time.Time, troubles []status.Alarm) {
	there := map[string]bool{}
	for _, t := range troubles {
		there[t.Key] = true
		e := b.all[t.Key]
		if e == nil || !e.Over.IsZero() {
			fresh := &entry{Alarm: t}
			if fresh.Since.IsZero() || fresh.Since.After(now) {
				fresh.Since = now
			}
			if e != nil { // its end may not have been told: then it has gone on, for whoever does not know
				fresh.Told = e.Told
			}
			b.all[t.Key] = fresh
			continue
		}
		since := e.Since
		e.Alarm, e.Until = t, time.Time{}
		e.Since = since
	}
	for key, e := range b.all {
		switch {
		case there[key] || !e.Over.IsZero():
		case e.Until.IsZero():
			e.Over = now
		case !now.Before(e.Until):
			delete(b.all, key)
		}
	}
}

// Event is a single event, which lasts as an alarm for so long.
func (b *Book) Event(now time.Time, a status.Alarm, lasts time.Duration) {
	e := b.all[a.Key]
	if e == nil || e.Until.IsZero() {
		e = &entry{}
		b.all[a.Key] = e
	}
	if a.Since.IsZero() {
		a.Since = now
	}
	e.Alarm, e.Until, e.Raised = a, now.Add(lasts), now
}

// Lasting are the alarms that last, worst first, then oldest first.
func (b *Book) Lasting() []status.Alarm {
	all := []status.Alarm{}
	for _, e := range b.all {
		if e.Over.IsZero() {
			all = append(all, e.Alarm)
		}
	}
	slices.SortFunc(all, worstFirst)
	return all
}

func worstFirst(a, b status.Alarm) int {
	if a.Level != b.Level {
		if status.Worse(a.Level, b.Level) == a.Level {
			return -1
		}
		return 1
	}
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key))
}

// Due is what a way has to tell now; none: nothing, or it has failed and waits.
func (b *Book) Due(now time.Time, name string) (notices []Notice) {
	if w := b.ways[name]; w != nil && now.Before(w.Again) && w.Again.Sub(now) <= mostPause {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(b.all)) {
		e := b.all[key]
		t, was := e.Told[name]
		n := Notice{Alarm: e.Alarm, Over: e.Over}
		switch {
		case !e.Over.IsZero() && was:
			n.State = Over
		case !e.Over.IsZero():
			continue // it never knew
		case !was || status.Worse(t.Level, e.Level) != t.Level:
			n.State = Begun
		case !e.Until.IsZero() && !e.Raised.After(t.At): // an event is told once, unless it comes again
			continue
		case now.Sub(t.At) >= b.repeat || t.At.After(now.Add(b.repeat)):
			n.State = Lasting
		default:
			continue
		}
		notices = append(notices, n)
	}
	slices.SortStableFunc(notices, func(a, b Notice) int { return worstFirst(a.Alarm, b.Alarm) })
	return notices
}

// mostPause is the longest that a way waits after it has failed, and firstPause the shortest.
const (
	firstPause = 30 * time.Second
	mostPause  = 30 * time.Minute
)

// Done takes what came of telling notices by a way.
func (b *Book) Done(now time.Time, name string, notices []Notice, failure error) {
	w := b.ways[name]
	if w == nil {
		w = &way{}
		b.ways[name] = w
	}
	if failure != nil {
		if w.Failing.IsZero() {
			w.Failing = now
		}
		w.Error = failure.Error()
		w.Again = now.Add(min(mostPause, firstPause<<min(w.Failures, 10)))
		w.Failures++
		return
	}
	*w = way{Sent: now}
	for _, n := range notices {
		e := b.all[n.Key]
		switch {
		case e == nil:
		case n.State == Over:
			delete(e.Told, name)
		default:
			if e.Told == nil {
				e.Told = map[string]told{}
			}
			e.Told[name] = told{now, n.Level}
		}
	}
}

// Ways says how the ways of these names get on.
func (b *Book) Ways(names []string) []status.Way {
	all := []status.Way{}
	for _, name := range names {
		s := status.Way{Name: name}
		if w := b.ways[name]; w != nil {
			s.Sent, s.Failing, s.Error = w.Sent, w.Failing, w.Error
		}
		all = append(all, s)
	}
	return all
}

// Save writes the book down if something in it has changed, and forgets what is over and told as such, and ways that are none of
// these any more.
func (b *Book) Save(names []string) error {
	for name := range b.ways {
		if !slices.Contains(names, name) {
			delete(b.ways, name)
		}
	}
	for key, e := range b.all {
		maps.DeleteFunc(e.Told, func(name string, _ told) bool { return !slices.Contains(names, name) })
		if !e.Over.IsZero() && len(e.Told) == 0 {
			delete(b.all, key)
		}
	}
	text, err := json.MarshalIndent(file{b.all, b.ways}, "", " ")
	if err != nil || string(text) == string(b.saved) {
		return err
	}
	if err := statefile.Replace(b.path, text); err != nil {
		return err
	}
	b.saved = text
	return nil
}
