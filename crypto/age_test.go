package crypto_test

import (
	"bytes"
	"compress/zlib"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"
	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"offsite/crypto"
)

// stockAge is the age command, which `make servers` builds from its module.
func stockAge(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("OFFSITE_TEST_BIN")
	if dir == "" {
		dir, _ = filepath.Abs("../.cache/bin")
	}
	path := filepath.Join(dir, "age")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("stock age is missing: make servers (%v)", err)
	}
	return path
}

func keyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sshKey makes an OpenSSH key pair.
func sshKey(t *testing.T, private any, passphrase string) (file, public string) {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, string(pem.EncodeToMemory(block))), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// Every kind of key, both ways: stock age opens what we seal, and we open what stock age seals.
func TestStockAgeAndWeOpenEachOther(t *testing.T) {
	stock := stockAge(t)
	classic, classicPublic, err := crypto.GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	hybrid, hybridPublic, err := crypto.GenerateIdentity(true)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][2]string{
		"X25519": {keyFile(t, "# a comment\n\n"+classic+"\n"), classicPublic},
		"hybrid": {keyFile(t, hybrid), hybridPublic},
	}
	file, public := sshKey(t, edwards, "")
	keys["ssh-ed25519"] = [2]string{file, public}
	file, public = sshKey(t, rsaKey, "")
	keys["ssh-rsa"] = [2]string{file, public}

	plain := pattern(200_001)
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			recipients, err := crypto.ParseRecipients([]string{key[1]})
			if err != nil {
				t.Fatal(err)
			}
			s, err := crypto.NewSealing(recipients, int64(len(plain)), 70_000)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(stock, "-d", "-i", key[0])
			cmd.Stdin = bytes.NewReader(sealAll(t, s, bytes.NewReader(plain), nil))
			if got, err := cmd.Output(); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("stock age: %v, %d bytes", err, len(got))
			}
			cmd = exec.Command(stock, "-r", key[1])
			cmd.Stdin = bytes.NewReader(plain)
			sealed, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			ids, err := crypto.LoadIdentities(key[0], nil)
			if err != nil {
				t.Fatal(err)
			}
			r, size, err := crypto.Open(bytes.NewReader(sealed), int64(len(sealed)), ids...)
			if err != nil || size != int64(len(plain)) {
				t.Fatalf("%v, %d bytes", err, size)
			}
			middle := make([]byte, 100_000)
			if _, err := r.ReadAt(middle, 50_000); err != nil || !bytes.Equal(middle, plain[50_000:150_000]) {
				t.Errorf("a range: %v", err)
			}
		})
	}
}

func TestAgeRefusesToMixPostQuantumAndClassicKeys(t *testing.T) {
	_, classic, _ := crypto.GenerateIdentity(false)
	_, hybrid, _ := crypto.GenerateIdentity(true)
	if _, err := crypto.ParseRecipients([]string{classic, hybrid}); err == nil {
		t.Error("a mixture that age refuses is taken")
	}
}

// The test vectors of the age project, through both ways of opening.
func TestVectors(t *testing.T) {
	entries, err := fs.ReadDir(agetest.Vectors, ".")
	if err != nil || len(entries) < 100 {
		t.Fatalf("%d vectors, %v", len(entries), err)
	}
	for _, e := range entries {
		b, err := fs.ReadFile(agetest.Vectors, e.Name())
		if err != nil {
			t.Fatal(err)
		}
		t.Run(e.Name(), func(t *testing.T) { vector(t, b) })
	}
}

