package crypto_test

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"offsite/crypto"
)

var update = flag.Bool("update", false, "make the golden files anew")

// goldenPlain is the plaintext of the golden files. Whatever pattern does, this stays as it is.
func goldenPlain(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// What an older version sealed and signed opens for ever: a backup outlives the program that made it.
func TestGoldenFilesOpen(t *testing.T) {
	if *update {
		makeGolden(t)
	}
	files, err := filepath.Glob("testdata/golden/*.age")
	if err != nil || len(files) != 15 {
		t.Fatalf("%d golden files, want 15: %v", len(files), err)
	}
	for _, file := range files {
		var kind string
		var size int
		name := strings.TrimSuffix(filepath.Base(file), ".age")
		if _, err := fmt.Sscanf(strings.Replace(name, "-", " ", 1), "%s %d", &kind, &size); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids, err := crypto.LoadIdentities(private(t, kind+".key"), nil)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := crypto.OpenBytes(sealed, ids...); err != nil || !bytes.Equal(got, goldenPlain(size)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		r, plain, err := crypto.Open(bytes.NewReader(sealed), int64(len(sealed)), ids...)
		if err != nil || plain != int64(size) {
			t.Errorf("%s: Open: %d bytes, %v", name, plain, err)
			continue
		}
		if got, err := io.ReadAll(io.NewSectionReader(r, 0, plain)); err != nil || !bytes.Equal(got, goldenPlain(size)) {
			t.Errorf("%s: by ranges: %d bytes, %v", name, len(got), err)
		}
	}
}

// A sealing that an older version began goes on, to the same bytes.
func TestGoldenSealingGoesOn(t *testing.T) {
	state, err := os.ReadFile("testdata/golden/x25519-200000.state")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/golden/x25519-200000.age")
	if err != nil {
		t.Fatal(err)
	}
	s, err := crypto.ParseSealing(state)
	if err != nil {
		t.Fatal(err)
	}
	if got := sealAll(t, s, bytes.NewReader(goldenPlain(200_000)), nil); !bytes.Equal(got, want) {
		t.Error("the same state and dump give another file")
	}
}

func TestGoldenNoteIsTrusted(t *testing.T) {
	note, err := os.ReadFile("testdata/golden/note")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile("testdata/golden/note.verifier")
	if err != nil {
		t.Fatal(err)
	}
	v, err := crypto.ParseVerifiers([]string{strings.TrimSpace(string(key))})
	if err != nil {
		t.Fatal(err)
	}
	if text, signer, err := v.Open(note); err != nil || string(text) != "a golden note\n" || !strings.HasPrefix(signer, "golden+") {
		t.Errorf("%q, %q, %v", text, signer, err)
	}
}

// private is a golden key with the mode that keys must have, which version control does not keep.
func private(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/golden", name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func makeGolden(t *testing.T) {
	t.Helper()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join("testdata/golden", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("testdata/golden", 0o755); err != nil {
		t.Fatal(err)
	}
	recipients := map[string]string{}
	for kind, pq := range map[string]bool{"x25519": false, "hybrid": true} {
		secret, public, err := crypto.GenerateIdentity(pq)
		if err != nil {
			t.Fatal(err)
		}
		write(kind+".key", []byte(secret+"\n"))
		recipients[kind] = public
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	file, public := sshKey(t, key, "")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write("ssh.key", b)
	recipients["ssh"] = public
	for kind, public := range recipients {
		r, err := crypto.ParseRecipient(public)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 65536, 65537, 200_000} {
			if kind != "x25519" && size > 65536 { // the payload does not depend on the recipient
				size /= 100
			}
			s, err := crypto.NewSealing([]age.Recipient{r}, int64(size), 50_000)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s-%d", kind, size)
			write(name+".age", sealAll(t, s, bytes.NewReader(goldenPlain(size)), nil))
			if name == "x25519-200000" {
				write(name+".state", s.Marshal())
			}
		}
	}
	s := signer(t, "golden")
	note, err := s.Sign([]byte("a golden note\n"))
	if err != nil {
		t.Fatal(err)
	}
	write("note", note)
	write("note.verifier", []byte(s.VerifierKey()+"\n"))
}
