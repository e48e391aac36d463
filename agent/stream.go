package agent

import (
	"context"
	"io"

	"offsite/providers"
)

// stream is Block for blocks that are too large for the budget of memory: it is sealed once for its digest, which is in the
// journal before this returns, and again while it is sent. What that costs is to read and seal the dump twice.
func (s *source) stream(ctx context.Context, i int) (*providers.Block, error) {
	sealing := s.shipment.sealing
	if err := sealing.Await(ctx, i); err != nil { // before anything is taken that the blocks before need
		return nil, err
	}
	end, err := s.limiter.Open(ctx)
	if err != nil {
		return nil, err
	}
	tags, giveBack, err := s.share.take(ctx, sealing.Held(i))
	if err != nil {
		end()
		return nil, err
	}
	block, err := sealing.Stream(ctx, s.shipment.file, i, tags, s.shipment.record)
	if err != nil {
		giveBack()
		end()
		if ctx.Err() == nil {
			err = &sourceFailure{sourceError(err)}
		}
		return nil, err
	}
	release := func() {
		block.Close()
		giveBack()
		end()
		s.sent(block.Size())
	}
	body := s.limiter.Reader(ctx, blamed{block})
	return providers.NewBlock(i, io.NewSectionReader(body, 0, block.Size()), block.Sum(), release), nil
}

// blamed says of what fails while a block is made that no target is to blame.
type blamed struct{ block io.ReaderAt }

// ReadAt marks errors, but for io.EOF.
func (b blamed) ReadAt(p []byte, offset int64) (int, error) {
	n, err := b.block.ReadAt(p, offset)
	if err != nil && err != io.EOF {
		err = &sourceFailure{sourceError(err)}
	}
	return n, err
}
