package journal

import (
	"bytes"
	"encoding/json"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Add records new dumps, all in one transaction.
func (j *Journal) Add(dumps ...*Dump) error {
	var a additions
	for _, d := range dumps {
		if err := a.add(d); err != nil {
			return err
		}
	}
	return j.db.Update(a.put)
}

// additions are the entries of new dumps, by bucket.
type additions struct{ dumps, open, files, paths, met []entry }

type entry struct{ key, value []byte }

func (a *additions) add(d *Dump) error {
	if !d.Open() {
		d.Sealing = nil // as in save
	}
	text, err := json.Marshal(d.written())
	if err != nil {
		return err
	}
	id := []byte(d.ID)
	a.dumps = append(a.dumps, entry{id, text})
	if d.Unsettled() {
		a.open = append(a.open, entry{id, nil})
	}
	a.files = append(a.files, entry{d.File.key(), fileValue(d)})
	a.paths = append(a.paths, entry{[]byte(d.Path), id})
	a.met = append(a.met, entry{metKey(d), metValue(d)})
	return nil
}

// put puts them in the order of their keys: bbolt would move what comes behind for each of thousands otherwise. Of one key the last
// holds.
func (a *additions) put(tx *bolt.Tx) error {
	for _, to := range []struct {
		bucket  []byte
		entries []entry
	}{{bucketDumps, a.dumps}, {bucketOpen, a.open}, {bucketFiles, a.files}, {bucketPaths, a.paths}, {bucketMet, a.met}} {
		slices.SortStableFunc(to.entries, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
		b := tx.Bucket(to.bucket)
		b.FillPercent = 0.9 // few come between them later: half empty pages would only have to be written, and held
		for _, e := range to.entries {
			if err := b.Put(e.key, e.value); err != nil {
				return err
			}
		}
	}
	return nil
}
