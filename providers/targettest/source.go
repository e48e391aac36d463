package targettest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"

	"offsite/providers"
)

// Source is a scripted source: deterministic bytes, counted calls, and failures on demand.
type Source struct {
	bytes []byte
	block int64
	// Fail, if set, decides before each block whether making it fails.
	Fail func(ctx context.Context, i int) error
	// FailRead, if set, decides before each read of a block's body whether it fails: a block that is not held in memory is
	// made while it is read. end is where the read ends, from the start of the block.
	FailRead func(i int, end int64) error
	// HideSums makes Sum know nothing, as of blocks that were never made.
	HideSums bool

	mu       sync.Mutex
	made     map[int]int
	released int
	resumed  int
	late     int
	slots    chan struct{}
}

// NewSource gives size bytes that follow from seed, in blocks of block bytes, at most 4 of them alive at once: a Put
// that hoards blocks hangs.
func NewSource(seed byte, size, block int64) *Source {
	s := &Source{bytes: make([]byte, size), block: block, made: map[int]int{}, slots: make(chan struct{}, 4)}
	rand.NewChaCha8([32]byte{seed}).Read(s.bytes)
	return s
}

// Resumed is part of providers.Resumer.
func (s *Source) Resumed(from, to int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumed += to - from
}

// Size is part of providers.Source.
func (s *Source) Size() int64 { return int64(len(s.bytes)) }

// Bytes are all of them.
func (s *Source) Bytes() []byte { return s.bytes }

// BlockSize is part of providers.Source.
func (s *Source) BlockSize() int64 { return s.block }

func (s *Source) slice(i int) []byte {
	return s.bytes[int64(i)*s.block : min(int64(i+1)*s.block, s.Size())]
}

// Block is part of providers.Source.
func (s *Source) Block(ctx context.Context, i int) (*providers.Block, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.Fail != nil {
		if err := s.Fail(ctx, i); err != nil {
			<-s.slots
			return nil, err
		}
	}
	s.mu.Lock()
	s.made[i]++
	s.mu.Unlock()
	b := s.slice(i)
	body := &body{source: s, block: i, bytes: bytes.NewReader(b)}
	return providers.NewBlock(i, io.NewSectionReader(body, 0, int64(len(b))), sha256.Sum256(b), func() {
		<-s.slots
		s.mu.Lock()
		defer s.mu.Unlock()
		s.released++
		body.over = true
	}), nil
}

// body is the bytes of a block until it is released. By then a real source has made another one in the same memory.
type body struct {
	source *Source
	block  int
	bytes  *bytes.Reader
	over   bool // guarded by source.mu
}

func (b *body) ReadAt(p []byte, offset int64) (int, error) {
	b.source.mu.Lock()
	if b.over {
		b.source.late++
	}
	b.source.mu.Unlock()
	if b.source.FailRead != nil {
		if err := b.source.FailRead(b.block, offset+int64(len(p))); err != nil {
			return 0, err
		}
	}
	return b.bytes.ReadAt(p, offset)
}

// Sum is part of providers.Source.
func (s *Source) Sum(i int) ([32]byte, bool) {
	if s.HideSums {
		return [32]byte{}, false
	}
	return sha256.Sum256(s.slice(i)), true
}

// Made counts the blocks that were asked for, each as often as it was.
func (s *Source) Made() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.made {
		n += times
	}
	return n
}

// check says whether every block was released once, and not read afterwards.
func (s *Source) check() error {
	s.mu.Lock()
	released, late := s.released, s.late
	s.mu.Unlock()
	if late > 0 {
		return errors.New("a block was read after it was released")
	}
	if made := s.Made(); made != released {
		return errors.New("a block was not released")
	}
	return nil
}
