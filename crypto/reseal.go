package crypto

import (
	"context"
	"crypto/sha256"
	"io"

	"filippo.io/age"
)

// Resealer makes the blocks of an age file again of its plaintext, for who can open the file and knows the SHA-256 of its
// blocks: so plaintext on a disk that nobody vouches for is proven to be that of the file, without fetching the file.
//
// No ciphertext but that of the file itself is ever given out: what another plaintext would become under the same key
// and counter stays inside.
type Resealer struct{ sealing *Sealing }

// HeadSize is how long the head of an age file is, its header and the payload's nonce, if the file has sealed bytes and
// its plaintext plain bytes. No such file: it is not positive.
func HeadSize(sealed, plain int64) int64 { return sealed - sealedSize(plain) }

// NewResealer takes the head of an age file, which need not be trusted: with a wrong one no block is right.
func NewResealer(head []byte, plainSize, blockSize int64, identities ...age.Identity) (*Resealer, error) {
	s, err := openHead(head, plainSize, blockSize, identities...)
	if err != nil {
		return nil, err
	}
	return &Resealer{s}, nil
}

// Block makes block i of the age file in p, which has exactly its length, of the plaintext src, and says whether it has
// that SHA-256. If not, or if src is too short, p is zeroed. It may be used concurrently.
func (r *Resealer) Block(ctx context.Context, src io.ReaderAt, i int, p []byte, sum [sha256.Size]byte) bool {
	s := r.sealing
	if i < 0 || i >= s.Blocks() {
		return false
	}
	if _, length := s.block(i); int64(len(p)) != length {
		return false
	}
	h := sha256.New()
	if _, err := s.fill(ctx, src, i, p, h); err != nil || [sha256.Size]byte(h.Sum(nil)) != sum {
		clear(p)
		return false
	}
	return true
}

// Stream is Block for a block that is not held in memory: it is made again whenever it is read, and compared. It needs no memory of
// the caller.
func (r *Resealer) Stream(ctx context.Context, src io.ReaderAt, i int, sum [sha256.Size]byte) (st *Stream, same bool) {
	s := r.sealing
	if i < 0 || i >= s.Blocks() {
		return nil, false
	}
	b := s.layout(i)
	b.tags = make([]byte, 0, s.Held(i))
	h := sha256.New()
	if err := s.walk(ctx, src, i, b, h); err != nil || [sha256.Size]byte(h.Sum(nil)) != sum {
		return nil, false
	}
	return s.stream(src, i, b, sum), true
}
