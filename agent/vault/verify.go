package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"filippo.io/age"

	"offsite/crypto"
	"offsite/providers"
)

// Level is how closely Verify looks.
type Level string

// The levels, each of which includes those before it.
const (
	// Head looks at the manifest, its signature, that the data is there in its size, and at the checksums that the store has kept.
	Head Level = "head"
	// Hash downloads the data and compares each block with its signed SHA-256. It needs no key.
	Hash Level = "hash"
	// Decrypt opens the data too, and compares the dump with the SHA-256 that the host sealed.
	Decrypt Level = "decrypt"
)

// Verify says what is wrong with a backup; nil: nothing, as far as the level sees. Damage is ErrIntegrity, a missing
// manifest fs.ErrNotExist; other errors say that it could not be looked at. The manifest is there if it could be read.
func (v *Vault) Verify(ctx context.Context, name Name, level Level, ids ...age.Identity) (*Manifest, error) {
	m, _, err := v.Manifest(ctx, name)
	if err != nil {
		return m, err
	}
	return m, v.VerifyData(ctx, m, level, ids...)
}

// VerifyData is Verify for a manifest that is known, whatever the target has in its place.
func (v *Vault) VerifyData(ctx context.Context, m *Manifest, level Level, ids ...age.Identity) error {
	object, err := v.target.Stat(ctx, m.Object)
	switch {
	case isMissing(err):
		return fmt.Errorf("%s: %w: its data is missing", m.Object, ErrIntegrity)
	case err != nil:
		return err
	case object.Size != m.Stored:
		return fmt.Errorf("%s: %w: its data has %d bytes, its manifest says %d", m.Object, ErrIntegrity, object.Size, m.Stored)
	}
	if err := v.compareSums(ctx, m); err != nil {
		return err
	}
	switch level {
	case Head:
		return nil
	case Hash:
		data := v.openUnproven(ctx, m)
		defer data.Close()
		_, err := io.Copy(io.Discard, data)
		return err
	}
	return v.verifyDump(ctx, m, ids)
}

// openUnproven is Open for who publishes nothing.
func (v *Vault) openUnproven(ctx context.Context, m *Manifest) io.ReadCloser {
	return Copies{Vaults: []*Vault{v}, Unproven: true}.Open(ctx, m)
}

// compareSums compares the manifest's sums with the checksums that the store has kept, if it has.
func (v *Vault) compareSums(ctx context.Context, m *Manifest) error {
	c, ok := v.target.(providers.Checksummer)
	if !ok {
		return nil
	}
	sums := make([][32]byte, len(m.Blocks))
	for i, sum := range m.Blocks {
		sums[i] = sum
	}
	same, known, err := c.Compare(ctx, m.Object, sums)
	if err != nil || !known || same {
		return err
	}
	return fmt.Errorf("%s: %w: by the checksum that the store has kept, its data is not what its manifest says", m.Object, ErrIntegrity)
}

// verifyDump opens the data and compares what is in it.
func (v *Vault) verifyDump(ctx context.Context, m *Manifest, ids []age.Identity) error {
	p, err := m.Private(ids...)
	if err != nil {
		return fmt.Errorf("%s: its sealed facts: %w", m.Object, err)
	}
	h := sha256.New()
	if err := (Copies{Vaults: []*Vault{v}, Unproven: true}).WritePlain(ctx, m, h, ids...); err != nil {
		return fmt.Errorf("%s: %w", m.Object, err)
	}
	if Sum(h.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("%s: %w: its dump does not have the SHA-256 that it had on its host", m.Object, ErrIntegrity)
	}
	return nil
}

// Private opens what the storage need not know.
func (m *Manifest) Private(ids ...age.Identity) (*Private, error) {
	r, err := crypto.OpenStream(bytes.NewReader(m.Sealed), ids...)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err != nil {
		return nil, err
	}
	p := new(Private)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("%w: the sealed facts are not valid JSON: %w", ErrIntegrity, err)
	}
	return p, nil
}
