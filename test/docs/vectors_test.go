package docs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers/dir"
	"offsite/test/servers"
)

const vectors = "../../docs/vectors"

// The files that are there stay as they are: what an older version wrote is read for ever.
var makeVectors = flag.Bool("vectors", false, "make docs/vectors anew")

// vector is a backup of docs/vectors, and what a reader must make of it.
type vector struct {
	// Place is a directory that stands for a target, and Object the data object's name in it.
	Place  string `json:"place"`
	Object string `json:"object"`
	// Want is "ok", or why the backup must be refused.
	Want string `json:"want"`
	// Name, Series, Size and SHA256 are of the dump that comes out of one that is ok.
	Name   string `json:"name,omitempty"`
	Series string `json:"series,omitempty"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// refusals are what our reader says, by the vectors' names for it.
var refusals = map[string]string{
	"unsigned": "not signed", "signature": "wrong signature", "signer": "not trusted", "format": `has format "offsite/2"`, "name": "the manifest belongs to",
	"fields": "contradict its name", "sizes": "lists 1 blocks, its object has 3", "data": "integrity",
}

func TestVectorsByOurReader(t *testing.T) {
	if *makeVectors {
		writeVectors(t)
	}
	all := loadVectors(t)
	key, err := os.ReadFile(filepath.Join(vectors, "trust.txt"))
	must(t, err)
	verifiers, err := crypto.ParseVerifiers(strings.Fields(string(key)))
	must(t, err)
	file, err := os.Open(filepath.Join(vectors, "identity.txt"))
	must(t, err)
	defer file.Close()
	ids, err := age.ParseIdentities(file)
	must(t, err)
	for _, v := range all {
		place, err := filepath.Abs(filepath.Join(vectors, v.Place))
		must(t, err)
		target, err := dir.New(dir.Config{Path: place})
		must(t, err)
		name, err := vault.Parse(v.Object)
		must(t, err)
		all := vault.New(target, verifiers)
		m, err := all.Verify(t.Context(), name, vault.Decrypt, ids...)
		if v.Want != "ok" {
			if !errors.Is(err, vault.ErrIntegrity) || !strings.Contains(err.Error(), refusals[v.Want]) || refusals[v.Want] == "" {
				t.Errorf("%s: %v, want it refused: %s", v.Place, err, v.Want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", v.Place, v.Object, err)
			continue
		}
		var dump bytes.Buffer
		err = (vault.Copies{Vaults: []*vault.Vault{all}}).WritePlain(t.Context(), m, &dump, ids...)
		if sum := sha256.Sum256(dump.Bytes()); err != nil || hex.EncodeToString(sum[:]) != v.SHA256 || m.Name != v.Name || m.Series != v.Series || dump.Len() != v.Size {
			t.Errorf("%s: %q of %q, %d bytes, %x, %v, want %+v", v.Object, m.Name, m.Series, dump.Len(), sum, err, v)
		}
	}
}

// Python's standard library, openssl and stock age read the vectors by docs/format.md alone, and come to the same. A checker that lets
// everything pass would not notice that the dump of a vector is another one, or that what is to be refused is right.
func TestVectorsWithoutOurCode(t *testing.T) {
	check := func(place string) (string, error) {
		cmd := exec.Command("python3", filepath.Join(vectors, "check.py"), place)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(servers.Binary(t, "age"))+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := check(vectors)
	if err != nil || strings.Count(out, "\n") != len(loadVectors(t)) || strings.Count(out, "as it should be") != len(loadVectors(t)) {
		t.Fatalf("%v\n%s", err, out)
	}
	one := loadVectors(t)[0]
	trust, err := os.ReadFile(filepath.Join(vectors, "trust.txt"))
	must(t, err)
	cmd := exec.Command("python3", filepath.Join(vectors, "check.py"), filepath.Join(vectors, one.Place), one.Object, string(trust), filepath.Join(vectors, "identity.txt"))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(servers.Binary(t, "age"))+":"+os.Getenv("PATH"))
	dump, err := cmd.Output()
	if sum := sha256.Sum256(dump); err != nil || hex.EncodeToString(sum[:]) != one.SHA256 {
		t.Errorf("one backup: %d bytes, %v", len(dump), err)
	}
	for what, from := range map[string]string{"another dump": `"sha256": "`, "another verdict": `"want": "data"`} {
		other := t.TempDir()
		must(t, os.CopyFS(other, os.DirFS(vectors)))
		index := filepath.Join(other, "vectors.json")
		text, err := os.ReadFile(index)
		must(t, err)
		to := map[string]string{"another dump": `"sha256": "0`, "another verdict": `"want": "signature"`}[what]
		must(t, os.WriteFile(index, bytes.Replace(text, []byte(from), []byte(to), 1), 0o644))
		if out, err := check(other); err == nil || !strings.Contains(out, "WRONG") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

func loadVectors(t *testing.T) (all []vector) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors, "vectors.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &all))
	if len(all) < 12 {
		t.Fatalf("only %d vectors", len(all))
	}
	return all
}

