package journal_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"offsite/agent/journal"
)

func TestTheNewestDumpsOfEachSeries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(1969, 12, 31, 12, 0, 0, 0, time.UTC)
	for i := range 60 {
		d := &journal.Dump{
			ID: fmt.Sprintf("%08x", 977*i%4096), Path: fmt.Sprint("/d/", i), File: journal.File{Ino: uint64(i), Size: int64(100 + i)},
			Series: []string{"a", "a\x01", "ab"}[i%3], Taken: begin.Add(time.Duration(i) * time.Hour), Found: begin.Add(time.Duration(i)*time.Hour + time.Minute),
			Targets: map[string]journal.Delivery{"nas": {State: journal.Owed}},
		}
		if err := j.Add(d); err != nil {
			t.Fatal(err)
		}
		if i == 57 {
			if _, err := j.Update(d.ID, func(d *journal.Dump) { d.Health = &journal.Health{State: "suspect"} }); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func() {
		t.Helper()
		var names []string
		err := j.Newest(7, func(series string, last []journal.Met) error {
			names = append(names, series)
			if len(last) != 7 || !slices.IsSortedFunc(last, func(a, b journal.Met) int { return a.Taken.Compare(b.Taken) }) {
				t.Errorf("%q: %+v", series, last)
			}
			newest := last[6]
			if i := newest.Size - 100; i < 57 || !newest.Taken.Equal(begin.Add(time.Duration(i)*time.Hour)) || newest.Found.Sub(newest.Taken) != time.Minute {
				t.Errorf("%q: %+v", series, newest)
			}
			if want := map[string]string{"a": "suspect"}[series]; newest.Health != want {
				t.Errorf("%q: health %q", series, newest.Health)
			}
			return nil
		})
		if err != nil || !slices.Equal(names, []string{"a", "a\x01", "ab"}) {
			t.Errorf("%q %v", names, err)
		}
	}
	check()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// A journal of an earlier version of this program has no such index.
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("met")) }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if j, err = journal.Open(path); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	check()
}

// A file that is written over has the same time in its name: what was found later is the newer, whatever its id.
func TestOfOneTimeTheLaterFoundIsTheNewest(t *testing.T) {
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	taken := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	for i, id := range []string{"00000005", "00000009", "00000001"} {
		d := &journal.Dump{ID: id, Path: "/d/a", File: journal.File{Ino: uint64(i)}, Series: "a", Taken: taken, Found: taken.Add(time.Duration(i) * time.Minute), Targets: map[string]journal.Delivery{}}
		if err := j.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	err = j.Newest(7, func(_ string, last []journal.Met) error {
		if len(last) != 3 || last[2].ID != "00000001" || last[1].ID != "00000009" {
			t.Errorf("%+v", last)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
