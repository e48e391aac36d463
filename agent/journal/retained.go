package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Verdict is what reading a manifest once told about a backup, so that planning need not read it again.
type Verdict struct {
	// Version is of the manifest that was read (vault.Entry); with another one the verdict does not hold.
	Version string `json:"version"`
	// Stored is the size of the data, as the manifest has it.
	Stored int64 `json:"stored"`
	// Found is when its host first saw the dump.
	Found time.Time `json:"found,omitzero"`
	// Size of the dump, and Accepted whether a person said that it is fine though it was suspect.
	Size     int64 `json:"size,omitempty"`
	Accepted bool  `json:"accepted,omitempty"`
	// Whole: what is in the dump was read, and said that it is whole.
	Whole bool `json:"whole,omitempty"`
	// Print is a part of the dump's fingerprint: two backups of one name, time and print are of the same dump.
	Print string `json:"print,omitempty"`
	// Machine is which machine wrote it; empty: that is not known.
	Machine string `json:"machine,omitempty"`
	// Unsound says why the backup cannot be counted on, and Suspect why its dump is suspect; empty if nothing is wrong.
	Unsound string `json:"unsound,omitempty"`
	Suspect string `json:"suspect,omitempty"`
	// Trouble is what the last look at all of the target found wrong with it, such as that it is gone; empty: nothing.
	Trouble string `json:"trouble,omitempty"`
	// Locked is until when the target is known not to let the backup go.
	Locked time.Time `json:"locked,omitzero"`
	Proof
}

// Proof is what came of it when all of the data was read and compared. The zero Proof: nobody has looked.
type Proof struct {
	Proven time.Time `json:"proven,omitzero"`
	// Damage is what was wrong; empty: it was whole.
	Damage string `json:"damage,omitempty"`
	// Unread is why it could not be read, though the target answered; empty: it could. Proven is of the look before then.
	Unread string `json:"unread,omitempty"`
}

// SetProof records a look at the data of a backup of which there is a verdict.
func (j *Journal) SetProof(target, object string, p Proof) error {
	return j.changeVerdicts(target, []string{object}, func(_ string, v *Verdict) { v.Proof = p })
}

// changeVerdicts changes those of the verdicts that are there, in one transaction.
func (j *Journal) changeVerdicts(target string, objects []string, change func(object string, v *Verdict)) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketVerdicts).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		for _, object := range objects {
			var v Verdict
			known, err := get(b, []byte(object), &v)
			if err != nil {
				return err
			}
			if !known {
				continue
			}
			change(object, &v)
			if err := put(b, []byte(object), v); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetTroubles records what a look at all of a target found wrong, by object, and forgets what an earlier one did. It writes only if
// something has changed.
func (j *Journal) SetTroubles(target string, troubles map[string]string) error {
	changed := map[string]Verdict{}
	err := j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketVerdicts).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		return b.ForEach(func(object, text []byte) error {
			var v Verdict
			if err := json.Unmarshal(text, &v); err != nil {
				return fmt.Errorf("journal entry %q is damaged: %w", object, err)
			}
			if now := troubles[string(object)]; now != v.Trouble {
				v.Trouble = now
				changed[string(object)] = v
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return j.SetVerdicts(target, changed)
}

// Verdicts are what is known of backups on a target, in their order; nil where nothing is.
func (j *Journal) Verdicts(target string, objects []string) ([]*Verdict, error) {
	all := make([]*Verdict, len(objects))
	return all, j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketVerdicts).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		for i, object := range objects {
			var v Verdict
			known, err := get(b, []byte(object), &v)
			if err != nil {
				return err
			}
			if known {
				all[i] = &v
			}
		}
		return nil
	})
}

// SetVerdicts records what was learnt of a target's backups. Until when one is locked, and the last look at its data, stay known
// unless the verdict says them anew.
func (j *Journal) SetVerdicts(target string, verdicts map[string]Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	return j.db.Update(func(tx *bolt.Tx) error { return setVerdicts(tx, target, verdicts) })
}

func setVerdicts(tx *bolt.Tx, target string, verdicts map[string]Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	b, err := tx.Bucket(bucketVerdicts).CreateBucketIfNotExists([]byte(target))
	if err != nil {
		return err
	}
	for _, object := range slices.Sorted(maps.Keys(verdicts)) { // bbolt is slow to put many between others
		v := verdicts[object]
		var old Verdict
		if _, err := get(b, []byte(object), &old); err != nil {
			return err
		}
		if v.Locked.IsZero() {
			v.Locked = old.Locked
		}
		if v.Proof == (Proof{}) {
			v.Proof = old.Proof
		}
		if err := put(b, []byte(object), v); err != nil {
			return err
		}
	}
	return nil
}

