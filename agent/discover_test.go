package agent

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"offsite/agent/journal"
	"offsite/agent/watch"
)

// A file that comes twice at once, by an event and because it is looked for again, is one dump; so is one with two names.
func TestAFileThatComesTwiceIsOneDump(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db_20261123_030000.sql")
	if err := os.WriteFile(path, []byte("dump"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	a := &Agent{
		Options: Options{Host: "h", Zone: time.UTC, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Sources: []Source{{Dir: watch.Dir{Path: dir}}}, Targets: []Target{{Name: "nas"}}},
		journal: j, held: newHeld(), newest: newest{taken: map[string]time.Time{}},
	}
	defer a.held.close()
	id, _, err := watch.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f := watch.File{Path: path, Rel: filepath.Base(path), ID: id}
	if err := a.add([]watch.File{f, f, f}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := j.Each(func(*journal.Dump) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("%d dumps, want 1: %v", n, err)
	}
}
