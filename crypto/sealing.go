// Package crypto seals dumps as age v1 files, opens them again, and signs what describes them.
//
// A sealed dump is one plain age file (age-encryption.org/v1): stock age opens it. Unlike age's own writer, [Sealing]
// makes any range of that file on demand, on every core, again and identical after a restart: the ciphertext is a
// function of the file key, the header and the plaintext. That is what lets an upload go on where it stopped without
// a spool on disk.
//
// One file key, one plaintext: sealing other bytes under the same key and chunk counter would break the cipher.
// Therefore every block that was ever sealed has a [Digest], which the caller makes durable before the block leaves
// the process, and which is compared when the block is sealed again. A difference is [ErrSourceChanged], and then no
// byte of ciphertext is given out.
//
// The package knows no file names and no targets.
package crypto

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes of the age v1 payload (age-encryption.org/v1, "Payload").
const (
	chunkSize   = 64 << 10
	tagSize     = chacha20poly1305.Overhead
	sealedChunk = chunkSize + tagSize
	nonceSize   = 16
	fileKeySize = 16
	maxBlocks   = 10000 // S3 takes no more parts
	digestSize  = 2 * sha256.Size
)

// ErrSourceChanged can occur in Seal, Drain and Verify: the plaintext is not what it was when the sealing began. The
// sealing is useless from then on; the dump needs a new one.
var ErrSourceChanged = errors.New("the dump has changed since its sealing began")

// errErased can occur after Erase.
var errErased = errors.New("the sealing's keys have been erased")

// errClosed can occur when a Stream is read after its Close.
var errClosed = errors.New("the block was given back")

// Sealing is one age file in the making: header, key and size, and the digests of the blocks sealed so far. It may be
// used concurrently.
type Sealing struct {
	state
	aead cipher.AEAD

	mu      sync.Mutex
	digests map[int]Digest
	making  map[int]chan struct{} // blocks whose first digest is being made; closed when it is there
	err     error                 // why the sealing is useless

	tap   tap
	small sync.Pool // of *[sealedChunk]byte
}

// BlockSize is the usual size of a block: 16 MiB.
const BlockSize = 16 << 20

// LargestBlock is the largest block that BlockSizeFor makes: S3 takes no part of more than 5 GiB.
const LargestBlock = 4 << 30

// BlockSizeFor is smallest, doubled until at most 10,000 blocks make the sealed form of size bytes. Beyond 39 TiB, which no S3
// store takes from us, they are more, of LargestBlock.
func BlockSizeFor(size, smallest int64) int64 {
	block := smallest
	for block < LargestBlock && sealedSize(size)+4096 > block*maxBlocks { // 4096: more than any usual header
		block *= 2
	}
	return block
}

// NewSealing draws a fresh file key for a plaintext of plainSize bytes, 0 or more, to be made in blocks of blockSize
// bytes. The header comes from age itself, which wraps the key for each of recipients, at least one.
func NewSealing(recipients []age.Recipient, plainSize, blockSize int64) (*Sealing, error) {
	if plainSize < 0 || plainSize > math.MaxInt64/2 || blockSize < 1 {
		return nil, fmt.Errorf("seal: impossible sizes: %d bytes in blocks of %d", plainSize, blockSize)
	}
	var key []byte
	var wrapped []age.Recipient
	for _, r := range recipients {
		wrapped = append(wrapped, keyed(r, &key))
	}
	var header bytes.Buffer
	// age writes the header and the payload's nonce at once. Its writer is not used: nothing was sealed with it.
	if _, err := age.Encrypt(&header, wrapped...); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if len(key) != fileKeySize || header.Len() <= nonceSize {
		return nil, errors.New("seal: age wrapped no file key")
	}
	return newSealing(state{header: header.Bytes(), fileKey: key, plainSize: plainSize, blockSize: blockSize})
}

// newSealing derives the key of the payload: HKDF-SHA256 of the file key, by the nonce.
func newSealing(st state) (*Sealing, error) {
	nonce := st.header[len(st.header)-nonceSize:]
	key, err := hkdf.Key(sha256.New, st.fileKey, nonce, "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key)
	clear(key)
	if err != nil {
		return nil, err
	}
	return &Sealing{state: st, aead: aead, digests: map[int]Digest{}, making: map[int]chan struct{}{}}, nil
}

// keyed is a recipient that keeps a copy of the file key which age wraps. Labels, by which age refuses mixtures such
// as post-quantum and classic recipients, pass through.
func keyed(r age.Recipient, key *[]byte) age.Recipient {
	k := keyRecipient{r, key}
	if labelled, ok := r.(age.RecipientWithLabels); ok {
		return labelledRecipient{k, labelled}
	}
	return k
}

// keyRecipient is one without labels.
type keyRecipient struct {
	age.Recipient
	key *[]byte
}

// Wrap keeps a copy of the key.
func (k keyRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	*k.key = bytes.Clone(fileKey)
	return k.Recipient.Wrap(fileKey)
}

// labelledRecipient is one with labels.
type labelledRecipient struct {
	keyRecipient
	labelled age.RecipientWithLabels
}

// WrapWithLabels keeps a copy of the key, too: age calls it instead of Wrap.
func (l labelledRecipient) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	*l.key = bytes.Clone(fileKey)
	return l.labelled.WrapWithLabels(fileKey)
}

