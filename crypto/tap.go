package crypto

import (
	"context"
	"io"
	"sync"
)

// tap hands the plaintext, in order and once, to a writer: a hash, say. It lives off the bytes that are sealed
// anyway. Blocks that come out of order wait only while another call is sure to bring what comes before; a few that were
// too early are read again by the next call (catchUp), and what nobody brings (the blocks that an earlier run has sent)
// is left to Drain.
type tap struct {
	mu      sync.Mutex
	w       io.Writer
	next    int           // the block that w needs now
	part    []byte        // the tags of the chunks of that block which w has, if it came chunk by chunk
	inside  map[int]int   // how many calls are sealing a block
	changed chan struct{} // closed and renewed when next or inside changes
	err     error         // of w
}

// Tap gives w every byte of the plaintext once and in order, as blocks are sealed, and the rest by Drain. It must be
// called before the first Seal. w is never called concurrently. An error of w ends the tap, not the sealing; Drain
// returns it.
func (s *Sealing) Tap(w io.Writer) {
	s.tap.w = w
	s.tap.inside = map[int]int{}
	s.tap.changed = make(chan struct{})
}

// Drain gives the tap what it lacks, reading src again. Everything that it reads is sealed once more and compared
// with the digests, so that what the tap saw is what was sealed. Blocks that were never sealed are recorded. When it
// returns nil, w will not be written any more, also if other calls of Seal are under way.
func (s *Sealing) Drain(ctx context.Context, src io.ReaderAt, record Record) error {
	next, err := s.tap.progress()
	if s.tap.w == nil || err != nil || next == s.Blocks() {
		return err
	}
	if err := s.again(ctx, src, next, record); err != nil {
		return err
	}
	_, err = s.tap.progress()
	return err
}

// Verify seals every block once more and compares it: nil means that src is still what was sealed.
func (s *Sealing) Verify(ctx context.Context, src io.ReaderAt) error {
	return s.again(ctx, src, 0, unexpected)
}

func (s *Sealing) again(ctx context.Context, src io.ReaderAt, from int, record Record) error {
	var tags []byte
	for i := from; i < s.Blocks(); i++ {
		b := s.layout(i)
		b.tags = tags[:0]
		if _, err := s.pass(ctx, src, i, b, record); err != nil {
			return err
		}
		tags = b.tags
	}
	return nil
}

// maxMissed is how many blocks a call of Seal reads again for the tap.
const maxMissed = 8

// catchUp brings the tap the blocks before i that were sealed before their turn, which happens when several calls begin at
// once. Without it, all that follows would be left to Drain: each byte would be read and sealed twice.
func (s *Sealing) catchUp(ctx context.Context, src io.ReaderAt, i int) error {
	for {
		k, missed := s.missed(i)
		if !missed {
			return nil
		}
		b := s.layout(k)
		b.tags = make([]byte, 0, s.Held(k))
		if _, err := s.pass(ctx, src, k, b, unexpected); err != nil {
			return err
		}
	}
}

// missed is the block that w needs, if it was sealed and nobody is bringing it.
func (s *Sealing) missed(before int) (k int, missed bool) {
	t := &s.tap
	t.mu.Lock()
	defer t.mu.Unlock()
	k = t.next
	if t.err != nil || k >= before || before-k > maxMissed || t.inside[k] > 0 {
		return k, false
	}
	_, sealed := s.Digest(k)
	return k, sealed
}

// unexpected is the Record of a block that has been sealed before.
func unexpected(int, Digest) error { return ErrSourceChanged }

// progress is the block that w needs now, and the error that w gave.
func (t *tap) progress() (next int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next, t.err
}

func (t *tap) enter(i int) {
	if t.w == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside[i]++
}

func (t *tap) exit(i int) {
	if t.w == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside[i]--; t.inside[i] == 0 {
		delete(t.inside, i)
	}
	t.wake()
}

func (t *tap) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// waitsFor says whether the plaintext of block i may still be wanted.
func (t *tap) waitsFor(i int) bool {
	if t.w == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err == nil && i >= t.next
}

// give lets w have the plaintext of block i, which write brings, if that is the one that w needs. It waits while the blocks
// before it are all being sealed by other calls.
func (t *tap) give(ctx context.Context, i int, write func(to io.Writer) error) error {
	for {
		t.mu.Lock()
		if t.err != nil || i < t.next || len(t.part) > 0 { // who gives it chunk by chunk ends it, or Drain does
			t.mu.Unlock()
			return nil
		}
		if i == t.next {
			defer t.mu.Unlock()
			t.err = write(t.w)
			t.next++
			t.wake()
			return nil
		}
		coming, changed := t.coming(i), t.changed
		t.mu.Unlock()
		if !coming {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// chunk seals a chunk of a block that comes chunk by chunk, and gives w its plaintext before if that is what w needs now. seal
// gives the chunk's tag. What w had from a call that got no further must be the same this time, so that what w saw is
// what was sealed.
func (t *tap) chunk(i int, b *blockChunks, k int64, plain []byte, seal func() []byte) error {
	t.mu.Lock()
	at := int(k-b.firstOwn()) * tagSize
	if t.w == nil || t.err != nil || i != t.next || at < 0 || at > len(t.part) {
		t.mu.Unlock()
		seal()
		return nil
	}
	if at < len(t.part) {
		had := [tagSize]byte(t.part[at:])
		t.mu.Unlock()
		if [tagSize]byte(seal()) != had {
			return ErrSourceChanged
		}
		return nil
	}
	defer t.mu.Unlock()
	_, t.err = t.w.Write(plain)
	t.part = append(t.part, seal()...)
	return nil
}

// finish goes on to the next block when w has all of block i and its digest is known.
func (t *tap) finish(i int, b *blockChunks) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := int(max(0, b.last-b.firstOwn()+1)) * tagSize
	if t.w != nil && t.err == nil && i == t.next && len(t.part) == own {
		t.next++
		t.part = t.part[:0]
		t.wake()
	}
}

// coming says whether every block from next to i is being sealed now.
func (t *tap) coming(i int) bool {
	for k := t.next; k < i; k++ {
		if t.inside[k] == 0 {
			return false
		}
	}
	return true
}