// Known calls give for each backup that the target is known to have had, but for those whose removal has begun; give must not
// use the journal.
func (j *Journal) Known(target string, give func(object string, v Verdict)) error {
	return j.db.View(func(tx *bolt.Tx) error {
		b, doomed := tx.Bucket(bucketVerdicts).Bucket([]byte(target)), tx.Bucket(bucketDoomed).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		return b.ForEach(func(object, text []byte) error {
			if doomed != nil && doomed.Get(object) != nil {
				return nil
			}
			var v Verdict
			if err := json.Unmarshal(text, &v); err != nil {
				return fmt.Errorf("journal entry %q is damaged: %w", object, err)
			}
			give(string(object), v)
			return nil
		})
	})
}

// Doubt makes a target's manifest be read again before anything is concluded from it.
func (j *Journal) Doubt(target, object string) error {
	return j.changeVerdicts(target, []string{object}, func(_ string, v *Verdict) { v.Version = "" })
}

// Sized is the size of a healthy dump.
type Sized struct {
	Object   string
	Size     int64 // in bytes
	Accepted bool
	Whole    bool
}

// Healthy are the last healthy backups in a directory of a target, newest first, as far as their manifests have been read:
// count of them at most, all of an earlier time than the object, which need not be one, and of those that are wanted.
func (j *Journal) Healthy(target, dir, before string, count int, wanted func(object string) bool) (last []Sized, err error) {
	err = j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketVerdicts).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		prefix := []byte(dir + "/")
		c := b.Cursor()
		object, text := c.Last()
		if found, _ := c.Seek([]byte(before)); found != nil {
			object, text = c.Prev()
		}
		for ; bytes.HasPrefix(object, prefix) && len(last) < count; object, text = c.Prev() {
			var v Verdict
			if err := json.Unmarshal(text, &v); err != nil {
				return fmt.Errorf("journal entry %q is damaged: %w", object, err)
			}
			if v.Size > 0 && wanted(string(object)) && v.Suspect == "" && v.Unsound == "" {
				last = append(last, Sized{string(object), v.Size, v.Accepted, v.Whole})
			}
		}
		return nil
	})
	return last, err
}

// Doom records backups that are about to be removed from a target: if that is cut off, their data is still to go.
func (j *Journal) Doom(target string, objects []string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.Bucket(bucketDoomed).CreateBucketIfNotExists([]byte(target))
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := b.Put([]byte(object), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// Doomed are the backups whose removal from the target has begun and not ended.
func (j *Journal) Doomed(target string) (objects []string, err error) {
	err = j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketDoomed).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		return b.ForEach(func(object, _ []byte) error {
			objects = append(objects, string(object))
			return nil
		})
	})
	return objects, err
}

// SetLocked records until when a target does not let backups go, of which there is a verdict; the zero time: it does.
func (j *Journal) SetLocked(target string, locked map[string]time.Time) error {
	if len(locked) == 0 {
		return nil
	}
	return j.changeVerdicts(target, slices.Sorted(maps.Keys(locked)), func(object string, v *Verdict) { v.Locked = locked[object] })
}

// Spare takes back that a backup is doomed: the target does not let it go, and nothing was removed.
func (j *Journal) Spare(target, object string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketDoomed).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		return b.Delete([]byte(object))
	})
}

// Gone forgets backups of a target that were removed, and notes so of those of ids, the dumps that they were of.
func (j *Journal) Gone(target string, objects, ids []string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		for _, id := range ids {
			var d Dump
			known, err := get(tx.Bucket(bucketDumps), []byte(id), &d)
			if err != nil {
				return err
			}
			if !known || d.Targets[target].State != Delivered {
				continue
			}
			d.Targets[target] = Delivery{State: Removed, Object: d.Targets[target].Object}
			if err := save(tx, &d); err != nil {
				return err
			}
		}
		for _, name := range [][]byte{bucketDoomed, bucketVerdicts} {
			b := tx.Bucket(name).Bucket([]byte(target))
			if b == nil {
				continue
			}
			for _, object := range objects {
				if err := b.Delete([]byte(object)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
