package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// state is what makes the same ciphertext again, together with the plaintext.
type state struct {
	header    []byte // age header and payload nonce, as they open the file
	fileKey   []byte
	plainSize int64
	blockSize int64
}

// stateMagic opens the marshalled state and carries its version.
var stateMagic = []byte("offsite sealing 1\n")

// Marshal is the state of the sealing without its digests. It holds the file key: whoever has it can read the dump.
// It never changes.
//
// Layout: "offsite sealing 1\n", plain size and block size (8 bytes each, big-endian), file key (16 bytes), header
// and nonce.
func (s *Sealing) Marshal() []byte {
	b := bytes.Clone(stateMagic)
	b = binary.BigEndian.AppendUint64(b, uint64(s.plainSize))
	b = binary.BigEndian.AppendUint64(b, uint64(s.blockSize))
	b = append(b, s.fileKey...)
	return append(b, s.header...)
}

// ParseSealing reads what Marshal wrote. Digests come back by Restore.
func ParseSealing(b []byte) (*Sealing, error) {
	rest, ok := bytes.CutPrefix(b, stateMagic)
	if !ok {
		return nil, errors.New("sealing: not the state of a sealing")
	}
	if len(rest) < 16+fileKeySize {
		return nil, errors.New("sealing: the state is cut short")
	}
	st := state{
		plainSize: int64(binary.BigEndian.Uint64(rest)),
		blockSize: int64(binary.BigEndian.Uint64(rest[8:])),
		fileKey:   bytes.Clone(rest[16 : 16+fileKeySize]),
		header:    bytes.Clone(rest[16+fileKeySize:]),
	}
	if st.plainSize < 0 || st.plainSize > math.MaxInt64/2 || st.blockSize < 1 {
		return nil, fmt.Errorf("sealing: impossible sizes: %d bytes in blocks of %d", st.plainSize, st.blockSize)
	}
	// The header ends in "--- MAC\n" and the nonce; its lines are age's business and are not parsed again.
	head := st.header[:max(0, len(st.header)-nonceSize)]
	if !bytes.HasPrefix(head, []byte("age-encryption.org/v1\n")) || !bytes.HasSuffix(head, []byte("\n")) {
		return nil, errors.New("sealing: the state holds no age header")
	}
	return newSealing(st)
}

// Digest of a block that was sealed.
type Digest struct {
	// Tags is the SHA-256 of the Poly1305 tags of all chunks of which the block carries a byte. It binds their
	// plaintext and costs no pass over the data.
	Tags [sha256.Size]byte
	// Sum is the SHA-256 of the block itself.
	Sum [sha256.Size]byte
}

// MarshalBinary gives 64 bytes: Tags, Sum.
func (d Digest) MarshalBinary() ([]byte, error) { return append(d.Tags[:], d.Sum[:]...), nil }

// UnmarshalBinary reads 64 bytes.
func (d *Digest) UnmarshalBinary(b []byte) error {
	if len(b) != digestSize {
		return fmt.Errorf("digest: %d bytes instead of %d", len(b), digestSize)
	}
	copy(d.Tags[:], b)
	copy(d.Sum[:], b[sha256.Size:])
	return nil
}
