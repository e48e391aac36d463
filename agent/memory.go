package agent

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"offsite/crypto"
)

// Memory is the budget for blocks in flight, shared by all targets and dumps. Each target has one block's worth of
// its own, and all compete for the rest: a slow target may hold what it took, but never stops another.
//
// Large buffers lie outside of the garbage collector's heap, which would let as much garbage gather as there are blocks, and
// the system has them back when the agent rests.
type memory struct {
	mu     sync.Mutex
	shared int64 // bytes that any target may take
	freed  chan struct{}
	class  int64    // size of the pooled buffers: the largest seen
	pool   [][]byte // given back, and within the budget since they were taken from it
}

// large is from which size on buffers are pooled.
const large = 1 << 20

// newMemory divides total bytes among targets: one block of blockSize for each, the rest shared.
func newMemory(total, blockSize int64, targets int) *memory {
	return &memory{shared: max(0, total-blockSize*int64(targets)), freed: make(chan struct{})}
}

// share is one target's way to the memory. The zero share with a memory has its own block free.
type share struct {
	memory *memory
	held   bool // the target's own block; guarded by memory.mu
}

// take waits for size bytes, from the target's own block first, and returns a buffer and the function that gives it
// back. More than all shared memory is given when it can be the target's only piece.
func (s *share) take(ctx context.Context, size int64) ([]byte, func(), error) {
	m := s.memory
	for {
		m.mu.Lock()
		freed := m.freed
		own := !s.held
		if own || size <= m.shared {
			b, err := m.buffer(size)
			if err == nil {
				s.has(b, own)
			}
			m.mu.Unlock()
			return b, func() { s.give(b, own) }, err
		}
		m.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// has notes that a buffer is taken. The caller holds the memory's lock.
func (s *share) has(b []byte, own bool) {
	if own {
		s.held = true
	} else {
		s.memory.shared -= int64(len(b))
	}
}

func (s *share) give(b []byte, own bool) {
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if own {
		s.held = false
	} else {
		m.shared += int64(len(b))
	}
	m.keep(b)
	close(m.freed)
	m.freed = make(chan struct{})
}

// buffer reuses what was given back.
func (m *memory) buffer(size int64) ([]byte, error) {
	class := sizeClass(size)
	if class < large {
		return make([]byte, size), nil
	}
	if n := len(m.pool); n > 0 && class == m.class {
		b := m.pool[n-1]
		m.pool = m.pool[:n-1]
		return b[:size], nil
	}
	b, err := unix.Mmap(-1, 0, int(class), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("memory for a block of %d bytes: %w", size, err)
	}
	return b[:size], nil
}

// keep pools large buffers of one size only, the largest: pools of many sizes would add up to more than the budget.
func (m *memory) keep(b []byte) {
	switch class := int64(cap(b)); {
	case class < large:
	case class < m.class:
		unix.Munmap(b[:class])
	case class > m.class:
		m.drop()
		m.class = class
		fallthrough
	default:
		m.pool = append(m.pool, b[:class])
	}
}

// close gives all memory back. Nothing may be in flight.
func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
}

func (m *memory) drop() {
	for _, b := range m.pool {
		unix.Munmap(b)
	}
	m.pool = nil
}

// rest lets go of the buffers that nobody has taken.
func (m *memory) rest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
}

// sizeClass is the next power of two, so that the last, shorter block of a dump can lend its buffer to a whole one.
func sizeClass(size int64) int64 {
	class := int64(1)
	for class < size {
		class *= 2
	}
	return class
}

// blockSize for a dump of this size.
func (a *Agent) blockSize(size int64) int64 {
	smallest := a.BlockSize
	if smallest == 0 {
		smallest = crypto.BlockSize
	}
	return crypto.BlockSizeFor(size, smallest)
}

// whole is the largest block that is held in memory.
func (a *Agent) whole() int64 { return cmp.Or(a.Whole, 32<<20) }

// ownMemory is what each target has for itself: a block of the usual size, or what one takes that is not held.
func (a *Agent) ownMemory() int64 {
	const tags = 1 << 20 // of a block of 4 GiB
	if own := a.blockSize(0); own <= a.whole() {
		return own
	}
	return tags
}
