package crypto

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"slices"
	"sync"
)

// Stream is a block too large to be held in memory: it is sealed once to nowhere, for its digest, and again whenever it
// is read. Of the first time it keeps the tags of its chunks, 16 bytes for each 64 KiB, and compares them before any
// byte of a chunk is given out: what is read is what the digest says, or nothing.
type Stream struct {
	sealing *Sealing
	src     io.ReaderAt
	chunks  *blockChunks
	offset  int64 // of the block, in the age file
	length  int64
	sum     [sha256.Size]byte

	mu   sync.Mutex
	idle []*window
}

// window is the chunk that was sealed last, kept for the next read, which mostly goes on in it.
type window struct {
	chunk int64 // -1: none
	buf   *[sealedChunk]byte
}

// Held is how many bytes a Stream of block i keeps in memory, beside 64 KiB for each reader.
func (s *Sealing) Held(i int) int64 {
	b := s.layout(i)
	return (b.last - b.first + 1) * tagSize
}

// Await waits for the blocks before i that were never sealed, if there is a tap, which needs the plaintext in order: a Stream
// cannot hold it back until they have come. It is called before Stream, by who holds nothing that others wait for, and
// whoever asks for block i must have asked for those before it.
func (s *Sealing) Await(ctx context.Context, i int) error {
	t := &s.tap
	for {
		t.mu.Lock()
		changed, coming := t.changed, t.w != nil && t.err == nil && t.next < i
		for k := t.next; coming && k < i; k++ {
			_, sealed := s.Digest(k)
			coming = !sealed || t.inside[k] > 0
		}
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

// Stream is Seal for a block that is not held. tags is memory of Held(i) bytes, the Stream's until it is read no more. record
// is called, and a known digest compared, before Stream returns. A plaintext that has changed since is ErrSourceChanged
// when it is read, which spoils the sealing.
func (s *Sealing) Stream(ctx context.Context, src io.ReaderAt, i int, tags []byte, record Record) (*Stream, error) {
	b := s.layout(i)
	b.tags = tags[:0]
	sum, err := s.pass(ctx, src, i, b, record)
	if err != nil {
		return nil, err
	}
	return s.stream(src, i, b, sum), nil
}

func (s *Sealing) stream(src io.ReaderAt, i int, b *blockChunks, sum [sha256.Size]byte) *Stream {
	st := &Stream{sealing: s, src: src, chunks: b, sum: sum}
	st.offset, st.length = s.block(i)
	return st
}

// pass seals block i to nowhere: its tags come to be in b, and its digest is recorded, or compared if it is known.
func (s *Sealing) pass(ctx context.Context, src io.ReaderAt, i int, b *blockChunks, record Record) (sum [sha256.Size]byte, err error) {
	s.tap.enter(i)
	defer s.tap.exit(i)
	d, first, err := s.begin(ctx, i)
	if err != nil {
		return sum, err
	}
	var h hash.Hash
	if first {
		defer s.end(i)
		h = sha256.New()
	}
	if err := s.walk(ctx, src, i, b, h); err != nil {
		return sum, s.failed(err)
	}
	tags := sha256.Sum256(b.tags)
	if first {
		d = Digest{Tags: tags, Sum: [sha256.Size]byte(h.Sum(nil))}
		if err := record(i, d); err != nil {
			return sum, err
		}
		s.Restore(i, d)
	} else if tags != d.Tags {
		return sum, s.failed(ErrSourceChanged)
	}
	s.tap.finish(i, b)
	return d.Sum, nil
}

// walk seals chunk by chunk in a small buffer. The tap gets the plaintext, h the ciphertext if it is not nil.
func (s *Sealing) walk(ctx context.Context, src io.ReaderAt, i int, b *blockChunks, h hash.Hash) error {
	small := s.chunk()
	defer s.small.Put(small)
	offset, length := s.block(i)
	if header := int64(len(s.header)); h != nil && offset < header {
		h.Write(s.header[offset:min(header, offset+length)])
	}
	for k := b.first; k <= b.last; k++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf := small[:b.size(k)]
		if err := b.read(src, k, buf[:len(buf)-tagSize]); err != nil {
			return err
		}
		seal := func() []byte {
			b.seal(s, k, buf, buf[:len(buf)-tagSize])
			return buf[len(buf)-tagSize:]
		}
		if err := s.tap.chunk(i, b, k, buf[:len(buf)-tagSize], seal); err != nil {
			return err
		}
		if at := k*sealedChunk - b.base; h != nil {
			h.Write(buf[max(0, -at):min(int64(len(buf)), length-at)])
		}
	}
	return nil
}

// Sum is the SHA-256 of the block.
func (st *Stream) Sum() [sha256.Size]byte { return st.sum }

// Size of the block in bytes.
func (st *Stream) Size() int64 { return st.length }

// ReadAt reads the block at any offset. It may be called concurrently; who reads on where a read ended has no chunk sealed
// twice. Bytes that come with an error are right. After Close it fails.
func (st *Stream) ReadAt(p []byte, off int64) (n int, err error) {
	w, err := st.take(off)
	if err != nil {
		return 0, err
	}
	defer st.give(w)
	for n < len(p) {
		at := off + int64(n)
		if at >= st.length {
			return n, io.EOF
		}
		from := p[n:min(int64(len(p)), int64(n)+st.length-at)]
		if head := st.sealing.header; st.offset+at < int64(len(head)) {
			n += copy(from, head[st.offset+at:])
			continue
		}
		k := (at + st.chunks.base) / sealedChunk
		sealed, err := st.sealed(w, k)
		if err != nil {
			return n, err
		}
		n += copy(from, sealed[at+st.chunks.base-k*sealedChunk:])
	}
	return n, nil
}

// sealed makes chunk k in the window, if it is not there yet, and compares its tag.
func (st *Stream) sealed(w *window, k int64) ([]byte, error) {
	b, s := st.chunks, st.sealing
	buf := w.buf[:b.size(k)]
	if w.chunk == k {
		return buf, nil
	}
	if err := s.useless(); err != nil {
		return nil, err
	}
	w.chunk = -1
	if err := b.read(st.src, k, buf[:len(buf)-tagSize]); err != nil {
		return nil, s.failed(err)
	}
	b.sealChunk(s, k, buf, buf[:len(buf)-tagSize])
	known := b.tags[(k-b.first)*tagSize:][:tagSize]
	if !bytes.Equal(buf[len(buf)-tagSize:], known) {
		clear(buf)
		return nil, s.failed(ErrSourceChanged)
	}
	w.chunk = k
	return buf, nil
}

// take gives the idle window that has the chunk at an offset, or any.
func (st *Stream) take(off int64) (*window, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.chunks == nil {
		return nil, errClosed
	}
	last := len(st.idle) - 1
	if last < 0 {
		return &window{-1, st.sealing.chunk()}, nil
	}
	has := func(w *window) bool { return w.chunk == (off+st.chunks.base)/sealedChunk }
	if i := slices.IndexFunc(st.idle, has); i >= 0 {
		st.idle[i], st.idle[last] = st.idle[last], st.idle[i]
	}
	w := st.idle[last]
	st.idle = st.idle[:last]
	return w, nil
}

func (st *Stream) give(w *window) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.idle = append(st.idle, w)
}

// Close gives back the memory. Nothing may be reading.
func (st *Stream) Close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, w := range st.idle {
		st.sealing.small.Put(w.buf)
	}
	st.idle, st.chunks = nil, nil
}
