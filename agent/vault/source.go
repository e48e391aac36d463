package vault

import (
	"context"
	"errors"
	"fmt"
	"io"

	"offsite/providers"
)

// Memory gives size bytes, and the function that gives them back; it may wait for that.
type Memory func(ctx context.Context, size int64) ([]byte, func(), error)

// Source is the data object as another target can store it: ciphertext, for which no key is needed. Each block is compared with
// its signed SHA-256 before it is given out. When no copy has a block whole, its error is providers.ErrSourceChanged and
// ErrIntegrity: a Put then leaves nothing.
func (c Copies) Source(m *Manifest, memory Memory) providers.Source {
	return &copied{m, newFetcher(c, m), memory}
}

// copied is the data object of a backup, fetched from its copies.
type copied struct {
	m      *Manifest
	from   *fetcher
	memory Memory
}

// Size, BlockSize and Sum are what the manifest says.
func (s *copied) Size() int64                { return s.m.Stored }
func (s *copied) BlockSize() int64           { return s.m.BlockSize }
func (s *copied) Sum(i int) ([32]byte, bool) { return s.m.Blocks[i], true }

// Block fetches a block, and verifies it.
func (s *copied) Block(ctx context.Context, i int) (*providers.Block, error) {
	if s.from.Large(s.m) {
		return s.large(ctx, i)
	}
	size := min(s.m.BlockSize, s.m.Stored-int64(i)*s.m.BlockSize)
	b, release, err := s.memory(ctx, size)
	if err != nil {
		return nil, err
	}
	b = b[:size]
	if err := s.from.block(ctx, i, b); err != nil {
		release()
		return nil, changed(err)
	}
	return providers.NewBlock(i, io.NewSectionReader(providers.Memory(b), 0, size), s.m.Blocks[i], release), nil
}

// changed gives damage the name that targets know.
func changed(err error) error {
	if errors.Is(err, ErrIntegrity) {
		return fmt.Errorf("%w: %w", providers.ErrSourceChanged, err)
	}
	return err
}
