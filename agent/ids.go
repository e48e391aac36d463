package agent

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"

	"offsite/agent/journal"
)

// ids draws the ids of dumps. Those of dumps that come at once follow one another from a random one, so that no two of them are the
// same, and they lie side by side in the journal: 100,000 random ones would write each page of it again and again.
type ids struct {
	mu   sync.Mutex
	next uint32
	left int // how many may follow
}

// row lets the next ids, so many, follow one another. No dump in the journal has one of them.
func (i *ids) row(j *journal.Journal, n int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.begin(j, n)
}

func (i *ids) begin(j *journal.Journal, n int) error {
	for {
		var b [4]byte
		rand.Read(b[:])
		first := binary.BigEndian.Uint32(b[:])
		last := first + uint32(n) - 1
		if last < first {
			continue // they would begin again at 0
		}
		free, err := j.Free(hexID(first), hexID(last))
		if err != nil {
			return err
		}
		if free {
			i.next, i.left = first, n
			return nil
		}
	}
}

// draw is the next one.
func (i *ids) draw(j *journal.Journal) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.left == 0 {
		if err := i.begin(j, 1); err != nil {
			return "", err
		}
	}
	id := i.next
	i.next, i.left = i.next+1, i.left-1
	return hexID(id), nil
}

// hexID is 8 hex digits.
func hexID(id uint32) string { return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, id)) }
