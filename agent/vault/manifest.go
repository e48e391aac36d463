package vault

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"offsite/crypto"
)

// Format is the first field of every manifest. A reader refuses a format that it does not know.
const Format = "offsite/1"

// Manifest is the public description of a backup. Its JSON, inside a note signed by the host, is the manifest object.
// What the storage need not know is in Private, sealed for the recipients of the dump.
type Manifest struct {
	Format string `json:"format"`
	// Object is the name of the data object, below the target's prefix.
	Object string `json:"object"`
	Host   string `json:"host"`
	Series string `json:"series"`
	// Taken is when the dump was made: UTC, whole seconds.
	Taken time.Time `json:"taken"`
	// TakenFrom says how that is known: "name" (a stamp in the file name) or "mtime".
	TakenFrom string `json:"taken_from"`
	// Zone is the IANA zone in which a stamp without a zone was read.
	Zone string `json:"zone"`
	// Name is the dump's file name.
	Name string `json:"name"`
	// Size of the dump in bytes.
	Size int64 `json:"size"`
	// Stored is the size of the data object in bytes.
	Stored int64 `json:"stored"`
	// BlockSize in bytes; every block but the last has it.
	BlockSize int64 `json:"block_size"`
	// Blocks are the SHA-256 sums of the data object's blocks.
	Blocks []Sum `json:"blocks"`
	// Recipients are the public keys that the dump is sealed for, as they stood in the configuration.
	Recipients []string `json:"recipients"`
	// Found is when the host first saw the dump: it tells dumps apart that claim the same Taken, such as a file that was
	// written over.
	Found time.Time `json:"found"`
	Health
	// Machine tells the host's machine from a copy of it that has the same name and keys: an HMAC of its machine-id; empty:
	// it has none.
	Machine string `json:"machine,omitempty"`
	// Fingerprint is an HMAC of the dump's SHA-256 under a key that only this host has: it tells the host, and nobody
	// else, that a file on its disk is this very dump.
	Fingerprint Sum `json:"fingerprint"`
	// Program is the version that wrote the backup.
	Program string `json:"program"`
	// Sealed is an age file for the same recipients; inside is the JSON of Private.
	Sealed []byte `json:"sealed"`
}

// Health is what the dump's bytes said.
type Health struct {
	// State is "ok", "suspect", "unchecked", or "pending": then the manifest is written anew when there is a verdict. Reason
	// says why in words for people.
	State  string `json:"health"`
	Reason string `json:"health_reason,omitempty"`
	// Kind is what the dump is, such as "postgresql plain", and Packing how it is packed, such as "gzip"; empty if that is
	// not known, or if it is not packed.
	Kind    string `json:"kind,omitempty"`
	Packing string `json:"packing,omitempty"`
	// Unpacked is the size of the dump once unpacked, in bytes, as far as it was read; 0: it was not.
	Unpacked int64 `json:"unpacked,omitempty"`
	// Accepted is when a person said that a suspect dump is fine; the zero time: nobody did.
	Accepted time.Time `json:"accepted,omitzero"`
}

// Private is what the storage need not know of a dump.
type Private struct {
	Path string `json:"path"`
	// UID, GID and Mode (permission bits) of the file.
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Mode uint32 `json:"mode"`
	// MTime has all the digits that the file system gave.
	MTime time.Time `json:"mtime"`
	// SHA256 of the dump itself.
	SHA256 Sum `json:"sha256"`
}

// Sum is a SHA-256 or HMAC-SHA256, in JSON 64 hex digits.
type Sum [32]byte

// MarshalText writes lower-case hex digits.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads exactly 64 hex digits.
func (s *Sum) UnmarshalText(b []byte) error {
	if len(b) != 64 {
		return fmt.Errorf("a sum has 64 hex digits, not %d", len(b))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// text is the manifest as the text of a signed note, which ends in a line end.
func (m *Manifest) text() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// parseManifest reads the text of a note and checks that the manifest is consistent in itself and names the object
// that it was found beside. Unknown fields are left alone: later versions of this format may add some.
func parseManifest(text []byte, name Name) (*Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("the manifest is not valid JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the manifest has something after its JSON")
	}
	if m.Format != Format {
		return nil, fmt.Errorf("the manifest has format %q, this program knows %q", m.Format, Format)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if err := m.names(name); err != nil {
		return nil, err
	}
	return &m, nil
}

func (m *Manifest) check() error {
	if m.Size < 0 || m.Stored < m.Size || m.BlockSize <= 0 || m.BlockSize > crypto.LargestBlock {
		return fmt.Errorf("the manifest has impossible sizes: %d, %d, %d", m.Size, m.Stored, m.BlockSize)
	}
	blocks := m.Stored / m.BlockSize
	if m.Stored%m.BlockSize > 0 {
		blocks++
	}
	if int64(len(m.Blocks)) != blocks {
		return fmt.Errorf("the manifest lists %d blocks, its object has %d", len(m.Blocks), blocks)
	}
	return nil
}

// names refuses a manifest that was copied to another name, or whose fields contradict its object's name: a thief
// with the bucket could pass an old backup off as a new one.
func (m *Manifest) names(found Name) error {
	if m.Object != found.String() {
		return fmt.Errorf("the manifest belongs to %q", m.Object)
	}
	if m.Host != found.Host || m.Series != found.Series || !m.Taken.Equal(found.Taken) {
		return errors.New("the manifest's host, series or time contradict its name")
	}
	return nil
}
