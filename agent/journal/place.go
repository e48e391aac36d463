package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Place is where a target was when the journal last knew.
type Place struct {
	// Location tells one place from another, such as s3://bucket/prefix.
	Location string `json:"location"`
	// Surveyed is when the target was asked what it holds; zero: not yet.
	Surveyed time.Time `json:"surveyed"`
	// Scrubbed is when a share of what lies there was read last.
	Scrubbed time.Time `json:"scrubbed,omitzero"`
}

// SetScrubbed records that a share of what lies on a target was read.
func (j *Journal) SetScrubbed(target string, at time.Time) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		var p Place
		if _, err := get(tx.Bucket(bucketTargets), []byte(target), &p); err != nil {
			return err
		}
		p.Scrubbed = at
		return put(tx.Bucket(bucketTargets), []byte(target), p)
	})
}

// Place is what the journal knows of a target. The zero Place: nothing.
func (j *Journal) Place(target string) (Place, error) {
	var p Place
	err := j.db.View(func(tx *bolt.Tx) error {
		_, err := get(tx.Bucket(bucketTargets), []byte(target), &p)
		return err
	})
	return p, err
}

// Move forgets all that the journal knew of a target, because it is new or has another location now: nothing is
// delivered there, and it is to be surveyed.
func (j *Journal) Move(target, location string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		if err := forget(tx, target, target, func(*Dump) bool { return true }); err != nil {
			return err
		}
		for _, bucket := range [][]byte{bucketRemote, bucketVerdicts, bucketDoomed} {
			if err := drop(tx, bucket, target); err != nil {
				return err
			}
		}
		return put(tx.Bucket(bucketTargets), []byte(target), Place{Location: location})
	})
}

// Only forgets all targets but these: what was owed to others is owed to nobody, and the keys for it go. A target that
// comes back is surveyed like a new one.
func (j *Journal) Only(targets []string) error {
	var gone []string
	err := j.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketTargets).ForEach(func(name, _ []byte) error {
			if !slices.Contains(targets, string(name)) {
				gone = append(gone, string(name))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, name := range gone {
		if err := j.Move(name, ""); err != nil {
			return err
		}
		err := j.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketTargets).Delete([]byte(name)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Reconsider forgets which dumps a target declined by another policy than the one that holds now: if they are still on
// this host, they are found anew, and asked about again.
func (j *Journal) Reconsider(target string, policy func(series string) string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		return forget(tx, target, string(Declined), func(d *Dump) bool {
			t := d.Targets[target]
			return t.State == Declined && t.Policy != policy(d.Series)
		})
	})
}

// Undecline forgets which dumps of a series targets declined, and gives the paths at which these were.
func (j *Journal) Undecline(series string) (paths []string, err error) {
	err = j.db.Update(func(tx *bolt.Tx) error {
		paths = nil
		var changed []*Dump
		err := tx.Bucket(bucketDumps).ForEach(func(id, _ []byte) error {
			var d Dump
			if _, err := get(tx.Bucket(bucketDumps), id, &d); err != nil {
				return err
			}
			if d.Series == series && d.undecline() {
				changed = append(changed, &d)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, d := range changed {
			paths = append(paths, d.Path)
			if err := save(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
	return paths, err
}

// undecline says whether some target had declined the dump.
func (d *Dump) undecline() (did bool) {
	for target, t := range d.Targets {
		if t.State == Declined {
			delete(d.Targets, target)
			did = true
		}
	}
	return did
}

// forget takes the target from the dumps of which it is to be taken. A dump without a word that all of them have need not be looked at
// more closely: at each start that is asked of each dump.
func forget(tx *bolt.Tx, target, word string, which func(*Dump) bool) error {
	text, err := json.Marshal(word)
	if err != nil {
		return err
	}
	var changed []*Dump
	err = tx.Bucket(bucketDumps).ForEach(func(id, v []byte) error {
		if !bytes.Contains(v, text) {
			return nil
		}
		var d Dump
		if _, err := get(tx.Bucket(bucketDumps), id, &d); err != nil {
			return err
		}
		if _, ok := d.Targets[target]; ok && which(&d) {
			delete(d.Targets, target)
			changed = append(changed, &d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range changed {
		if err := save(tx, d); err != nil {
			return err
		}
	}
	return nil
}

// Survey records the names of what lies on a target, all of it at once.
func (j *Journal) Survey(target, location string, at time.Time, found map[RemoteKey][]string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		if err := drop(tx, bucketRemote, target); err != nil {
			return err
		}
		b, err := tx.Bucket(bucketRemote).CreateBucket([]byte(target))
		if err != nil {
			return err
		}
		for key, objects := range found {
			if err := put(b, key.bytes(), objects); err != nil {
				return err
			}
		}
		return put(tx.Bucket(bucketTargets), []byte(target), Place{Location: location, Surveyed: at})
	})
}

// drop removes what one of the buckets has of a target.
func drop(tx *bolt.Tx, bucket []byte, target string) error {
	if tx.Bucket(bucket).Bucket([]byte(target)) == nil {
		return nil
	}
	return tx.Bucket(bucket).DeleteBucket([]byte(target))
}

// RemoteKey is what a dump and an object's name can be compared by.
type RemoteKey struct {
	Series string
	// Taken in seconds since 1970.
	Taken int64
	// File is the file name as the object's name has it.
	File string
}

func (k RemoteKey) bytes() []byte { return fmt.Appendf(nil, "%q %d %q", k.Series, k.Taken, k.File) }

// Remote is the data objects of the backups with this key that lay on the target when it was surveyed.
func (j *Journal) Remote(target string, key RemoteKey) (objects []string, err error) {
	err = j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRemote).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		_, err := get(b, key.bytes(), &objects)
		return err
	})
	return objects, err
}
