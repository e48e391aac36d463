package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Met is a dump that this host has met, in short.
type Met struct {
	ID string
	// Taken and Found are in whole seconds.
	Taken, Found time.Time
	Size         int64 // in bytes
	// Health is the state of the verdict on it; empty: there is none yet.
	Health string
}

// metKey puts the dumps of a series in the order in which they were taken, also before 1970.
func metKey(d *Dump) []byte {
	key := append([]byte(d.Series), 0)
	key = binary.BigEndian.AppendUint64(key, uint64(d.Taken.Unix())^1<<63)
	return append(key, d.ID...)
}

const metKeyTail = 1 + 8 // behind the series: 0, and taken; then the id

func metValue(d *Dump) []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(d.Found.Unix()))
	v = binary.BigEndian.AppendUint64(v, uint64(d.File.Size))
	if d.Health != nil {
		v = append(v, d.Health.State...)
	}
	return v
}

func met(series, key, v []byte) (Met, error) {
	tail := key[len(series):]
	if len(tail) < metKeyTail || len(v) < 16 {
		return Met{}, fmt.Errorf("journal entry %q is damaged", key)
	}
	seconds := func(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
	return Met{
		ID: string(tail[metKeyTail:]), Taken: time.Unix(int64(binary.BigEndian.Uint64(tail[1:])^1<<63), 0).UTC(),
		Found: time.Unix(seconds(v), 0).UTC(), Size: seconds(v[8:]), Health: string(v[16:]),
	}, nil
}

// Newest calls give for each series with the dumps of it that this host has met last, at most so many, in the order in which they
// were taken; of those with the same time, such as a file that was written over, the one that was found later is the newer. The series come
// in their order; give must not use the journal.
func (j *Journal) Newest(most int, give func(series string, last []Met) error) error {
	return j.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketMet).Cursor()
		key, _ := c.First()
		for key != nil {
			end := bytes.IndexByte(key, 0)
			if end < 0 {
				return fmt.Errorf("journal entry %q is damaged", key)
			}
			series := slices.Clone(key[:end])
			next, _ := c.Seek(append(slices.Clone(series), 1))
			k, v := c.Prev()
			if next == nil {
				k, v = c.Last()
			}
			var last []Met
			for ; k != nil && len(last) < most && bytes.HasPrefix(k, append(series[:end:end], 0)); k, v = c.Prev() {
				m, err := met(series, k, v)
				if err != nil {
					return err
				}
				last = append(last, m)
			}
			slices.Reverse(last)
			slices.SortStableFunc(last, func(a, b Met) int { return cmp.Or(a.Taken.Compare(b.Taken), a.Found.Compare(b.Found)) })
			if err := give(string(series), last); err != nil {
				return err
			}
			if next == nil {
				return nil
			}
			key, _ = c.Seek(append(slices.Clone(series), 1))
		}
		return nil
	})
}

// fillMet makes the index of a journal that has none: an earlier version of this program wrote it.
func fillMet(tx *bolt.Tx) error {
	b, err := tx.CreateBucket(bucketMet)
	if err != nil {
		return err
	}
	dumps := tx.Bucket(bucketDumps)
	return dumps.ForEach(func(id, _ []byte) error {
		var d Dump
		if _, err := get(dumps, id, &d); err != nil {
			return err
		}
		return b.Put(metKey(&d), metValue(&d))
	})
}
