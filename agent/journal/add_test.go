package journal

import (
	"fmt"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Dumps that are added at once, in any order, are found as those are that were added one by one.
func TestManyAtOnceAreWhatTheyAreOneByOne(t *testing.T) {
	many, _ := newJournal(t)
	single, _ := newJournal(t)
	var dumps []*Dump
	for i := range 300 {
		d := owed(fmt.Sprintf("%08x", i*7919%300), uint64(i*104729%300))
		if i%3 == 0 {
			d.Targets = map[string]Delivery{"a": {State: Declined}}
		}
		dumps = append(dumps, d)
	}
	if err := many.Add(dumps...); err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(dumps, 1) {
		if err := single.Add(chunk...); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := contents(t, many), contents(t, single); !slices.Equal(a, b) {
		t.Errorf("%d entries at once, %d one by one, or others", len(a), len(b))
	}
	strange, err := many.Strange([]File{dumps[5].File, {Ino: 99999}, {Ino: 99999}}, []string{"/no", dumps[7].Path, "/no"})
	if err != nil || !slices.Equal(strange, []bool{false, false, true}) {
		t.Errorf("strange: %v, %v", strange, err)
	}
	for _, c := range []struct {
		first, last string
		free        bool
	}{{"0000012c", "ffffffff", true}, {"0000012b", "0000012c", false}, {"00000000", "00000000", false}} {
		if free, err := many.Free(c.first, c.last); err != nil || free != c.free {
			t.Errorf("%s to %s: free %t, %v", c.first, c.last, free, err)
		}
	}
	if err := many.Rest(); err != nil { // and all is there again
		t.Error(err)
	}
	if a, b := contents(t, many), contents(t, single); !slices.Equal(a, b) {
		t.Error("after a rest something is missing")
	}
}

// contents are all entries of the buckets that Add fills.
func contents(t *testing.T, j *Journal) (all []string) {
	err := j.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketDumps, bucketOpen, bucketFiles, bucketPaths, bucketMet} {
			if err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				all = append(all, fmt.Sprintf("%s %x %x", name, k, v))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
