package agent

import (
	"context"
	"sync"
)

// Memory is the budget for blocks in flight, shared by all targets and dumps. Each target has one block's worth of
// its own, and all compete for the rest: a slow target may hold what it took, but never stops another.
type memory struct {
	mu     sync.Mutex
	shared int64 // bytes that any target may take
	freed  chan struct{}
	class  int64    // size of the pooled buffers: the largest seen
	pool   [][]byte // given back, and within the budget since they were taken from it
}

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
		ok := own || size <= m.shared
		var b []byte
		if ok {
			if own {
				s.held = true
			} else {
				m.shared -= size
			}
			b = m.buffer(size)
		}
		m.mu.Unlock()
		if ok {
			return b, func() { s.give(b, own) }, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
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

// buffer reuses what was given back, so that the heap does not grow with every block.
func (m *memory) buffer(size int64) []byte {
	if n := len(m.pool); n > 0 && size > m.class/2 && size <= m.class {
		b := m.pool[n-1]
		m.pool = m.pool[:n-1]
		return b[:size]
	}
	return make([]byte, size, sizeClass(size))
}

// keep pools large buffers of one size only: small ones cost little to make, and pools of many sizes would add up to
// more than the budget.
func (m *memory) keep(b []byte) {
	const large = 1 << 20
	class := int64(cap(b))
	if class < large || class < m.class {
		return
	}
	if class > m.class {
		m.class, m.pool = class, nil
	}
	m.pool = append(m.pool, b)
}

// sizeClass is the next power of two, so that the last, shorter block of a dump can lend its buffer to a whole one.
func sizeClass(size int64) int64 {
	class := int64(1)
	for class < size {
		class *= 2
	}
	return class
}
