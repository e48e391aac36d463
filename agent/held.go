package agent

import (
	"os"
	"sync"
	"syscall"

	"offsite/agent/journal"
)

// maxHeld bounds the descriptors of waiting dumps; what waits beyond that is opened when its turn comes.
const maxHeld = 256

// held keeps the files of dumps open while they wait for a target: a dump that is deleted or renamed before its turn
// (local rotation is often faster than the link) can still be read.
type held struct {
	mu    sync.Mutex
	files map[string]*os.File // by the dump's id
	told  map[string]bool     // that it was deleted
	// space is what the file system of a file has left, and has in all.
	space func(*os.File) (room, error)
}

func newHeld() held {
	return held{files: map[string]*os.File{}, told: map[string]bool{}, space: spaceOf}
}

// hold opens a dump that was found, if its path still has that version. Failing to do so is no error yet: it shows when the
// dump is shipped.
func (h *held) hold(d *journal.Dump) {
	if h.full() {
		return
	}
	f, err := os.OpenFile(d.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err == nil && (sameVersion(f, d.File) != nil || !h.put(d.ID, f)) {
		f.Close()
	}
}

func (h *held) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.files) >= maxHeld
}

// put keeps a file, unless there are too many already.
func (h *held) put(id string, f *os.File) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.files) >= maxHeld || h.files[id] != nil {
		return false
	}
	h.files[id] = f
	return true
}

// take gives the file away, or nil.
func (h *held) take(id string) *os.File {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.files[id]
	delete(h.files, id)
	delete(h.told, id)
	return f
}

// drop closes the file of a dump that no target waits for any more.
func (h *held) drop(id string) {
	if f := h.take(id); f != nil {
		f.Close()
	}
}

func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.files {
		f.Close()
	}
	clear(h.files)
}