// pen writes vectors.
type pen struct {
	t         *testing.T
	signer    *crypto.Signer
	recipient string
	all       []vector
}

func writeVectors(t *testing.T) {
	t.Helper()
	secret, public, err := crypto.GenerateIdentity(false)
	must(t, err)
	skey, vkey, err := crypto.GenerateSigner("db-1")
	must(t, err)
	signer, err := crypto.ParseSigner(skey + "\n" + vkey)
	must(t, err)
	p := &pen{t: t, signer: signer, recipient: public}
	p.write("identity.txt", []byte("# public key: "+public+"\n"+secret+"\n"))
	p.write("signing.key", []byte(skey+"\n"+vkey+"\n"))
	p.write("trust.txt", []byte(vkey+"\n"))

	m, data := p.backup("shop", "shop_20261122_040001.sql", random(1, 100_001), vault.Health{State: "unchecked", Reason: "its format is not known here"})
	p.add("good", m, data, "ok")
	small, one := p.backup("sub/50% off, à la carte", ".hidden & odd.sql", []byte("x"), vault.Health{State: "suspect", Reason: "it ends in the middle"})
	p.add("good", small, one, "ok")
	chunk, exact := p.backup("exact", "exact.dump", random(2, 64<<10), vault.Health{State: "ok", Kind: "postgresql custom"})
	p.add("good", chunk, exact, "ok")
	none, empty := p.backup("nothing", "nothing", nil, vault.Health{State: "suspect", Reason: "it is empty"})
	p.add("good", none, empty, "ok")

	p.spoil("changed", chunk, exact, "signature", func(note []byte) []byte { return bytes.Replace(note, []byte(`"ok"`), []byte(`"OK"`), 1) })
	p.spoil("unsigned", small, one, "unsigned", func(note []byte) []byte { return note[:bytes.LastIndex(note, []byte("\n\n"))+1] })
	stranger, key, err := crypto.GenerateSigner("db-1")
	must(t, err)
	p.signer, err = crypto.ParseSigner(stranger + "\n" + key)
	must(t, err)
	p.add("bad/stranger", small, one, "signer")
	p.signer = signer
	p.lie("format", small, one, "format", func(m *vault.Manifest) { m.Format = "offsite/2" })
	p.lie("moved", small, one, "name", func(m *vault.Manifest) { m.Object = strings.Replace(m.Object, "20261122", "20261121", 1) })
	p.lie("contradicts", small, one, "fields", func(m *vault.Manifest) { m.Taken = m.Taken.Add(time.Hour) })
	p.lie("sizes", m, data, "sizes", func(m *vault.Manifest) { m.Blocks = m.Blocks[:1] })
	flipped := bytes.Clone(data)
	flipped[60_000] ^= 1
	p.add("bad/flipped", m, flipped, "data")
	p.add("bad/short", m, data[:len(data)-1], "data")
	text, err := json.MarshalIndent(p.all, "", " ")
	must(t, err)
	p.write("vectors.json", append(text, '\n'))
}

