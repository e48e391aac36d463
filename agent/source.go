package agent

import (
	"context"
	"errors"
	"fmt"
	"io"

	"offsite/agent/limit"
	"offsite/crypto"
	"offsite/providers"
)

// source is a sealed dump as a target sees it: ciphertext blocks, made when they are asked for.
type source struct {
	shipment *shipment
	share    *share
	limiter  *limit.Limiter
	sent     func(bytes int64) // told of each block that was released
	had      func(bytes int64) // told of what the target had already
}

// Size and BlockSize are those of the sealing, in bytes.
func (s *source) Size() int64      { return s.shipment.sealing.Size() }
func (s *source) BlockSize() int64 { return s.shipment.sealing.BlockSize() }

// Block seals one block. Its digest is in the journal before this returns.
func (s *source) Block(ctx context.Context, i int) (*providers.Block, error) {
	if min(s.BlockSize(), s.Size()) > s.shipment.agent.whole() {
		return s.stream(ctx, i)
	}
	size := min(s.BlockSize(), s.Size()-int64(i)*s.BlockSize())
	end, err := s.limiter.Open(ctx)
	if err != nil {
		return nil, err
	}
	p, giveBack, err := s.share.take(ctx, size)
	if err != nil {
		end()
		return nil, err
	}
	sum, err := s.shipment.seal(ctx, i, p)
	if err != nil {
		giveBack()
		end()
		if ctx.Err() == nil {
			err = &sourceFailure{err}
		}
		return nil, err
	}
	release := func() {
		giveBack()
		end()
		s.sent(size)
	}
	return providers.NewBlock(i, io.NewSectionReader(s.limiter.Reader(ctx, providers.Memory(p)), 0, size), sum, release), nil
}

// Resumed is part of providers.Resumer.
func (s *source) Resumed(from, to int) {
	end := min(int64(to)*s.BlockSize(), s.Size())
	s.had(end - int64(from)*s.BlockSize())
}

// Sum is known for every block that was sealed before, in this run or an earlier one.
func (s *source) Sum(i int) ([32]byte, bool) {
	d, known := s.shipment.sealing.Digest(i)
	return d.Sum, known
}

// sourceFailure is trouble on this host: the dump cannot be read, or the journal not written. No target is to blame,
// though it is a target's Put that returns it.
type sourceFailure struct{ error }

// Unwrap gives what went wrong.
func (e *sourceFailure) Unwrap() error { return e.error }

// sourceError gives crypto's verdict the name that targets know.
func sourceError(err error) error {
	if errors.Is(err, crypto.ErrSourceChanged) {
		return fmt.Errorf("%w: %w", providers.ErrSourceChanged, err)
	}
	return err
}
