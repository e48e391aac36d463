package crypto

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealedSize is the size of the payload's chunks: 64 KiB of plaintext and a tag each, and one empty chunk for an
// empty plaintext.
func sealedSize(plain int64) int64 { return plain + chunkCount(plain)*tagSize }

func chunkCount(plain int64) int64 { return max(1, (plain+chunkSize-1)/chunkSize) }

// fill makes block i in p, and the digest of its tags. Chunks lie across the edges of blocks: such a chunk is sealed
// for both, and both digests cover it. sum, unless it is nil, is written all of p.
func (s *Sealing) fill(ctx context.Context, src io.ReaderAt, i int, p []byte, sum hash.Hash) (tags [sha256.Size]byte, err error) {
	b := s.chunks(i, p)
	defer b.free(s)
	b.sum = sum
	if s.tap.waitsFor(i) {
		if err := s.catchUp(ctx, src, i); err != nil {
			return tags, err
		}
		err = b.tapped(ctx, s, src, i)
	} else {
		err = b.straight(s, src)
	}
	if err != nil {
		return tags, err
	}
	b.hash(len(p))
	return sha256.Sum256(b.tags), nil
}

// chunks lays out block i in p, with what it has of the header.
func (s *Sealing) chunks(i int, p []byte) *blockChunks {
	if offset, _ := s.block(i); offset < int64(len(s.header)) {
		copy(p, s.header[offset:])
	}
	b := s.layout(i)
	b.p, b.tags = p, make([]byte, 0, (b.last-b.first+1)*tagSize)
	return b
}

// layout says which chunks block i has, without memory for them.
func (s *Sealing) layout(i int) *blockChunks {
	offset, length := s.block(i)
	header := int64(len(s.header))
	b := &blockChunks{
		base:  offset - header,
		first: max(0, offset-header) / sealedChunk,
		last:  (offset + length - header - 1) / sealedChunk,
		plain: s.plainSize,
	}
	if offset+length <= header {
		b.last = b.first - 1 // nothing but header
	}
	return b
}

// blockChunks is the chunks of which one block carries at least a byte.
type blockChunks struct {
	p           []byte
	base        int64 // where p begins, counted from the start of the payload; negative while p begins in the header
	first, last int64 // chunk numbers
	plain       int64
	tags        []byte
	sum         hash.Hash // nil: nobody wants it
	hashed      int       // so much of p was written to sum
	// edges holds the first and the last chunk when they reach beyond p.
	edges [2]*[sealedChunk]byte
}

// straight reads and seals chunk by chunk: the plaintext goes through a small buffer that stays in the processor's
// cache, and only ciphertext goes to memory.
func (b *blockChunks) straight(s *Sealing, src io.ReaderAt) error {
	small := s.chunk()
	defer s.small.Put(small)
	for k := b.first; k <= b.last; k++ {
		n := b.size(k)
		if err := b.read(src, k, small[:n-tagSize]); err != nil {
			return err
		}
		out := b.inside(k)
		inside := out != nil
		if !inside {
			out = small[:n]
		}
		b.seal(s, k, out, small[:n-tagSize])
		b.place(k, out, inside)
	}
	return nil
}

// tapped reads all plaintext to where its ciphertext will lie, gives it to the tap, and seals it in place. The tap
// takes one block after the other; reading and sealing, for which blocks need not wait for each other, stay outside.
func (b *blockChunks) tapped(ctx context.Context, s *Sealing, src io.ReaderAt, i int) error {
	for k := b.first; k <= b.last; k++ {
		buf, _ := b.chunk(s, k)
		if err := b.read(src, k, buf[:len(buf)-tagSize]); err != nil {
			return err
		}
	}
	if err := s.tap.give(ctx, i, func(to io.Writer) error { return b.own(s, to) }); err != nil {
		return err
	}
	for k := b.first; k <= b.last; k++ {
		buf, inside := b.chunk(s, k)
		b.seal(s, k, buf, buf[:len(buf)-tagSize])
		b.place(k, buf, inside)
	}
	return nil
}