// Size of the whole age file in bytes.
func (s *Sealing) Size() int64 { return int64(len(s.header)) + sealedSize(s.plainSize) }

// PlainSize is the size of the plaintext in bytes.
func (s *Sealing) PlainSize() int64 { return s.plainSize }

// BlockSize in bytes. Block i is the bytes [i*BlockSize, min((i+1)*BlockSize, Size)) of the age file.
func (s *Sealing) BlockSize() int64 { return s.blockSize }

// Blocks is how many blocks make the file, at least one.
func (s *Sealing) Blocks() int { return int((s.Size() + s.blockSize - 1) / s.blockSize) }

func (s *Sealing) block(i int) (offset, length int64) {
	offset = int64(i) * s.blockSize
	return offset, min(s.blockSize, s.Size()-offset)
}

// Restore gives back a digest that record once made durable.
func (s *Sealing) Restore(i int, d Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[i] = d
}

// Digest of block i, if it was ever sealed.
func (s *Sealing) Digest(i int) (d Digest, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, known = s.digests[i]
	return d, known
}

// Erase overwrites the file key and makes the sealing useless. Blocks that are being sealed may still be finished.
func (s *Sealing) Erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.fileKey)
	s.spoil(errErased)
}

// spoil makes every later Seal fail with err. The caller holds mu.
func (s *Sealing) spoil(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Record makes a block's digest durable. It is called before the block's bytes are given out.
type Record func(block int, d Digest) error

// Seal fills p, which has exactly the length of block i, with that block of the age file of src. src is read at any
// offset below PlainSize.
//
// The first time a block is sealed, record is called with its digest before Seal returns. Later its digest must be the
// same. If it is not, or src is shorter than PlainSize, the error is ErrSourceChanged, now and for every later call.
// Whenever Seal fails, p is zeroed. The result is the SHA-256 of p.
func (s *Sealing) Seal(ctx context.Context, src io.ReaderAt, i int, p []byte, record Record) ([sha256.Size]byte, error) {
	sum, err := s.seal(ctx, src, i, p, record)
	if err != nil {
		clear(p)
	}
	return sum, err
}

func (s *Sealing) seal(ctx context.Context, src io.ReaderAt, i int, p []byte, record Record) (sum [sha256.Size]byte, err error) {
	if _, length := s.block(i); i < 0 || i >= s.Blocks() || int64(len(p)) != length {
		return sum, fmt.Errorf("seal: block %d in a buffer of %d bytes", i, len(p))
	}
	s.tap.enter(i)
	defer s.tap.exit(i)
	known, first, err := s.begin(ctx, i)
	if err != nil {
		return sum, err
	}
	d := known
	if first {
		defer s.end(i)
	}
	var h hash.Hash
	if first {
		h = sha256.New()
	}
	if d.Tags, err = s.fill(ctx, src, i, p, h); err != nil {
		return sum, s.failed(err)
	}
	if !first {
		if d.Tags != known.Tags {
			return sum, s.failed(ErrSourceChanged)
		}
		return known.Sum, nil
	}
	h.Sum(d.Sum[:0])
	if err := record(i, d); err != nil {
		return sum, err
	}
	s.Restore(i, d)
	return d.Sum, nil
}

// begin gives the digest of block i, or says that the caller is the first and must make it. While another call does
// so, it waits: two first digests of one block could differ, and both blocks be gone already.
func (s *Sealing) begin(ctx context.Context, i int) (known Digest, first bool, err error) {
	for {
		s.mu.Lock()
		known, ok := s.digests[i]
		made := s.making[i]
		err := s.err
		if err == nil && !ok && made == nil {
			s.making[i] = make(chan struct{})
		}
		s.mu.Unlock()
		if err != nil || ok || made == nil {
			return known, !ok, err
		}
		select {
		case <-made:
		case <-ctx.Done():
			return Digest{}, false, ctx.Err()
		}
	}
}

// end lets go of those who wait in begin.
func (s *Sealing) end(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.making[i])
	delete(s.making, i)
}

// useless is why nothing can be sealed any more; nil: it can.
func (s *Sealing) useless() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// failed spoils the sealing if the error says that the source has changed, and gives the error back.
func (s *Sealing) failed(err error) error {
	if errors.Is(err, ErrSourceChanged) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spoil(err)
	}
	return err
}
