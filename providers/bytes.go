package providers

import (
	"context"
	"crypto/sha256"
	"io"
)

// Bytes is a Source of the bytes b in one block, for objects small enough to hold in memory, such as manifests.
// The caller leaves b as it is.
func Bytes(b []byte) Source { return bytesSource{b, sha256.Sum256(b)} }

type bytesSource struct {
	b   []byte
	sum [32]byte
}

func (s bytesSource) Size() int64      { return int64(len(s.b)) }
func (s bytesSource) BlockSize() int64 { return max(int64(len(s.b)), 1) }

func (s bytesSource) Block(ctx context.Context, i int) (*Block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return NewBlock(i, io.NewSectionReader(Memory(s.b), 0, int64(len(s.b))), s.sum, nil), nil
}

func (s bytesSource) Sum(int) ([32]byte, bool) { return s.sum, true }
