package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"offsite/crypto"
)

// ReadAhead is how many bytes of a backup Open holds in memory at most: one block is read by the caller while others are
// fetched.
const ReadAhead = 64 << 20

// Open reads a backup's data object, an age file, from its start. Blocks are fetched in parallel; each is compared
// with its signed SHA-256 before any byte of it is given out, so whatever Read returns is what the host sealed.
// A block that does not match is ErrIntegrity, and so is data that is missing or cut short. A connection that breaks off
// is tried again for a minute. The caller closes the reader, also to stop early.
func (v *Vault) Open(ctx context.Context, m *Manifest) io.ReadCloser {
	return Copies{Vaults: []*Vault{v}}.Open(ctx, m)
}

// Open is Vault.Open from several copies: what one does not give comes from the next, and a block of which a part had come
// goes on there. Blocks that can be made of Have are not fetched.
func (c Copies) Open(ctx context.Context, m *Manifest) io.ReadCloser {
	if c.Large(m) {
		return c.openLarge(ctx, m)
	}
	return c.openBlocks(ctx, m, nil)
}

// openBlocks is Open for blocks that are held in memory. Whoever fetches a block has prepare make of it what the reader is to
// have, when it has been verified; nil: as it is.
func (c Copies) openBlocks(ctx context.Context, m *Manifest, prepare func(ctx context.Context, i int, b []byte) error) *reader {
	parallel := max(1, min(int(ReadAhead/m.BlockSize)-1, 4, len(m.Blocks)))
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	r := &reader{
		done: ctx.Done(), cancel: cancel, group: group, blocks: len(m.Blocks),
		slots: make([]chan []byte, parallel), free: make(chan []byte, parallel+1),
	}
	for range cap(r.free) { // one for each fetcher, and one that is being read
		b := newBuffer(min(m.BlockSize, m.Stored))
		r.memory = append(r.memory, b)
		r.free <- b.bytes
	}
	from := newFetcher(c, m)
	for i := range r.slots {
		r.slots[i] = make(chan []byte)
	}
	group.Go(func() error {
		here := from.resealer(ctx)
		for i, out := range r.slots {
			group.Go(func() error { return from.blocks(ctx, i, here, prepare, out, r.free) })
		}
		return nil
	})
	return r
}

// Block fetches and verifies one block of a backup's data object.
func (v *Vault) Block(ctx context.Context, m *Manifest, i int) ([]byte, error) {
	f := newFetcher(Copies{Vaults: []*Vault{v}}, m)
	b := f.sized(i, nil)
	if err := f.block(ctx, i, b); err != nil {
		return nil, err
	}
	return b, nil
}

// blocks gets the blocks first, first+step, ... and hands each over when it has been verified and prepared.
func (f *fetcher) blocks(
	ctx context.Context, first int, here *crypto.Resealer, prepare func(context.Context, int, []byte) error,
	out chan<- []byte, free <-chan []byte,
) error {
	step := cap(free) - 1
	for i := first; i < len(f.m.Blocks); i += step {
		var b []byte
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		b = f.sized(i, b)
		if here == nil || !here.Block(ctx, f.Have, i, b, f.m.Blocks[i]) {
			if err := f.block(ctx, i, b); err != nil {
				return err
			}
		}
		if prepare != nil {
			if err := prepare(ctx, i, b); err != nil {
				return err
			}
		}
		select {
		case out <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// reader puts the verified blocks in order.
type reader struct {
	done   <-chan struct{} // the fetchers have failed, or the caller has gone
	cancel context.CancelFunc
	group  *errgroup.Group
	slots  []chan []byte
	free   chan []byte // memory for the next blocks: they are many, and large
	blocks int
	memory []buffer
	closed bool

	next    int // the block that comes after current
	block   []byte
	current bytes.Reader
}

// Read gives verified bytes only.
func (r *reader) Read(p []byte) (int, error) {
	for r.current.Len() == 0 {
		b, err := r.advance()
		if err != nil {
			return 0, err
		}
		r.current.Reset(b)
	}
	return r.current.Read(p)
}

// advance gives the next block, and io.EOF after the last. The one before goes to be filled again.
func (r *reader) advance() ([]byte, error) {
	if r.closed {
		return nil, fs.ErrClosed
	}
	if r.next == r.blocks {
		return nil, io.EOF
	}
	if r.block != nil {
		r.free <- r.block
		r.block = nil
	}
	select {
	case r.block = <-r.slots[r.next%len(r.slots)]:
		r.next++
		return r.block, nil
	case <-r.done:
		return nil, r.group.Wait()
	}
}

// Close stops what is still being fetched. What advance gave is gone.
func (r *reader) Close() error {
	r.cancel()
	r.group.Wait() // its error was for Read
	for _, b := range r.memory {
		b.free()
	}
	r.memory, r.closed = nil, true
	r.current.Reset(nil)
	return nil
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
