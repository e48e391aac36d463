package agent

import (
	"runtime/debug"
	"time"
)

// rest is how an agent that has nothing to do gives back what work has left behind.
type rest struct {
	last, rested moment
}

// moment is what the journal was, and when it was read last: the same at two looks means that nothing went on in between.
type moment struct {
	revision int
	read     time.Time
}

// look is called from time to time. At the second of two moments that are the same it gives back what is pooled, known, mapped and freed,
// once: the buffers of blocks, the backups one by one, the pages of the journal, and the heap that the system does not get back by itself.
func (r *rest) look(a *Agent) {
	now := moment{revision: a.journal.Revision()}
	a.knowledge.mu.Lock()
	now.read = a.knowledge.read
	a.knowledge.mu.Unlock()
	if now == r.last && now != r.rested {
		r.rested = now
		a.memory.rest()
		a.knowledge.rest()
		a.journal.Rest()
		debug.FreeOSMemory()
	}
	r.last = now
}
