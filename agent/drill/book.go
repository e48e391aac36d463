package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"offsite/agent/statefile"
)

// Record is one drill as it is remembered.
type Record struct {
	Series string    `json:"series"`
	Target string    `json:"target"`
	Object string    `json:"object"`
	Name   string    `json:"name"`
	Taken  time.Time `json:"taken"`
	Result
}

// remembered is how many records of a drill and series are kept.
const remembered = 50

// bookFile holds the records, by the drill's name, oldest first, in the agent's state directory: the agent reads it to tell that a drill is
// overdue, and never writes it.
const bookFile = "drills.json"

// Book is the records of a host's drills, for one process at a time.
type Book struct {
	path string
	lock *os.File
	all  map[string][]Record
	// Swept says what killed drills had left, which is gone: processes, and directories with unpacked dumps.
	Swept []string
}

// ErrBusy can occur in OpenBook: another drill is under way.
var ErrBusy = errors.New("another drill is under way on this host")

// OpenBook takes the book in the directory, and sweeps that of what killed drills left. Close it.
func OpenBook(state string) (*Book, error) {
	lock, err := statefile.Open(filepath.Join(state, "drills.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, err
	}
	b := &Book{path: filepath.Join(state, bookFile), lock: lock}
	if b.all, err = ReadBook(state); err == nil {
		b.Swept, err = sweepState(state)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return b, nil
}

// ReadBook gives all records, by drill, oldest first. That there is no book is no error.
func ReadBook(state string) (map[string][]Record, error) {
	all := map[string][]Record{}
	text, err := os.ReadFile(filepath.Join(state, bookFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("the records of the drills, %s, cannot be read: %w; without that file they begin anew", filepath.Join(state, bookFile), err)
	}
	return all, nil
}

// Records are those of a drill and series, oldest first.
func (b *Book) Records(name, series string) (some []Record) {
	for _, r := range b.all[name] {
		if r.Series == series {
			some = append(some, r)
		}
	}
	return some
}

// Add writes a record down, durably.
func (b *Book) Add(name string, r Record) error {
	kept := append(b.all[name], r)
	n := 0
	for i := len(kept) - 1; i >= 0; i-- {
		if kept[i].Series == r.Series {
			if n++; n > remembered {
				kept = append(kept[:i], kept[i+1:]...)
			}
		}
	}
	b.all[name] = kept
	text, err := json.MarshalIndent(b.all, "", " ")
	if err != nil {
		return err
	}
	return statefile.Replace(b.path, text)
}

// Close lets another drill begin.
func (b *Book) Close() error { return b.lock.Close() }

// Asked is what tells checks apart: two of a drill with the same SQL in the same database are one, and have one value.
type Asked struct{ Database, SQL string }

// Values are those of the checks of the last record that has passed. The records must be of one drill and one series: values of another
// are of another database.
func Values(records []Record) map[Asked]string {
	values := map[Asked]string{}
	if last := LastPassed(records); last != nil {
		for _, c := range last.Checks {
			values[Asked{c.Database, c.SQL}] = c.Got
		}
	}
	return values
}

// LastPassed is the newest record that has passed; nil: none has.
func LastPassed(records []Record) *Record {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Passed() {
			return &records[i]
		}
	}
	return nil
}

// Schedule gives the instant at which what was done at the given one is to be done again. The zone of its argument counts.
type Schedule interface {
	Next(done time.Time) time.Time
}

// Due says whether a drill is to be run now: one that has failed is tried again each day.
func Due(records []Record, s Schedule, now time.Time) bool {
	if len(records) == 0 {
		return true
	}
	last := records[len(records)-1]
	next := s.Next(last.Began.In(now.Location()))
	if again := last.Began.Add(tryAgain); !last.Passed() && again.Before(next) {
		next = again
	}
	return !now.Before(next) || last.Began.After(now)
}

// tryAgain is how long after a failure: a day, less what a daily timer may come early.
const tryAgain = 18 * time.Hour
