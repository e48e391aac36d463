package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"
)

// ReadAhead is how many bytes of a backup Open holds in memory, or two blocks if these are more: one is read by the
// caller while others are fetched.
const ReadAhead = 64 << 20

// Open reads a backup's data object, an age file, from its start. Blocks are fetched in parallel; each is compared
// with its signed SHA-256 before any byte of it is given out, so whatever Read returns is what the host sealed.
// A block that does not match is ErrIntegrity, and so is data that is missing or cut short. The caller closes the
// reader, also to stop early.
func (v *Vault) Open(ctx context.Context, m *Manifest) io.ReadCloser {
	parallel := max(1, min(int(ReadAhead/m.BlockSize)-1, 4, len(m.Blocks)))
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	r := &reader{
		done: ctx.Done(), cancel: cancel, group: group, blocks: len(m.Blocks),
		slots: make([]chan []byte, parallel), free: make(chan []byte, parallel+1),
	}
	for range cap(r.free) { // one for each fetcher, and one that is being read
		r.free <- nil
	}
	for i := range r.slots {
		r.slots[i] = make(chan []byte)
		group.Go(func() error { return v.fetch(ctx, m, i, parallel, r.slots[i], r.free) })
	}
	return r
}

// fetch gets the blocks first, first+step, ... and hands each over when it has been verified.
func (v *Vault) fetch(ctx context.Context, m *Manifest, first, step int, out chan<- []byte, free <-chan []byte) error {
	for i := first; i < len(m.Blocks); i += step {
		var b []byte
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		b, err := v.block(ctx, m, i, b)
		if err != nil {
			return err
		}
		select {
		case out <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Block fetches and verifies one block of a backup's data object.
func (v *Vault) Block(ctx context.Context, m *Manifest, i int) ([]byte, error) {
	return v.block(ctx, m, i, nil)
}

// block is Block into the memory b, if that is large enough.
func (v *Vault) block(ctx context.Context, m *Manifest, i int, b []byte) ([]byte, error) {
	offset := int64(i) * m.BlockSize
	length := min(m.BlockSize, m.Stored-offset)
	damaged := func(why string) error {
		return fmt.Errorf("%s: %w: block %d (bytes %d to %d) %s", m.Object, ErrIntegrity, i, offset, offset+length-1, why)
	}
	body, err := v.target.Get(ctx, m.Object, offset, length)
	if isMissing(err) {
		return nil, damaged("is missing: the data object is gone, its manifest is still there")
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if int64(cap(b)) < length {
		b = make([]byte, length)
	}
	b = b[:length]
	n, err := io.ReadFull(unbroken{body}, b)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, damaged(fmt.Sprintf("is cut short after %d bytes", n))
	case err != nil:
		return nil, err
	case Sum(sha256.Sum256(b)) != m.Blocks[i]:
		return nil, damaged("does not have its signed SHA-256")
	}
	return b, nil
}

// unbroken tells a connection that broke off from an object that ends: only the latter is damage.
type unbroken struct{ io.Reader }

func (u unbroken) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the connection broke off: %v", err)
	}
	return n, err
}

// reader puts the verified blocks in order.
type reader struct {
	done   <-chan struct{} // the fetchers have failed, or the caller has gone
	cancel context.CancelFunc
	group  *errgroup.Group
	slots  []chan []byte
	free   chan []byte // memory for the next blocks: they are many, and large
	blocks int

	next    int // the block that comes after current
	block   []byte
	current bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	for r.current.Len() == 0 {
		if r.next == r.blocks {
			return 0, io.EOF
		}
		if r.block != nil {
			r.free <- r.block
			r.block = nil
		}
		select {
		case r.block = <-r.slots[r.next%len(r.slots)]:
			r.current.Reset(r.block)
			r.next++
		case <-r.done:
			return 0, r.group.Wait()
		}
	}
	return r.current.Read(p)
}

// Close stops what is still being fetched.
func (r *reader) Close() error {
	r.cancel()
	r.group.Wait() // its error was for Read
	return nil
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
