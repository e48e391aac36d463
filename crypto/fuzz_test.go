package crypto_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"offsite/crypto"
)

func golden(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("testdata/golden", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// Whatever is opened without an error was sealed for the identity: here, only the one golden file and its plaintext.
func FuzzOpen(f *testing.F) {
	golden(f, "x25519-0.age", "x25519-1.age", "ssh-1.age", "hybrid-0.age")
	secret, err := os.ReadFile("testdata/golden/x25519.key")
	if err != nil {
		f.Fatal(err)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(secret)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		r, err := crypto.OpenStream(bytes.NewReader(sealed), id)
		var streamed []byte
		if err == nil {
			streamed, err = io.ReadAll(r)
		}
		if err != nil && !errors.Is(err, crypto.ErrCorrupt) && !errors.Is(err, crypto.ErrNoIdentity) {
			t.Errorf("an error of no kind: %v", err)
		}
		if err == nil && !bytes.HasPrefix(goldenPlain(200_000), streamed) {
			t.Errorf("forged: %q", streamed)
		}
		at, n, atErr := crypto.Open(bytes.NewReader(sealed), int64(len(sealed)), id)
		if atErr != nil {
			if err == nil {
				t.Errorf("opens as a stream, not by ranges: %v", atErr)
			}
			return
		}
		if ranged, rangeErr := io.ReadAll(io.NewSectionReader(at, 0, n)); (rangeErr == nil) != (err == nil) || rangeErr == nil && !bytes.Equal(ranged, streamed) {
			t.Errorf("by ranges %q, %v; as a stream %q, %v", ranged, rangeErr, streamed, err)
		}
	})
}

func FuzzParseRecipient(f *testing.F) {
	id := x25519(f)
	f.Add(id.Recipient().String())
	f.Add(id.String())
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx")
	f.Add("age1pq1")
	f.Add("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := crypto.ParseRecipient(s)
		if (r == nil) != (err != nil) {
			t.Errorf("%q: %v, %v", s, r, err)
		}
		if err != nil && strings.HasPrefix(strings.ToUpper(s), "AGE-SECRET-KEY-1") && len(s) > 20 && strings.Contains(err.Error(), s[16:]) {
			t.Errorf("the error shows a secret key: %v", err)
		}
	})
}

func FuzzLoadIdentities(f *testing.F) {
	golden(f, "x25519.key", "hybrid.key", "ssh.key", "ssh-1.age")
	f.Add([]byte("# a comment\n\nAGE-SECRET-KEY-1QQQQ\n"))
	path := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		ids, err := crypto.LoadIdentities(path, func(string) ([]byte, error) { return nil, errors.New("nobody is there") })
		if (len(ids) == 0) != (err != nil) {
			t.Errorf("%d identities, %v", len(ids), err)
		}
	})
}

// A note that opens says what was signed, letter by letter.
func FuzzOpenNote(f *testing.F) {
	golden(f, "note")
	key, err := os.ReadFile("testdata/golden/note.verifier")
	if err != nil {
		f.Fatal(err)
	}
	v, err := crypto.ParseVerifiers([]string{strings.TrimSpace(string(key))})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if text, _, err := v.Open(msg); err == nil && string(text) != "a golden note\n" {
			t.Errorf("forged: %q", text)
		}
	})
}

func FuzzParseSigner(f *testing.F) {
	skey, vkey, err := crypto.GenerateSigner("host")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(skey+"\n"+vkey+"\n", vkey)
	f.Add("PRIVATE+KEY+host+00000000+AAAA", "host+00000000+AAAA")
	f.Fuzz(func(t *testing.T, signing, verifying string) {
		s, err := crypto.ParseSigner(signing)
		if err == nil {
			msg, err := s.Sign([]byte("text\n"))
			if err != nil {
				t.Fatal(err)
			}
			v, err := crypto.ParseVerifiers([]string{s.VerifierKey()})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := v.Open(msg); err != nil {
				t.Errorf("a signer whose own verifier does not know it: %v", err)
			}
		} else if i := strings.LastIndex(signing, "+"); strings.HasPrefix(signing, "PRIVATE+KEY+") && len(signing)-i > 20 && strings.Contains(err.Error(), strings.TrimSpace(signing[i+1:])) {
			t.Errorf("the error shows the key: %v", err)
		}
		one := crypto.ParseVerifier(verifying)
		if _, all := crypto.ParseVerifiers([]string{verifying}); (one == nil) != (all == nil) {
			t.Errorf("%v, but in a list %v", one, all)
		}
	})
}