func (p *pen) write(name string, b []byte) {
	p.t.Helper()
	path := filepath.Join(vectors, name)
	must(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(p.t, os.WriteFile(path, b, 0o644))
}

// backup seals a dump in blocks that are smaller than any host would use, so that the file stays small.
func (p *pen) backup(series, file string, dump []byte, health vault.Health) (*vault.Manifest, []byte) {
	p.t.Helper()
	recipient, err := crypto.ParseRecipient(p.recipient)
	must(p.t, err)
	s, err := crypto.NewSealing([]age.Recipient{recipient}, int64(len(dump)), 50_000)
	must(p.t, err)
	data := make([]byte, s.Size())
	m := &vault.Manifest{Format: vault.Format, Host: "db-1", Series: series, Taken: time.Date(2026, 11, 22, 3, 0, 1, 0, time.UTC), TakenFrom: "name", Zone: "Europe/Prague",
		Name: file, Size: int64(len(dump)), Stored: s.Size(), BlockSize: s.BlockSize(), Recipients: []string{p.recipient}, Found: time.Date(2026, 11, 22, 3, 0, 9, 123456789, time.UTC),
		Health: health, Program: "vectors"}
	for i := range s.Blocks() {
		from := int64(i) * s.BlockSize()
		sum, err := s.Seal(p.t.Context(), bytes.NewReader(dump), i, data[from:min(from+s.BlockSize(), int64(len(data)))], func(int, crypto.Digest) error { return nil })
		must(p.t, err)
		m.Blocks = append(m.Blocks, sum)
	}
	sum := sha256.Sum256(dump)
	m.Fingerprint = p.signer.MAC("dump", sum[:])
	id := sha256.Sum256([]byte(file))
	name, err := vault.NewName(m.Host, series, m.Taken, hex.EncodeToString(id[:4]), file)
	must(p.t, err)
	m.Object = name.String()
	private, err := json.Marshal(vault.Private{Path: "/srv/dumps/" + file, UID: 1000, GID: 1000, Mode: 0o640, MTime: m.Found, SHA256: sum})
	must(p.t, err)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	must(p.t, err)
	_, err = w.Write(private)
	must(p.t, errors.Join(err, w.Close()))
	m.Sealed = sealed.Bytes()
	return m, data
}

// add writes a backup under the name of its object, and what is to be made of it.
func (p *pen) add(place string, m *vault.Manifest, data []byte, want string) {
	p.t.Helper()
	note, err := vault.Sign(p.signer, m)
	must(p.t, err)
	p.put(place, m.Object, note, data, want, m)
}

func (p *pen) put(place, object string, note, data []byte, want string, m *vault.Manifest) {
	p.t.Helper()
	p.write(filepath.Join(place, object), data)
	p.write(filepath.Join(place, object+".manifest"), note)
	path, err := filepath.Abs(filepath.Join(vectors, place))
	must(p.t, err)
	must(p.t, dir.Init(dir.Config{Path: path}))
	v := vector{Place: place, Object: object, Want: want}
	if want == "ok" {
		private, err := m.Private(p.identities()...)
		must(p.t, err)
		v.Name, v.Series, v.Size, v.SHA256 = m.Name, m.Series, int(m.Size), fmt.Sprintf("%x", private.SHA256)
	}
	p.all = append(p.all, v)
}

// spoil changes the signed note, and lie what the host signs.
func (p *pen) spoil(what string, m *vault.Manifest, data []byte, want string, change func([]byte) []byte) {
	p.t.Helper()
	note, err := vault.Sign(p.signer, m)
	must(p.t, err)
	p.put("bad/"+what, m.Object, change(note), data, want, m)
}

func (p *pen) lie(what string, m *vault.Manifest, data []byte, want string, change func(*vault.Manifest)) {
	p.t.Helper()
	other := *m
	change(&other)
	note, err := vault.Sign(p.signer, &other)
	must(p.t, err)
	p.put("bad/"+what, m.Object, note, data, want, m)
}

func (p *pen) identities() []age.Identity {
	p.t.Helper()
	file, err := os.Open(filepath.Join(vectors, "identity.txt"))
	must(p.t, err)
	defer file.Close()
	ids, err := age.ParseIdentities(file)
	must(p.t, err)
	return ids
}
