package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offsite/agent/journal"
	"offsite/agent/watch"
)

// Deleted dumps that wait for a dead target do not fill the disk: what some target has goes first, the oldest of it first, and
// what none has only when the next dump would not fit. What has a name is never given up.
func TestDeletedDumpsMakeRoom(t *testing.T) {
	for _, c := range []struct {
		name        string
		free        int64
		onDead      bool // no other target has them either
		deleteFirst int
		lost        []string
	}{
		{"much room", 500, false, 4, nil},
		{"less than a tenth", 80, false, 4, []string{"1"}},
		{"hardly any", 0, false, 4, []string{"1", "2", "3", "4"}},
		{"two more would fit", 80, true, 4, nil},
		{"two more would not fit", 55, true, 4, []string{"1"}},
		{"none was deleted", 0, false, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var log bytes.Buffer
			a := unstarted(t, dir, "dead", "nas")
			a.Log = slog.New(slog.NewTextHandler(&log, nil))
			for i := 1; i <= 5; i++ {
				path := filepath.Join(dir, fmt.Sprintf("db_2026010%d.sql", i))
				if err := os.WriteFile(path, make([]byte, 30), 0o600); err != nil {
					t.Fatal(err)
				}
				id, _, err := watch.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.add(t.Context(), []watch.File{{Path: path, Rel: filepath.Base(path), ID: id}}); err != nil {
					t.Fatal(err)
				}
				if i <= c.deleteFirst {
					os.Remove(path)
				}
			}
			if !c.onDead {
				for id := range a.held.files {
					if _, err := a.journal.Update(id, func(d *journal.Dump) { d.Targets["nas"] = journal.Delivery{State: journal.Delivered} }); err != nil {
						t.Fatal(err)
					}
				}
			}
			a.held.space = func(*os.File) (room, error) { return room{c.free, 1000}, nil }
			for range 2 {
				if err := a.giveUp(t.Context()); err != nil {
					t.Fatal(err)
				}
				a.held.space = func(*os.File) (room, error) { return room{c.free + int64(30*len(c.lost)), 1000}, nil }
			}
			var lost []string
			err := a.journal.Each(func(d *journal.Dump) error {
				if d.Targets["dead"].State == journal.Lost {
					lost = append(lost, strings.TrimSuffix(strings.TrimPrefix(d.Name, "db_2026010"), ".sql"))
				}
				return nil
			})
			if slices.Sort(lost); err != nil || !slices.Equal(lost, c.lost) {
				t.Errorf("%q are lost, want %q: %v", lost, c.lost, err)
			}
			if n := strings.Count(log.String(), "it is held open for them"); n != c.deleteFirst {
				t.Errorf("told of %d deleted dumps, want %d", n, c.deleteFirst)
			}
		})
	}
}
