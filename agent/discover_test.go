package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
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
