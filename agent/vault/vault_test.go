package vault_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
	"offsite/providers/mem"
)

var taken = time.Date(2026, 11, 22, 3, 0, 1, 0, time.UTC)

func ExampleNewName() {
	n, _ := vault.NewName("db-server", "sub/big", taken, "5f3c9a1e", "big 20261122.sql.gz")
	fmt.Println(n)
	fmt.Println(n.Manifest())
	// Output:
	// db-server/sub%2Fbig/20261122T030001Z_5f3c9a1e_big%2020261122.sql.gz.age
	// db-server/sub%2Fbig/20261122T030001Z_5f3c9a1e_big%2020261122.sql.gz.age.manifest
}

// Whatever a dump is called, its name on a target is one that targets take, and parses back to the same parts.
func TestNamesParseBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		series := rapid.StringN(1, 40, 80).Draw(t, "series")
		file := string(rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "file"))
		n, err := vault.NewName("host", series, taken, "0123abcd", file)
		if err != nil {
			t.Fatal(err)
		}
		back, err := vault.Parse(n.String())
		if err != nil || back != n {
			t.Fatalf("%q parses to %+v, %v", n, back, err)
		}
		for _, object := range []string{n.String(), n.Manifest()} {
			if err := providers.CheckName(object); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("db-server/shop/20261122T030001Z_5f3c9a1e_shop.sql.gz.age")
	f.Add("a/%2Fb/20261122T030001Z_00000000_.age")
	f.Add("a/b/20261122T030001Z_00000000_%zz.age")
	f.Fuzz(func(t *testing.T, object string) {
		if n, err := vault.Parse(object); err == nil && n.String() != object {
			t.Fatalf("%q parses, but is written %q", object, n)
		}
	})
}

// backup is one that is committed to a target in memory.
type backup struct {
	target *mem.Target
	name   vault.Name
	m      *vault.Manifest
	data   []byte
	signer *crypto.Signer
	known  *crypto.Verifiers
}

func newBackup(t *testing.T) *backup {
	t.Helper()
	skey, vkey, err := crypto.GenerateSigner("host")
	if err != nil {
		t.Fatal(err)
	}
	b := &backup{target: mem.New(), data: bytes.Repeat([]byte("0123456789"), 1000)}
	if b.signer, err = crypto.ParseSigner(skey + "\n" + vkey); err != nil {
		t.Fatal(err)
	}
	if b.known, err = crypto.ParseVerifiers([]string{vkey}); err != nil {
		t.Fatal(err)
	}
	if b.name, err = vault.NewName("host", "shop", taken, "5f3c9a1e", "shop.sql"); err != nil {
		t.Fatal(err)
	}
	b.m = &vault.Manifest{Format: vault.Format, Object: b.name.String(), Host: "host", Series: "shop", Taken: taken, Name: "shop.sql",
		Size: 9000, Stored: int64(len(b.data)), BlockSize: 3000, Health: vault.Health{State: "unchecked"}}
	for at := 0; at < len(b.data); at += 3000 {
		b.m.Blocks = append(b.m.Blocks, sha256.Sum256(b.data[at:min(at+3000, len(b.data))]))
	}
	b.target.Set(b.name.String(), b.data)
	b.commit(t, b.name)
	return b
}

