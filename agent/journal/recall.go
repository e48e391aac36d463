package journal

import (
	"bytes"
	"fmt"
	"maps"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// recalled are the dumps that were read last, decoded. A dump on its way is asked for a dozen times, and to decode it
// took a seventh of what a small one cost. What is in the file counts: an entry is good as long as its text is the same.
type recalled struct {
	mu    sync.Mutex
	dumps map[string]decoded
}

type decoded struct {
	text []byte
	dump *Dump
}

// maxRecalled bounds how many there are; of more, some are forgotten.
const maxRecalled = 64

// dump reads one from its bucket.
func (j *Journal) dump(tx *bolt.Tx, id []byte) (d *Dump, found bool, err error) {
	text := tx.Bucket(bucketDumps).Get(id)
	if text == nil {
		return nil, false, nil
	}
	if d := j.recalled.get(string(id), text); d != nil {
		return d, true, nil
	}
	d = new(Dump)
	if err := d.UnmarshalJSON(text); err != nil {
		return nil, false, fmt.Errorf("journal entry %q is damaged: %w", id, err)
	}
	j.recalled.put(string(id), bytes.Clone(text), d)
	return d, true, nil
}

func (r *recalled) get(id string, text []byte) *Dump {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.dumps[id]; e.dump != nil && bytes.Equal(e.text, text) {
		return e.dump.clone()
	}
	return nil
}

func (r *recalled) put(id string, text []byte, d *Dump) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.dumps {
		if len(r.dumps) < maxRecalled {
			break
		}
		delete(r.dumps, other)
	}
	r.dumps[id] = decoded{text, d.clone()}
}

// clone has its own targets and health; the state of the sealing is never changed, but set.
func (d *Dump) clone() *Dump {
	c := *d
	c.Targets = maps.Clone(d.Targets)
	if d.Health != nil {
		h := *d.Health
		c.Health = &h
	}
	return &c
}
