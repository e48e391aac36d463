package crypto

import (
	"bytes"
	"crypto/cipher"
	"fmt"

	"filippo.io/age"
)

// Opener opens an age file block by block: what lies within a block in place and, for different blocks, on as many
// processors as there are; what lies across their edges when the blocks are put in order. See [Sealing] for what a block is.
type Opener struct {
	aead   cipher.AEAD
	layout *Sealing // for where blocks and chunks lie
	// edge is the beginning of a chunk that ends in the block to come.
	edge [sealedChunk]byte
	have int
}

// NewOpener opens the head of an age file: its header and nonce, which are the first HeadSize bytes. Errors are as those of
// Open.
func NewOpener(head []byte, plainSize, blockSize int64, identities ...age.Identity) (*Opener, error) {
	s, err := openHead(head, plainSize, blockSize, identities...)
	if err != nil {
		return nil, err
	}
	return &Opener{aead: s.aead, layout: s}, nil
}

// openHead gives the layout and the key of the age file that has this head.
func openHead(head []byte, plainSize, blockSize int64, identities ...age.Identity) (*Sealing, error) {
	if len(head) <= nonceSize || plainSize < 0 || blockSize < 1 {
		return nil, fmt.Errorf("%w: no head, or impossible sizes", ErrCorrupt)
	}
	key, err := age.DecryptHeader(head[:len(head)-nonceSize], identities...)
	if err != nil {
		return nil, openError(err)
	}
	return newSealing(state{header: bytes.Clone(head), fileKey: key, plainSize: plainSize, blockSize: blockSize})
}

// Block opens in place the chunks that lie within block i, all of which is p, and must be followed by Plain. It may be used
// concurrently. What cannot be authenticated is ErrCorrupt.
func (o *Opener) Block(i int, p []byte) error {
	b, err := o.chunks(i, p)
	if err != nil {
		return err
	}
	for k := b.first; k <= b.last; k++ {
		if buf := b.inside(k); buf != nil {
			if _, err := b.open(o.aead, k, buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// Plain calls write with the plaintext of a block that Block has opened. Blocks come in order, and none twice.
func (o *Opener) Plain(i int, p []byte, write func(plain []byte) error) error {
	b, err := o.chunks(i, p)
	if err != nil {
		return err
	}
	for k := b.first; k <= b.last; k++ {
		plain := b.inside(k)
		if plain != nil {
			plain = plain[:len(plain)-tagSize]
		} else if plain, err = o.across(b, k); err != nil {
			return err
		}
		if len(plain) == 0 {
			continue // the rest of it is to come, or the dump is empty
		}
		if err := write(plain); err != nil {
			return err
		}
	}
	return nil
}

// across puts together a chunk that lies in two blocks, or more. Nothing: it is not all there yet.
func (o *Opener) across(b *blockChunks, k int64) ([]byte, error) {
	n, at := b.size(k), k*sealedChunk-b.base
	o.have += copy(o.edge[o.have:n], b.p[max(0, at):min(int64(len(b.p)), at+n)])
	if at+n > int64(len(b.p)) {
		return nil, nil
	}
	if int64(o.have) != n {
		return nil, fmt.Errorf("open: chunk %d comes out of order", k)
	}
	o.have = 0
	return b.open(o.aead, k, o.edge[:n])
}

func (o *Opener) chunks(i int, p []byte) (*blockChunks, error) {
	if i < 0 || i >= o.layout.Blocks() {
		return nil, fmt.Errorf("open: there is no block %d", i)
	}
	if _, length := o.layout.block(i); int64(len(p)) != length {
		return nil, fmt.Errorf("open: block %d in a buffer of %d bytes", i, len(p))
	}
	b := o.layout.layout(i)
	b.p = p
	return b, nil
}

// open turns chunk k into its plaintext, in place.
func (b *blockChunks) open(aead cipher.AEAD, k int64, sealed []byte) ([]byte, error) {
	nonce := b.nonce(k)
	plain, err := aead.Open(sealed[:0], nonce[:], sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %d", ErrCorrupt, k)
	}
	return plain, nil
}
