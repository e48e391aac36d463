package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/journal"
	"offsite/agent/watch"
)

// unstarted is an agent for a directory that has a journal, and no workers.
func unstarted(t *testing.T, dir string, targets ...string) *Agent {
	t.Helper()
	state := t.TempDir()
	lock, err := lockState(filepath.Join(state, "journal.db.lock"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(state, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		Options: Options{Host: "h", Zone: time.UTC, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Sources: []Source{{Dir: watch.Dir{Path: dir}}}},
		journal: j, lock: lock, held: newHeld(), newest: newNewest(),
	}
	a.watcher = watch.New([]watch.Dir{{Path: dir}}, watch.Options{Log: a.Log})
	for _, name := range targets {
		a.Targets = append(a.Targets, Target{Name: name})
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// A file that comes twice at once, by an event and because it is looked for again, is one dump; so is one with two names.
func TestAFileThatComesTwiceIsOneDump(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db_20261123_030000.sql")
	if err := os.WriteFile(path, []byte("dump"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := unstarted(t, dir, "nas")
	id, _, err := watch.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f := watch.File{Path: path, Rel: filepath.Base(path), ID: id}
	if err := a.add(t.Context(), []watch.File{f, f, f}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := a.journal.Each(func(*journal.Dump) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("%d dumps, want 1: %v", n, err)
	}
}

// A file that cannot be taken is an alarm as long as it lies there, and is looked at again each minute; its end is that of the alarm.
func TestAFileThatCannotBeTakenStaysTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "notes.sql")
		if err := os.WriteFile(path, []byte("dump"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := unstarted(t, dir, "nas")
		a.pulse = newPulse(time.Now)
		a.Sources[0].Rules.Pattern = "{series}_{time}.sql"
		found, ended := make(chan watch.File), make(chan error, 1)
		go func() { ended <- a.discover(t.Context(), found) }()
		given := func() (n int) {
			t.Helper()
			if _, err := a.watcher.Scan(t.Context(), func(ctx context.Context, f watch.File) error { n++; return sendTo(found)(ctx, f) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		stuck := func() int { return len(a.unsents.troubles(time.Now())) }
		if given() != 1 || given() != 0 {
			t.Error("it is given out once")
		}
		time.Sleep(time.Hour)
		if stuck() != 1 {
			t.Error("an hour later it is no alarm any more, and lies there as it was")
		}
		if given() != 1 {
			t.Error("nobody has looked at it again")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * idle)
		if stuck() != 0 {
			t.Error("it is gone, and still an alarm")
		}
		close(found)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A dump that the journal does not have is an error that says so.
func TestADumpThatTheJournalDoesNotHave(t *testing.T) {
	a := unstarted(t, t.TempDir(), "nas")
	if _, err := a.openShipment(&journal.Dump{ID: "0badcafe"}); err == nil || !strings.HasSuffix(err.Error(), "the journal has no dump 0badcafe") {
		t.Errorf("%v", err)
	}
}
