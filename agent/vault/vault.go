// Package vault is one target's backups: what they are called, what describes them, and how they are listed, added
// and opened.
//
// A backup is two objects, side by side:
//
//	db-server/crypto-ai-agent/20261122T030001Z_5f3c9a1e_crypto-ai-agent_20261122_040001.sql.gz.age
//	db-server/crypto-ai-agent/20261122T030001Z_5f3c9a1e_crypto-ai-agent_20261122_040001.sql.gz.age.manifest
//
// The first is one plain age v1 file (package crypto). The second is the [Manifest], JSON in a note signed with the
// host's Ed25519 key. It is written after the data is complete: a backup exists when its manifest does. Data without
// a manifest is an upload that has not finished. docs/format.md has all of it, for a second implementation.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"offsite/crypto"
	"offsite/providers"
)

// ErrIntegrity can occur wherever something is read from a target: it is not what the host wrote and signed.
// Another target may have a good copy.
var ErrIntegrity = errors.New("integrity")

// ErrUntrusted can occur when a manifest is read: it is well signed, but by a key that is not trusted here. It is an
// ErrIntegrity too.
var ErrUntrusted = fmt.Errorf("%w: signed by a key that is not trusted here", ErrIntegrity)

// maxManifest bounds what is read of a manifest: 10,000 blocks take 700 KB.
const maxManifest = 8 << 20

// Vault is the backups on one target. It holds nothing but the target and may be used concurrently.
type Vault struct {
	target    providers.Target
	verifiers *crypto.Verifiers
}

// New returns the vault on target. Manifests must be signed by one of verifiers; with nil they may be signed by
// anybody, and the caller is told by whom.
func New(target providers.Target, verifiers *crypto.Verifiers) *Vault {
	return &Vault{target, verifiers}
}

// Entry is what a listing says of a backup, before its manifest is read.
type Entry struct {
	Name
	// Object is the name of the data object, as Name.String writes it.
	Object string
	// Stored is the size of the data object in bytes, and -1 when the data is missing behind its manifest.
	Stored int64
	// Manifest is false for data of an upload that has not finished.
	Manifest bool
	// Modified is the target's time of storing the data, or the manifest if the data is missing.
	Modified time.Time
	// Version changes when the manifest is written anew, as far as the target tells: what was learnt from a manifest
	// holds while it stays the same.
	Version string
}

// List yields the backups of one host, or of all when host is empty, in ascending order of host, series and time,
// unfinished uploads among them. Objects that offsite did not name are passed over.
func (v *Vault) List(ctx context.Context, host string) iter.Seq2[Entry, error] {
	prefix := ""
	if host != "" {
		prefix = encode(Text(host)) + "/"
	}
	return v.list(ctx, prefix, nil)
}

// HostDir is the directory that holds all of a host's objects.
func HostDir(host string) string { return encode(Text(host)) }

// SeriesDir is the directory that holds all of a series' objects.
func SeriesDir(host, series string) string { return HostDir(host) + "/" + encode(series) }

// ListSeries is List for one series of one host.
func (v *Vault) ListSeries(ctx context.Context, host, series string) iter.Seq2[Entry, error] {
	return v.list(ctx, SeriesDir(host, series)+"/", nil)
}

// list tells strange, unless that is nil, the objects that it passes over.
func (v *Vault) list(ctx context.Context, prefix string, strange func(object string)) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var data Entry // a data object whose manifest, if there is one, is the next name in order
		flush := func() bool {
			last := data
			data = Entry{}
			return last.ID == "" || yield(last, nil)
		}
		for object, err := range v.target.List(ctx, prefix) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			name, isManifest := strings.CutSuffix(object.Name, manifestSuffix)
			n, err := Parse(name)
			if err != nil {
				if strange != nil {
					strange(object.Name)
				}
				continue
			}
			if isManifest && data.Name == n {
				data.Manifest = true
			} else {
				if !flush() {
					return
				}
				data = Entry{Name: n, Object: name, Stored: object.Size, Modified: object.Modified}
			}
			if isManifest && !data.Manifest {
				data.Stored, data.Manifest = -1, true
			}
			if isManifest {
				data.Version = fmt.Sprintf("%d %d", object.Size, object.Modified.UnixNano())
			}
		}
		flush()
	}
}

// Put stores the data of a backup. Until Commit it is an unfinished upload. See [providers.Target] for how it resumes. Where
// the target locks, nobody can remove it before the instant; the zero time: no lock.
func (v *Vault) Put(ctx context.Context, name Name, src providers.Source, locked time.Time) error {
	return v.target.Put(ctx, name.String(), providers.LockedSource(src, locked))
}

