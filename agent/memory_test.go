package agent

import (
	"bytes"
	"context"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Blocks use the same memory one after the other, also when nothing is in flight between two, and none when the agent rests.
func TestBlocksUseTheSameMemoryUntilTheAgentRests(t *testing.T) {
	m := newMemory(4*large, large, 1)
	defer m.close()
	s := &share{memory: m}
	take := func(size int64) ([]byte, func()) {
		b, give, err := s.take(t.Context(), size)
		if err != nil || int64(len(b)) != size {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		copy(b, bytes.Repeat([]byte{1}, int(size)))
		return b, give
	}
	first, giveFirst := take(large)
	_, giveSecond := take(large)
	giveFirst()
	again, giveAgain := take(large - 1000) // the last block of a dump is shorter
	if &first[0] != &again[0] {
		t.Error("a block that was given back is not used again")
	}
	if n := resident(t, m); n != 0 {
		t.Errorf("%d bytes are pooled, and all are in use", n)
	}
	giveSecond()
	if n := resident(t, m); n != large {
		t.Errorf("%d bytes are there for the next block", n)
	}
	giveAgain()
	if n := resident(t, m); n != 2*large {
		t.Errorf("%d bytes are there for the next blocks", n)
	}
	m.rest()
	if len(m.pool) != 0 {
		t.Errorf("%d buffers are still there when the agent rests", len(m.pool))
	}

	_, giveSmall := take(1000)
	_, giveLarger := take(2 * large)
	giveLarger()
	giveSmall()
	if len(m.pool) != 1 || len(m.pool[0]) != 2*large {
		t.Errorf("the pool has %d buffers, want one of the larger size", len(m.pool))
	}
}

// An agent that rests gives back what is pooled while blocks are still in flight, too.
func TestRestUnmapsWhatIsPooled(t *testing.T) {
	m := newMemory(4*large, large, 1)
	defer m.close()
	s := &share{memory: m}
	var gives []func()
	for range 2 {
		b, give, err := s.take(t.Context(), large)
		if err != nil {
			t.Fatal(err)
		}
		copy(b, bytes.Repeat([]byte{1}, large))
		gives = append(gives, give)
	}
	gives[0]()
	pooled := m.pool
	m.rest()
	for _, b := range pooled {
		pages := make([]byte, len(b)/unix.Getpagesize())
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0]))); errno != unix.ENOMEM {
			t.Errorf("the memory is still mapped: %v", errno)
		}
	}
	gives[1]()
}

// Where blocks are not held, what they take instead does not make the targets wait for each other.
func TestBlocksThatAreNotHeldGoInParallel(t *testing.T) {
	a := &Agent{Options: Options{BlockSize: 1 << 30, Memory: 96 << 20}}
	m := newMemory(a.Memory, a.ownMemory(), 3)
	s := &share{memory: m}
	for range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := s.take(ctx, 256<<10); err != nil {
			t.Fatal(err)
		}
	}
}

// resident is how many bytes of the pool are in memory (mincore(2)).
func resident(t *testing.T, m *memory) (bytes int) {
	for _, b := range m.pool {
		pages := make([]byte, len(b)/unix.Getpagesize())
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
			t.Fatal(errno)
		}
		for _, p := range pages {
			bytes += int(p&1) * unix.Getpagesize()
		}
	}
	return bytes
}
