package journal

import (
	bolt "go.etcd.io/bbolt"
)

// Verdict is what reading a manifest once told about a backup, so that planning need not read it again.
type Verdict struct {
	// Version is of the manifest that was read (vault.Entry); with another one the verdict does not hold.
	Version string `json:"version"`
	// Stored is the size of the data, as the manifest has it.
	Stored int64 `json:"stored"`
	// Unsound says why the backup cannot be counted on, and Suspect why its dump is suspect; empty if nothing is wrong.
	Unsound string `json:"unsound,omitempty"`
	Suspect string `json:"suspect,omitempty"`
}

// Verdict is what is known of a backup on a target, if anything.
func (j *Journal) Verdict(target, object string) (v Verdict, known bool, err error) {
	err = j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketVerdicts).Bucket([]byte(target))
		if b == nil {
			return nil
		}
		known, err = get(b, []byte(object), &v)
		return err
	})
	return v, known, err
}

// SetVerdicts records what was learnt of a target's backups.
func (j *Journal) SetVerdicts(target string, verdicts map[string]Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	return j.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.Bucket(bucketVerdicts).CreateBucketIfNotExists([]byte(target))
		if err != nil {
			return err
		}
		for object, v := range verdicts {
			if err := put(b, []byte(object), v); err != nil {
				return err
			}
		}
		return nil
	})
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

// Gone forgets backups of a target that were removed.
func (j *Journal) Gone(target string, objects ...string) error {
	return j.db.Update(func(tx *bolt.Tx) error {
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