func (b *backup) commit(t *testing.T, at vault.Name) {
	t.Helper()
	msg, err := vault.Sign(b.signer, b.m)
	if err != nil {
		t.Fatal(err)
	}
	if err := vault.New(b.target, b.known).Commit(t.Context(), at, msg, time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func (b *backup) read(t *testing.T) ([]byte, error) {
	v := vault.New(b.target, b.known)
	m, _, err := v.Manifest(t.Context(), b.name)
	if err != nil {
		return nil, err
	}
	r := v.Open(t.Context(), m)
	defer r.Close()
	return io.ReadAll(r)
}

func TestABackupIsReadBackVerified(t *testing.T) {
	b := newBackup(t)
	if got, err := b.read(t); err != nil || !bytes.Equal(got, b.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for at := 0; at < len(b.data); at += 999 {
		bad := bytes.Clone(b.data)
		bad[at] ^= 1
		b.target.Set(b.name.String(), bad)
		got, err := b.read(t)
		if !errors.Is(err, vault.ErrIntegrity) || !strings.Contains(err.Error(), b.name.String()) || len(got) > at/3000*3000 {
			t.Fatalf("byte %d flipped: %d bytes came out, %v", at, len(got), err)
		}
	}
	for _, size := range []int{0, 1, 2999, 3000, 9999} {
		b.target.Set(b.name.String(), b.data[:size])
		if _, err := b.read(t); !errors.Is(err, vault.ErrIntegrity) {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
	}
	b.target.Set(b.name.String(), nil)
	if _, err := b.read(t); !errors.Is(err, vault.ErrIntegrity) {
		t.Fatal(err)
	}
}

// A thief with the bucket copies an old backup to a new name.
func TestAManifestUnderAnotherNameIsRefused(t *testing.T) {
	b := newBackup(t)
	for _, other := range []vault.Name{
		{Host: "host", Series: "shop", Taken: taken.AddDate(0, 0, 1), ID: "5f3c9a1e", File: "shop.sql"},
		{Host: "host", Series: "other", Taken: taken, ID: "5f3c9a1e", File: "shop.sql"},
		{Host: "host", Series: "shop", Taken: taken, ID: "00000000", File: "shop.sql"},
	} {
		b.commit(t, other)
		if _, _, err := vault.New(b.target, b.known).Manifest(t.Context(), other); !errors.Is(err, vault.ErrIntegrity) {
			t.Errorf("%s: %v", other, err)
		}
	}
}

func TestOnlyTrustedManifestsCount(t *testing.T) {
	b, stranger := newBackup(t), newBackup(t)
	if _, _, err := vault.New(b.target, stranger.known).Manifest(t.Context(), b.name); !errors.Is(err, vault.ErrUntrusted) || !errors.Is(err, vault.ErrIntegrity) {
		t.Error(err)
	}
	m, signer, err := vault.New(b.target, nil).Manifest(t.Context(), b.name)
	if err != nil || m.Name != "shop.sql" || !strings.HasPrefix(signer, "host+") {
		t.Errorf("%+v, %s, %v", m, signer, err)
	}
}

func TestListPairsDataAndManifests(t *testing.T) {
	b := newBackup(t)
	unfinished, _ := vault.NewName("host", "shop", taken, "11111111", "a")
	orphan, _ := vault.NewName("host", "shop", taken, "22222222", "b")
	b.target.Set(unfinished.String(), []byte("x"))
	b.target.Set(orphan.Manifest(), []byte("x"))
	b.target.Set("host/shop/somebody-elses-file", []byte("x"))
	b.target.Set("host2/shop/20261122T030001Z_33333333_c.age", []byte("x"))
	var got []string
	for e, err := range vault.New(b.target, nil).List(t.Context(), "host") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %v %d", e.ID, e.Manifest, e.Stored))
	}
	if want := "[11111111 false 1 22222222 true -1 5f3c9a1e true 10000]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// A manifest may be forged where nobody checks the signer: its sizes must not make a reader allocate what it says.
func TestImpossibleSizesAreRefused(t *testing.T) {
	for name, forge := range map[string]func(*vault.Manifest){
		"huge block":                func(m *vault.Manifest) { m.Stored, m.BlockSize, m.Blocks = 1<<60, 1<<60, m.Blocks[:1] },
		"no block size":             func(m *vault.Manifest) { m.BlockSize = 0 },
		"negative":                  func(m *vault.Manifest) { m.Stored, m.Size = -1, -2 },
		"larger than its data":      func(m *vault.Manifest) { m.Size = m.Stored + 1 },
		"blocks that do not add up": func(m *vault.Manifest) { m.Blocks = m.Blocks[1:] },
	} {
		b := newBackup(t)
		forge(b.m)
		b.commit(t, b.name)
		if _, err := b.read(t); !errors.Is(err, vault.ErrIntegrity) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
