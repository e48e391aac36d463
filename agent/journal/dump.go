package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// State is how far a dump is on one target.
type State string

const (
	// Owed: the target lacks the dump, and the agent goes on trying.
	Owed State = "owed"
	// Delivered: the target has confirmed data and manifest.
	Delivered State = "delivered"
	// Lost: the dump went away or changed before the target had it. Nothing more is tried.
	Lost State = "lost"
	// Removed: the target had the dump, and retention has removed it.
	Removed State = "removed"
	// Declined: the target's retention would have removed the dump at once, so it did not get it.
	Declined State = "declined"
)

// Delivery is one target's part of a dump.
type Delivery struct {
	State State `json:"state"`
	// Object is the data object's name on the target, once it is known.
	Object string `json:"object,omitempty"`
	// At is when the state was entered.
	At time.Time `json:"at"`
	// Policy is that by which the dump was declined.
	Policy string `json:"policy,omitempty"`
	// Pending says that the manifest there was written before there was a verdict on the dump's health.
	Pending bool `json:"pending,omitempty"`
}

// Health is the verdict on a dump's bytes. It has the fields of a manifest's.
type Health struct {
	State    string    `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Packing  string    `json:"packing,omitempty"`
	Unpacked int64     `json:"unpacked,omitempty"`
	Accepted time.Time `json:"accepted,omitzero"`
}

// Dump is one version of one file.
type Dump struct {
	// ID is of the dump's sealing, and part of its objects' names.
	ID string `json:"id"`
	// Path is any bytes but 0, as file names are: see MarshalJSON.
	Path string `json:"-"`
	File File   `json:"file"`

	Series    string    `json:"series"`
	Taken     time.Time `json:"taken"`
	TakenFrom string    `json:"taken_from"`
	Zone      string    `json:"zone"`
	Name      string    `json:"name"`
	// Suspect says why the dump is suspect by its name and time; empty if it is not.
	Suspect string `json:"suspect,omitempty"`
	// Health is what its bytes said; nil: they have not been examined yet.
	Health *Health `json:"health,omitempty"`

	Found time.Time `json:"found"`
	// Object is the name of the data object on every target to which this program sends it.
	Object string `json:"object"`
	// Sealing is crypto.Sealing's state: nil before the first block is sealed, and after the last delivery.
	Sealing []byte `json:"sealing,omitempty"`
	// Recipients are those that the sealing was made for, as the configuration wrote them then.
	Recipients []string `json:"recipients,omitempty"`
	// Fingerprint is the MAC of the dump's SHA-256, once all of it has been read; zero before.
	Fingerprint [32]byte `json:"fingerprint,omitzero"`

	// Former is the id of the dump that this file was before it was lost for some target; empty if there is none. What
	// that one had begun on a target may be there after all.
	Former string `json:"former,omitempty"`

	Targets map[string]Delivery `json:"targets"`
}

// plain is a Dump as encoding/json sees it.
type plain Dump

// written is a Dump as it is written down: with the path as bytes, since JSON would replace what is not UTF-8, and the file would not be
// found again.
type written struct {
	*plain
	Path []byte `json:"path"`
}

// written is what MarshalJSON writes: given to encoding/json itself, it is not read through once more.
func (d *Dump) written() written { return written{(*plain)(d), []byte(d.Path)} }

// MarshalJSON writes the path as bytes.
func (d *Dump) MarshalJSON() ([]byte, error) { return json.Marshal(d.written()) }

// UnmarshalJSON reads what MarshalJSON wrote. Called by itself, and not by encoding/json, it goes through it once less.
func (d *Dump) UnmarshalJSON(b []byte) error {
	v := written{plain: (*plain)(d)}
	err := json.Unmarshal(b, &v)
	d.Path = string(v.Path)
	return err
}

// Open says whether some target still lacks the dump and may get it.
func (d *Dump) Open() bool {
	for _, t := range d.Targets {
		if t.State == Owed {
			return true
		}
	}
	return false
}

// Unsettled says whether something is to be done for the dump: some target lacks it, or lacks the verdict on it.
func (d *Dump) Unsettled() bool {
	for _, t := range d.Targets {
		if t.Pending {
			return true
		}
	}
	return d.Open()
}

func save(tx *bolt.Tx, d *Dump) error {
	id := []byte(d.ID)
	if d.Unsettled() {
		if err := tx.Bucket(bucketOpen).Put(id, nil); err != nil {
			return err
		}
	} else if err := tx.Bucket(bucketOpen).Delete(id); err != nil {
		return err
	}
	if !d.Open() {
		// No target needs the sealing any more: its key and digests go with it.
		d.Sealing = nil
		if tx.Bucket(bucketDigests).Bucket(id) != nil {
			if err := tx.Bucket(bucketDigests).DeleteBucket(id); err != nil {
				return err
			}
		}
	}
	if files := tx.Bucket(bucketFiles); string(idOf(files.Get(d.File.key()))) == d.ID {
		if err := files.Put(d.File.key(), fileValue(d)); err != nil {
			return err
		}
	}
	if err := tx.Bucket(bucketMet).Put(metKey(d), metValue(d)); err != nil {
		return err
	}
	return put(tx.Bucket(bucketDumps), id, d.written())
}

// fileValue is the dump's id, and what Settled compares, unless it was lost and what is there now is another version.
func fileValue(d *Dump) []byte {
	var targets []string
	for name, t := range d.Targets {
		if t.State == Lost {
			return []byte(d.ID)
		}
		targets = append(targets, name)
	}
	return append([]byte(d.ID), settled(d.File, d.Path, targets)...)
}

// settled stands for a file, its path, and the targets of which the journal knows what is with it.
func settled(f File, path string, targets []string) []byte {
	targets = slices.Clone(targets)
	slices.Sort(targets)
	b := make([]byte, 0, 512)
	b = append(b, f.key()...)
	b = binary.BigEndian.AppendUint64(b, uint64(f.CTime))
	for _, s := range append(targets, path) {
		b = append(strconv.AppendInt(b, int64(len(s)), 10), ' ')
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return sum[:16]
}

// idOf is the id in a value of bucketFiles.
func idOf(v []byte) []byte { return v[:min(8, len(v))] }

// Settled says whether this file is a dump at this path, unchanged in every way, of which exactly these targets have it, are
// owed it or do not want it. It is quick; that it is not settled may only mean that somebody has to look closer.
func (j *Journal) Settled(f File, path string, targets []string) (is bool, err error) {
	want := settled(f, path, targets)
	err = j.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketFiles).Get(f.key())
		is = len(v) > 8 && bytes.Equal(v[8:], want)
		return nil
	})
	return is, err
}

// Strange says of each file whether no dump has it or its path, for many in one look.
func (j *Journal) Strange(files []File, paths []string) (strange []bool, err error) {
	strange = make([]bool, len(files))
	err = j.db.View(func(tx *bolt.Tx) error {
		byFile, byPath := tx.Bucket(bucketFiles), tx.Bucket(bucketPaths)
		for i, f := range files {
			strange[i] = byFile.Get(f.key()) == nil && byPath.Get([]byte(paths[i])) == nil
		}
		return nil
	})
	return strange, err
}

// Free says whether no dump has an id from the one to the other.
func (j *Journal) Free(first, last string) (free bool, err error) {
	err = j.db.View(func(tx *bolt.Tx) error {
		id, _ := tx.Bucket(bucketDumps).Cursor().Seek([]byte(first))
		free = id == nil || string(id) > last
		return nil
	})
	return free, err
}

// Update changes one dump in one transaction, and gives back what it is now. Concurrent updates share an fdatasync.
// change may be called more than once.
func (j *Journal) Update(id string, change func(*Dump)) (*Dump, error) {
	return j.update(id, change, func(*bolt.Tx) error { return nil })
}

// Deliver is Update that sets, in the same transaction, verdicts on what a target has now; see SetVerdicts.
func (j *Journal) Deliver(id, target string, verdicts map[string]Verdict, change func(*Dump)) (*Dump, error) {
	return j.update(id, change, func(tx *bolt.Tx) error { return setVerdicts(tx, target, verdicts) })
}

func (j *Journal) update(id string, change func(*Dump), also func(tx *bolt.Tx) error) (*Dump, error) {
	var d *Dump
	err := j.db.Batch(func(tx *bolt.Tx) error {
		if err := also(tx); err != nil {
			return err
		}
		var found bool
		var err error
		if d, found, err = j.dump(tx, []byte(id)); err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("journal has no dump %s", id)
		}
		oldFile, oldPath := d.File, d.Path
		change(d)
		if oldFile != d.File || oldPath != d.Path {
			if err := move(tx, oldFile, oldPath, d); err != nil {
				return err
			}
		}
		return save(tx, d)
	})
	return d, err
}

func move(tx *bolt.Tx, oldFile File, oldPath string, d *Dump) error {
	files, paths := tx.Bucket(bucketFiles), tx.Bucket(bucketPaths)
	if string(idOf(files.Get(oldFile.key()))) == d.ID {
		if err := files.Delete(oldFile.key()); err != nil {
			return err
		}
	}
	if string(paths.Get([]byte(oldPath))) == d.ID {
		if err := paths.Delete([]byte(oldPath)); err != nil {
			return err
		}
	}
	if err := files.Put(d.File.key(), fileValue(d)); err != nil {
		return err
	}
	return paths.Put([]byte(d.Path), []byte(d.ID))
}

// Record writes down a block's digest, and the state of the sealing with the first of them: before a byte of the
// block leaves the process. Concurrent calls share an fdatasync.
func (j *Journal) Record(id string, sealing []byte, recipients []string, block int, digest [64]byte) error {
	return j.db.Batch(func(tx *bolt.Tx) error {
		d, found, err := j.dump(tx, []byte(id))
		if err != nil {
			return err
		}
		if !found || !d.Open() {
			return fmt.Errorf("journal has no open dump %s", id)
		}
		if d.Sealing == nil {
			d.Sealing, d.Recipients = sealing, recipients
			if err := put(tx.Bucket(bucketDumps), []byte(id), d.written()); err != nil {
				return err
			}
		}
		b, err := tx.Bucket(bucketDigests).CreateBucketIfNotExists([]byte(id))
		if err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, uint64(block)), digest[:])
	})
}

// Digests calls give for each recorded digest of a dump's sealing, in ascending order of the blocks.
func (j *Journal) Digests(id string, give func(block int, digest [64]byte) error) error {
	return j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketDigests).Bucket([]byte(id))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if len(k) != 8 || len(v) != 64 {
				return fmt.Errorf("journal: digest %x of dump %s is damaged", k, id)
			}
			return give(int(binary.BigEndian.Uint64(k)), [64]byte(v))
		})
	})
}

// ByFile is the newest dump with this device, inode, size and mtime, or nil.
func (j *Journal) ByFile(f File) (*Dump, error) { return j.by(bucketFiles, f.key()) }

// ByPath is the newest dump found at this path, or nil.
func (j *Journal) ByPath(path string) (*Dump, error) { return j.by(bucketPaths, []byte(path)) }

func (j *Journal) by(index, key []byte) (d *Dump, err error) {
	err = j.db.View(func(tx *bolt.Tx) (err error) {
		if id := idOf(tx.Bucket(index).Get(key)); len(id) > 0 {
			d, _, err = j.dump(tx, id)
		}
		return err
	})
	return d, err
}

// ByID is one dump, or nil.
func (j *Journal) ByID(id string) (d *Dump, err error) {
	err = j.db.View(func(tx *bolt.Tx) (err error) {
		d, _, err = j.dump(tx, []byte(id))
		return err
	})
	return d, err
}

// Each calls give for each dump; give must not use the journal.
func (j *Journal) Each(give func(*Dump) error) error {
	return j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketDumps)
		return b.ForEach(func(id, _ []byte) error {
			var d Dump
			if _, err := get(b, id, &d); err != nil {
				return err
			}
			return give(&d)
		})
	})
}

// EachUnsettled calls give for each dump that is Unsettled; give must not use the journal.
func (j *Journal) EachUnsettled(give func(*Dump) error) error {
	return j.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketOpen).ForEach(func(id, _ []byte) error {
			var d Dump
			found, err := get(tx.Bucket(bucketDumps), id, &d)
			if err != nil || !found {
				return err
			}
			return give(&d)
		})
	})
}
