package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"offsite/crypto"
	"offsite/providers"
)

// A dump of more than 312 GiB has blocks that are too large to be held in memory. They are fetched in stretches, and proven
// before anything of them is given out by fetching them twice: the first time gives the sum of the block, which is signed,
// and those of its stretches, by which what comes the second time is compared. Who publishes nothing before the end can
// spare that: see Copies.Unproven.
const (
	// defaultWhole is the largest block that is held in memory.
	defaultWhole = 32 << 20
	// ahead is how many stretches are fetched at once. With one that is being read they are fewer bytes than ReadAhead.
	ahead = 4
)

// Large says whether the blocks are too large to be held in memory.
func (c Copies) Large(m *Manifest) bool { return min(m.BlockSize, m.Stored) > c.whole() }

func (c Copies) whole() int64 { return cmp.Or(c.Whole, defaultWhole) }

// stretch is how much of a large block is held at a time.
func (c Copies) stretch() int64 { return max(1, c.whole()/4) }

// part is a stretch of a large block.
type part struct {
	piece
	length int64
	came   chan struct{} // closed when it has, or has failed
	failed error
}

// parts are the stretches of block i, without memory; sums, unless they are nil, are what they must have.
func (f *fetcher) parts(i int, sums []Sum) (all []*part) {
	begin, end := f.m.bounds(i)
	for at := begin; at < end; at += f.stretch() {
		p := &part{piece: piece{offset: at, what: fmt.Sprintf("a part of block %d", i)}, length: min(f.stretch(), end-at), came: make(chan struct{})}
		if sums != nil {
			p.sum = &sums[len(all)]
		}
		all = append(all, p)
	}
	return all
}

func (m *Manifest) bounds(i int) (begin, end int64) {
	begin = int64(i) * m.BlockSize
	return begin, min(begin+m.BlockSize, m.Stored)
}

// openLarge is Open for large blocks.
func (c Copies) openLarge(ctx context.Context, m *Manifest) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	out, in := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in.CloseWithError(newFetcher(c, m).pour(ctx, in))
	}()
	return &poured{out, func() { cancel(); out.Close(); <-ended }}
}

type poured struct {
	*io.PipeReader
	stop func()
}

// Close stops what is still being fetched.
func (p *poured) Close() error {
	p.stop()
	return nil
}