func vector(t *testing.T, b []byte) {
	head, file, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		t.Fatal("no payload")
	}
	var ids []age.Identity
	var expect, hash string
	armored := false
	for line := range strings.Lines(string(head)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "expect":
			expect = value
		case "payload":
			hash = value
		case "identity":
			id, err := parseIdentity(t, value)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id...)
		case "passphrase":
			id, err := age.NewScryptIdentity(value)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		case "armored":
			armored = true
		case "compressed":
			r, err := zlib.NewReader(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			if file, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if armored {
		var err error
		if file, err = io.ReadAll(armor.NewReader(bytes.NewReader(file))); err != nil {
			if expect != "armor failure" {
				t.Fatal(err)
			}
			return
		}
	}
	check := func(way string, got []byte, err error) {
		if expect == "success" {
			if sum := sha256.Sum256(got); err != nil || hex.EncodeToString(sum[:]) != hash {
				t.Errorf("%s: %v, %d bytes", way, err, len(got))
			}
			return
		}
		if !errors.Is(err, crypto.ErrCorrupt) && !errors.Is(err, crypto.ErrNoIdentity) {
			t.Errorf("%s: %v, want an error for %s", way, err, expect)
		}
	}
	var got []byte
	r, err := crypto.OpenStream(bytes.NewReader(file), ids...)
	if err == nil {
		got, err = io.ReadAll(r)
	}
	check("stream", got, err)
	at, size, err := crypto.Open(bytes.NewReader(file), int64(len(file)), ids...)
	if err == nil {
		got, err = io.ReadAll(io.NewSectionReader(at, 0, size))
	}
	check("ranges", got, err)
}

func parseIdentity(t *testing.T, key string) ([]age.Identity, error) {
	return crypto.LoadIdentities(keyFile(t, key), nil)
}

func TestKeysUnderAPassphrase(t *testing.T) {
	secret, public, _ := crypto.GenerateIdentity(false)
	recipients, err := crypto.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := crypto.SealBytes(recipients, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	scrypt, err := age.NewScryptRecipient("correct")
	if err != nil {
		t.Fatal(err)
	}
	scrypt.SetWorkFactor(10)
	protected, err := crypto.SealBytes([]age.Recipient{scrypt}, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	path := keyFile(t, string(protected))
	say := func(word string) crypto.Ask { return func(string) ([]byte, error) { return []byte(word), nil } }
	ids, err := crypto.LoadIdentities(path, say("correct"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := crypto.OpenBytes(sealed, ids...); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := crypto.LoadIdentities(path, say("wrong")); err == nil || !strings.Contains(err.Error(), "wrong passphrase") {
		t.Error(err)
	}
	if _, err := crypto.LoadIdentities(path, nil); err == nil || !strings.Contains(err.Error(), "no terminal") {
		t.Error(err)
	}
	other, _, _ := crypto.GenerateIdentity(false)
	wrong, _ := crypto.LoadIdentities(keyFile(t, other), nil)
	if _, err := crypto.OpenBytes(sealed, wrong...); !errors.Is(err, crypto.ErrNoIdentity) {
		t.Error(err)
	}
	if _, err := crypto.OpenBytes(sealed[:len(sealed)-1], ids...); !errors.Is(err, crypto.ErrCorrupt) {
		t.Error(err)
	}
}

func TestKeyFilesAreRefusedWithTheRemedyAndWithoutTheSecret(t *testing.T) {
	secret, public, _ := crypto.GenerateIdentity(false)
	for text, want := range map[string]string{
		"":                       "holds no secret key",
		public:                   "public key",
		secret[:len(secret)-5]:   "damaged secret key",
		"# c\n\nnonsense secret": "line 3: not a secret key",
	} {
		_, err := crypto.LoadIdentities(keyFile(t, text), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret[15:40]) || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	open := keyFile(t, secret)
	os.Chmod(open, 0o644)
	if _, err := crypto.LoadIdentities(open, nil); err == nil || !strings.Contains(err.Error(), "chmod 600 "+open) {
		t.Error(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(open))
	os.Chmod(open, 0o440)
	if _, err := crypto.LoadIdentities(open, nil); err != nil {
		t.Errorf("a systemd credential: %v", err)
	}
	if _, err := crypto.ParseRecipients([]string{secret}); err == nil || strings.Contains(err.Error(), secret[20:40]) {
		t.Error(err)
	}
	if _, err := crypto.ParseRecipients(nil); err == nil {
		t.Error("no recipients are enough")
	}
}
