package crypto

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// These can occur when a signed note is opened.
var (
	// ErrUnsigned: it is no signed note at all.
	ErrUnsigned = errors.New("not signed")
	// ErrBadSignature: it says that a known key signed it, and that is not true.
	ErrBadSignature = errors.New("wrong signature: the text was changed after it was signed")
)

// UnknownSignerError can occur when a signed note is opened: no known key has signed it. What the signature is worth
// cannot be told.
type UnknownSignerError struct {
	Name string
	Hash uint32
	// Text is what the note says, as far as it can be believed.
	Text []byte
}

// Signer is the key that claims to have signed, as name+hash.
func (e *UnknownSignerError) Signer() string { return fmt.Sprintf("%s+%08x", e.Name, e.Hash) }

// Error names the key.
func (e *UnknownSignerError) Error() string { return "signed by an unknown key, " + e.Signer() }

// Signer signs texts with a host's Ed25519 key, as notes (golang.org/x/mod/sumdb/note).
type Signer struct {
	note.Signer
	verifier string
	mac      []byte
}

// GenerateSigner makes a key pair: skey is secret, vkey verifies. The name becomes part of both; it has 1 to 100
// letters, digits, dots, underscores and hyphens.
func GenerateSigner(name string) (skey, vkey string, err error) {
	if !validName(name) {
		return "", "", fmt.Errorf("signing key: the name %q should have 1 to 100 letters, digits, '.', '_' and '-'", name)
	}
	return note.GenerateKey(rand.Reader, name)
}

func validName(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return name != "" && len(name) <= 100 && strings.Trim(name, allowed) == ""
}

// LoadSigner reads the secret key that GenerateSigner made from a file that nobody else may read. The verifier key is
// on a second line.
func LoadSigner(path string) (*Signer, error) {
	b, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	s, err := ParseSigner(string(b))
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	return s, nil
}

// ParseSigner reads the two lines of a signing key file: the secret key and its verifier key.
func ParseSigner(text string) (*Signer, error) {
	lines := strings.Fields(text)
	if len(lines) != 2 {
		return nil, errors.New("it should have two lines, the secret key and the verifier key")
	}
	signer, err := note.NewSigner(lines[0])
	if err != nil {
		return nil, errors.New("the first line is not a secret key") // the library's words may hold part of it
	}
	s := &Signer{Signer: signer, verifier: lines[1]}
	if s.mac, err = hkdf.Key(sha256.New, []byte(lines[0]), nil, "offsite fingerprint", sha256.Size); err != nil {
		return nil, err
	}
	return s, s.prove()
}

// prove makes sure that the two lines belong together.
func (s *Signer) prove() error {
	signed, err := s.Sign([]byte("test\n"))
	if err != nil {
		return err
	}
	v, err := ParseVerifiers([]string{s.verifier})
	if err != nil {
		return errors.New("the second line is not a verifier key") // it may be a secret one
	}
	if _, _, err := v.Open(signed); err != nil {
		return errors.New("the secret key and the verifier key do not belong together")
	}
	return nil
}

// VerifierKey is the public key, name+hash+key.
func (s *Signer) VerifierKey() string { return s.verifier }

// Sign makes a note of text, which ends in a line end and has no other control characters.
func (s *Signer) Sign(text []byte) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: string(text)}, s.Signer)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signed, nil
}

// MAC is an HMAC-SHA256 of data that only the owner of the signing key can make, different for each label.
func (s *Signer) MAC(label string, data []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, s.mac)
	fmt.Fprintf(h, "%d %s", len(label), label)
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

// Verifiers are the keys whose signatures count. The nil *Verifiers knows none.
type Verifiers struct {
	known note.Verifiers
	id    string
}

// ParseVerifier checks one verifier key.
func ParseVerifier(key string) error {
	_, err := note.NewVerifier(key)
	if err != nil {
		return errors.New("not a verifier key: it should look like name+8f3a9c21+AbCd..., as `offsite keygen --signing` prints it")
	}
	return nil
}

// ParseVerifiers reads verifier keys. The same key twice is once.
func ParseVerifiers(keys []string) (*Verifiers, error) {
	seen := map[string]bool{}
	var list []note.Verifier
	for _, key := range keys {
		key = strings.TrimSpace(key)
		if seen[key] {
			continue
		}
		seen[key] = true
		v, err := note.NewVerifier(key)
		if strings.HasPrefix(key, "PRIVATE+KEY+") {
			return nil, errors.New("this is a secret signing key, which stays where it is; what others are to trust is its verifier key, the second line of its file")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, ParseVerifier(key))
		}
		list = append(list, v)
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(maps.Keys(seen)), "\n")))
	return &Verifiers{note.VerifierList(list...), hex.EncodeToString(sum[:8])}, nil
}

// ID is the same for the same set of keys, and another for another one.
func (v *Verifiers) ID() string {
	if v == nil {
		return ""
	}
	return v.id
}

// Open verifies a signed note and gives its text and the key that signed it, as name+hash. Errors are ErrUnsigned,
// ErrBadSignature and *UnknownSignerError.
func (v *Verifiers) Open(msg []byte) (text []byte, signer string, err error) {
	known := note.VerifierList()
	if v != nil {
		known = v.known
	}
	n, err := note.Open(msg, known)
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified) && len(unverified.Note.UnverifiedSigs) > 0:
		s := unverified.Note.UnverifiedSigs[0]
		return nil, "", &UnknownSignerError{s.Name, s.Hash, []byte(unverified.Note.Text)}
	case errors.As(err, new(*note.InvalidSignatureError)):
		return nil, "", ErrBadSignature
	case err != nil:
		return nil, "", fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	return []byte(n.Text), fmt.Sprintf("%s+%08x", n.Sigs[0].Name, n.Sigs[0].Hash), nil
}