// pour writes all blocks to w.
func (f *fetcher) pour(ctx context.Context, w io.Writer) error {
	here := f.resealer(ctx)
	var memory [][]byte // of a stretch each
	for range ahead + 1 {
		memory = append(memory, make([]byte, f.stretch()))
	}
	for i := range f.m.Blocks {
		if err := f.pourBlock(ctx, i, here, memory, w); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetcher) pourBlock(ctx context.Context, i int, here *crypto.Resealer, memory [][]byte, w io.Writer) error {
	if here != nil {
		if same, ok := here.Stream(ctx, f.Have, i, f.m.Blocks[i]); ok {
			defer same.Close()
			_, err := io.CopyBuffer(w, struct{ io.Reader }{io.NewSectionReader(same, 0, same.Size())}, memory[0])
			return err
		}
	}
	if f.Unproven {
		_, err := f.sums(ctx, i, memory, w)
		return err
	}
	sums, err := f.prove(ctx, i, memory)
	if err != nil {
		return err
	}
	return f.inOrder(ctx, f.parts(i, sums), memory, func(b []byte) error {
		_, err := w.Write(b)
		return err
	})
}

// prove fetches block i for the sums of its stretches, which are good since the block has its signed SHA-256. Where it has
// not, each copy is asked for all of it, as long as one may have it right.
func (f *fetcher) prove(ctx context.Context, i int, memory [][]byte) ([]Sum, error) {
	sums, err := f.sums(ctx, i, memory, io.Discard)
	if err == nil || !errors.Is(err, ErrIntegrity) {
		return sums, err
	}
	if len(f.Vaults) == 1 {
		f.note(ctx, 0, f.fault(0), f.named(0, err))
		return nil, f.named(0, err)
	}
	var failed []error
	for _, c := range f.order() {
		one := newFetcher(Copies{Vaults: f.Vaults[c : c+1], Whole: f.Whole}, f.m)
		before := f.fault(c)
		sums, oneErr := one.sums(ctx, i, memory, io.Discard)
		oneErr = f.named(c, oneErr)
		f.note(ctx, c, before, oneErr)
		if oneErr == nil {
			return sums, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failed = append(failed, oneErr)
	}
	return nil, errors.Join(failed...)
}

// sums fetches block i, writes it to w as it comes, and compares it at its end. It gives the sums of its stretches.
func (f *fetcher) sums(ctx context.Context, i int, memory [][]byte, w io.Writer) (sums []Sum, err error) {
	all := sha256.New()
	err = f.inOrder(ctx, f.parts(i, nil), memory, func(b []byte) error {
		all.Write(b)
		if !f.Unproven {
			sums = append(sums, sha256.Sum256(b))
		}
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	if Sum(all.Sum(nil)) != f.m.Blocks[i] {
		begin, end := f.m.bounds(i)
		return nil, f.m.damagedRange(fmt.Sprintf("block %d", i), begin, end, "does not have its signed SHA-256")
	}
	return sums, nil
}

// inOrder fetches parts, as many at once as there are buffers for, and has them used in their order.
func (f *fetcher) inOrder(ctx context.Context, parts []*part, memory [][]byte, use func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	free := make(chan []byte, len(memory))
	for _, b := range memory {
		free <- b
	}
	group.Go(func() error {
		for _, p := range parts {
			select {
			case b := <-free:
				p.b = b[:p.length]
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				defer close(p.came)
				p.failed = f.fetch(ctx, &p.piece)
				return p.failed
			})
		}
		return nil
	})
	for _, p := range parts {
		select {
		case <-p.came:
		case <-ctx.Done():
		}
		if cause := ctx.Err(); cause != nil {
			return cmp.Or(group.Wait(), cause) // all may have come, and not all was used
		}
		if p.failed != nil { // which the group hears of a moment later
			return cmp.Or(group.Wait(), p.failed)
		}
		if err := use(p.b); err != nil {
			cancel()
			group.Wait() // nobody may write to the memory any more
			return err
		}
		free <- p.b[:cap(p.b)]
	}
	return group.Wait()
}

// large is Block for large blocks: it proves them, and fetches them again as they are read, in the memory of one stretch.
func (s *copied) large(ctx context.Context, i int) (*providers.Block, error) {
	b, release, err := s.memory(ctx, s.from.stretch())
	if err != nil {
		return nil, err
	}
	b = b[:s.from.stretch()]
	sums, err := s.from.prove(ctx, i, [][]byte{b})
	if err != nil {
		release()
		return nil, changed(err)
	}
	begin, end := s.m.bounds(i)
	body := &refetched{parts: s.from.parts(i, sums), size: end - begin, b: b, fetch: func(p *part) error { return changed(s.from.fetch(ctx, &p.piece)) }}
	return providers.NewBlock(i, io.NewSectionReader(body, 0, body.size), s.m.Blocks[i], release), nil
}

// refetched is a proven block that is fetched once more while it is read. The stretch that was read last is kept: mostly the next
// read goes on in it.
type refetched struct {
	parts []*part
	size  int64
	fetch func(*part) error

	mu   sync.Mutex
	b    []byte
	last *part // what b has; nil: nothing
}

// ReadAt gives proven bytes only.
func (r *refetched) ReadAt(p []byte, off int64) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		stretch := int64(len(r.b))
		now := r.parts[at/stretch]
		if r.last != now {
			r.last = nil
			now.b, now.n = r.b[:now.length], 0
			if err := r.fetch(now); err != nil {
				return n, err
			}
			r.last = now
		}
		n += copy(p[n:], r.b[at%stretch:now.length])
	}
	return n, nil
}