// Preserve keeps a damaged object that is about to be replaced, data and manifest, until the backup is removed; kept says whether
// the target can do that.
func (v *Vault) Preserve(ctx context.Context, name Name) (kept bool, err error) {
	p, ok := v.target.(providers.Preserver)
	if !ok {
		return false, nil
	}
	for _, object := range []string{name.String(), name.Manifest()} {
		if err := p.Preserve(ctx, object); errors.Is(err, errors.ErrUnsupported) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// HasData says whether the target holds the whole data object already, as Put left it: the name carries the random id
// of the sealing and Put is atomic, so an object of this name and size is this sealing.
func (v *Vault) HasData(ctx context.Context, name Name, size int64) (bool, error) {
	object, err := v.target.Stat(ctx, name.String())
	if isMissing(err) {
		return false, nil
	}
	return err == nil && object.Size == size, err
}

// Remove removes a backup: its manifest, and only when that is gone its data. begun says that the manifest is gone: cut off
// in between, it leaves data without one, which is no backup any more: RemoveData goes on. What the target has locked is
// not touched; that is *providers.Retained.
func (v *Vault) Remove(ctx context.Context, name Name) (begun bool, err error) {
	if why, err := v.Locked(ctx, name); err != nil {
		return false, err
	} else if why != nil {
		return false, &providers.Error{Op: "delete", Name: name.String(), Kind: fs.ErrPermission, Err: why}
	}
	if err := v.target.Delete(ctx, name.Manifest()); err != nil {
		return false, err
	}
	return true, v.target.Delete(ctx, name.String())
}

// Locked says why the target does not let a backup go now; nil: it does, or does not say.
func (v *Vault) Locked(ctx context.Context, name Name) (*providers.Retained, error) {
	locker, ok := v.target.(providers.Locker)
	if !ok {
		return nil, nil
	}
	for _, object := range []string{name.String(), name.Manifest()} {
		why, err := locker.Locked(ctx, object)
		if why != nil || err != nil && !isMissing(err) {
			return why, err
		}
	}
	return nil, nil
}

// Lock keeps a backup from being removed until that instant at least. The target must be a providers.Locker.
func (v *Vault) Lock(ctx context.Context, name Name, until time.Time) error {
	locker, ok := v.target.(providers.Locker)
	if !ok {
		return fmt.Errorf("%w: the target knows no locks", providers.ErrPermanent)
	}
	if err := locker.Lock(ctx, name.String(), until); err != nil {
		return err
	}
	return locker.Lock(ctx, name.Manifest(), until)
}

// RemoveData removes data that has no manifest, and what an unfinished upload of it left; when there is a manifest it
// does nothing: then it is a backup.
func (v *Vault) RemoveData(ctx context.Context, name Name) error {
	_, err := v.target.Stat(ctx, name.Manifest())
	if err == nil {
		return nil
	}
	if !isMissing(err) {
		return err
	}
	return v.target.Delete(ctx, name.String())
}

// Sign is the manifest object for m.
func Sign(signer *crypto.Signer, m *Manifest) ([]byte, error) {
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	return signer.Sign(text)
}

// Commit stores a signed manifest: from now on the backup exists. The data must be complete. locked is as with Put.
func (v *Vault) Commit(ctx context.Context, name Name, manifest []byte, locked time.Time) error {
	return v.target.Put(ctx, name.Manifest(), providers.LockedSource(providers.Bytes(manifest), locked))
}

// Manifest reads and verifies the manifest of a backup. signer is the key that signed it, as name+hash. A missing
// manifest is fs.ErrNotExist. One that is not trusted gives ErrUntrusted together with what it says.
func (v *Vault) Manifest(ctx context.Context, name Name) (m *Manifest, signer string, err error) {
	msg, err := v.read(ctx, name.Manifest())
	if err != nil {
		return nil, "", err
	}
	return v.parse(name, msg)
}

// Signed is Manifest with the bytes that were signed, for Commit on another target.
func (v *Vault) Signed(ctx context.Context, name Name) (m *Manifest, signed []byte, err error) {
	if signed, err = v.read(ctx, name.Manifest()); err != nil {
		return nil, nil, err
	}
	m, _, err = v.parse(name, signed)
	return m, signed, err
}

func (v *Vault) parse(name Name, msg []byte) (m *Manifest, signer string, err error) {
	text, signer, err := v.verifiers.Open(msg)
	var unknown *crypto.UnknownSignerError
	switch {
	case errors.As(err, &unknown):
		signer, text = unknown.Signer(), unknown.Text
		if v.verifiers != nil {
			err = fmt.Errorf("manifest of %s: %w: %s", name, ErrUntrusted, signer)
		} else {
			err = nil
		}
	case err != nil:
		return nil, "", fmt.Errorf("manifest of %s: %w: %w", name, ErrIntegrity, err)
	}
	m, parseErr := parseManifest(text, name)
	if parseErr != nil {
		return nil, signer, fmt.Errorf("manifest of %s: %w: %w", name, ErrIntegrity, parseErr)
	}
	return m, signer, err
}

func (v *Vault) read(ctx context.Context, object string) ([]byte, error) {
	r, err := v.target.Get(ctx, object, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxManifest {
		return nil, fmt.Errorf("%s: %w: larger than %d bytes", object, ErrIntegrity, maxManifest)
	}
	return b, nil
}