// place puts the part of chunk k that belongs to the block into it, if it is not there, and hashes it while the
// processor's cache has it.
func (b *blockChunks) place(k int64, sealed []byte, inside bool) {
	at := k*sealedChunk - b.base
	if !inside && at < 0 {
		copy(b.p, sealed[-at:])
	} else if !inside {
		copy(b.p[at:], sealed)
	}
	b.hash(int(min(int64(len(b.p)), at+int64(len(sealed)))))
}

// hash writes what the block has up to end to the sum.
func (b *blockChunks) hash(end int) {
	if b.sum != nil && end > b.hashed {
		b.sum.Write(b.p[b.hashed:end])
		b.hashed = end
	}
}

// size of chunk k with its tag.
func (b *blockChunks) size(k int64) int64 { return min(chunkSize, b.plain-k*chunkSize) + tagSize }

// inside is chunk k in the block; nil: it is not all there.
func (b *blockChunks) inside(k int64) []byte {
	if at, n := k*sealedChunk-b.base, b.size(k); at >= 0 && at+n <= int64(len(b.p)) {
		return b.p[at : at+n]
	}
	return nil
}

// chunk is where chunk k's plaintext and tag go: in p, or in edges when it is not all in p.
func (b *blockChunks) chunk(s *Sealing, k int64) (buf []byte, inside bool) {
	if buf := b.inside(k); buf != nil {
		return buf, true
	}
	n := b.size(k)
	edge := &b.edges[1]
	if k == b.first {
		edge = &b.edges[0]
	}
	if *edge == nil {
		*edge = s.chunk()
	}
	return (*edge)[:n], false
}

// free gives the edges back.
func (b *blockChunks) free(s *Sealing) {
	for _, edge := range b.edges {
		if edge != nil {
			s.small.Put(edge)
		}
	}
}

// chunk is memory for one chunk, to be Put into small.
func (s *Sealing) chunk() *[sealedChunk]byte {
	if c, ok := s.small.Get().(*[sealedChunk]byte); ok {
		return c
	}
	return new([sealedChunk]byte)
}

// read brings chunk k's plaintext.
func (b *blockChunks) read(src io.ReaderAt, k int64, plain []byte) error {
	n, err := src.ReadAt(plain, k*chunkSize)
	if n == len(plain) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrSourceChanged // it has become shorter
	}
	return err
}

// seal is sealChunk, and adds the tag to those of the block.
func (b *blockChunks) seal(s *Sealing, k int64, out, plain []byte) {
	b.sealChunk(s, k, out, plain)
	b.tags = append(b.tags, out[len(plain):]...)
}

// sealChunk turns chunk k's plaintext into ciphertext and tag in out, which may begin with the plaintext itself.
func (b *blockChunks) sealChunk(s *Sealing, k int64, out, plain []byte) {
	nonce := b.nonce(k)
	s.aead.Seal(out[:0], nonce[:], plain, nil)
}

// nonce of chunk k: a counter of 11 bytes, and whether it is the last (age-encryption.org/v1, "Payload").
func (b *blockChunks) nonce(k int64) (nonce [chacha20poly1305.NonceSize]byte) {
	binary.BigEndian.PutUint64(nonce[3:11], uint64(k)) // a file has less than 2^63 chunks
	if k == chunkCount(b.plain)-1 {
		nonce[11] = 1
	}
	return nonce
}

// own writes the plaintext of each chunk that starts in this block, in order, before it is sealed.
func (b *blockChunks) own(s *Sealing, to io.Writer) error {
	for k := b.firstOwn(); k <= b.last; k++ {
		buf, _ := b.chunk(s, k)
		if _, err := to.Write(buf[:len(buf)-tagSize]); err != nil {
			return err
		}
	}
	return nil
}

// firstOwn is the first chunk that starts in this block.
func (b *blockChunks) firstOwn() int64 { return max(b.first, (b.base+sealedChunk-1)/sealedChunk) }
