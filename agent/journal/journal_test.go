package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type failer interface {
	Helper()
	Fatal(args ...any)
}

func open(t failer, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func newJournal(t *testing.T) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	t.Cleanup(func() { j.Close() })
	return j, path
}

func owed(id string, n uint64) *Dump {
	return &Dump{
		ID: id, Path: "/dumps/caf\xe9" + id, File: File{Dev: 1, Ino: n, Size: 10, MTime: 5, CTime: 6}, Series: "shop", Name: id + ".sql",
		Taken: time.Unix(int64(n), 0).UTC(), Targets: map[string]Delivery{"a": {State: Owed}, "b": {State: Owed}},
	}
}

func deliver(target string) func(*Dump) {
	return func(d *Dump) { d.Targets[target] = Delivery{State: Delivered, Object: "object"} }
}

func TestItIsForItsOwnerOnlyAndForOneAtATime(t *testing.T) {
	_, path := newJournal(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	j, path := newJournal(t)
	err := j.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put([]byte("version"), []byte("9")) })
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	if _, err := Open(path); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "it has version 9, this program writes 1") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNoJournalIsRefusedAndStays(t *testing.T) {
	for name, content := range map[string][]byte{"text": []byte("this is no journal"), "zeros": make([]byte, 64<<10), "noise": bytes.Repeat([]byte{0xa5, 3, 9}, 20000)} {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: %v", name, err)
		}
		if there, err := os.ReadFile(path); err != nil || !bytes.Equal(there, content) {
			t.Errorf("%s: it was changed: %v", name, err)
		}
	}
}

// The file key and the digests live as long as some target lacks the dump, and no longer.
func TestTheSealingGoesWithTheLastDelivery(t *testing.T) {
	j, path := newJournal(t)
	if err := j.Add(owed("00000001", 1)); err != nil {
		t.Fatal(err)
	}
	for block := range 3 {
		if err := j.Record("00000001", []byte("state"), []string{"age1x"}, block, [64]byte{byte(block)}); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := j.Update("00000001", deliver("a")); err != nil || string(d.Sealing) != "state" {
		t.Fatalf("%+v, %v", d, err)
	}
	j.Close()
	j = open(t, path)
	defer j.Close()
	var blocks []int
	err := j.Digests("00000001", func(block int, digest [64]byte) error {
		if digest != [64]byte{byte(block)} {
			t.Errorf("block %d: %x", block, digest)
		}
		blocks = append(blocks, block)
		return nil
	})
	if err != nil || !slices.Equal(blocks, []int{0, 1, 2}) {
		t.Errorf("%v, %v", blocks, err)
	}
	if d, err := j.Update("00000001", deliver("b")); err != nil || d.Sealing != nil {
		t.Errorf("%+v, %v", d, err)
	}
	j.Digests("00000001", func(int, [64]byte) error { t.Error("a digest is left"); return nil })
	if err := j.Record("00000001", []byte("state"), nil, 0, [64]byte{}); err == nil {
		t.Error("a delivered dump was sealed again")
	}
	if _, err := j.Update("ffffffff", deliver("a")); err == nil {
		t.Error("an unknown dump was changed")
	}
}

func TestATargetThatMovedIsForgotten(t *testing.T) {
	j, _ := newJournal(t)
	d := owed("00000001", 1)
	if err := j.Add(d); err != nil {
		t.Fatal(err)
	}
	key := RemoteKey{Series: "shop", Taken: 1, File: "x"}
	other := RemoteKey{Series: `shop" 1 "x`, Taken: 1, File: "x"}
	if err := j.Survey("a", "s3:one", time.Unix(9, 0), map[RemoteKey][]string{key: {"o1", "o2"}, other: {"o3"}}); err != nil {
		t.Fatal(err)
	}
	if p, err := j.Place("a"); err != nil || p.Location != "s3:one" || p.Surveyed.Unix() != 9 {
		t.Errorf("%+v, %v", p, err)
	}
	for k, want := range map[RemoteKey][]string{key: {"o1", "o2"}, other: {"o3"}, {Series: "shop", Taken: 2, File: "x"}: nil} {
		if got, err := j.Remote("a", k); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %q, %v", k, got, err)
		}
	}
	if err := j.Move("a", "s3:two"); err != nil {
		t.Fatal(err)
	}
	if p, err := j.Place("a"); err != nil || p.Location != "s3:two" || !p.Surveyed.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if got, err := j.Remote("a", key); err != nil || got != nil {
		t.Errorf("%q, %v", got, err)
	}
	if d, err := j.ByID(d.ID); err != nil || len(d.Targets) != 1 || d.Targets["b"].State != Owed {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestManyAtOnce(t *testing.T) {
	j, _ := newJournal(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			id := fmt.Sprintf("%08x", i)
			err := j.Add(owed(id, uint64(i)))
			for block := range 5 {
				err = errors.Join(err, j.Record(id, []byte("state"), []string{"age1x"}, block, [64]byte{}))
			}
			_, err2 := j.Update(id, deliver("a"))
			if err := errors.Join(err, err2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	if err := j.EachUnsettled(func(d *Dump) error { n++; return nil }); err != nil || n != 20 {
		t.Errorf("%d, %v", n, err)
	}
}

// Against a model in memory, with restarts in between.
func TestItRemembersWhatItWasTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "journal.db")
		j := open(t, path)
		defer func() { j.Close() }()
		dumps, byFile, byPath := map[string]Dump{}, map[string]string{}, map[string]string{}
		id := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("%08x", rapid.IntRange(0, 5).Draw(t, "id")) })
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				d := owed(id.Draw(t, "id"), uint64(rapid.IntRange(0, 3).Draw(t, "inode")))
				d.Path = "/dumps/" + id.Draw(t, "path")
				if _, known := dumps[d.ID]; known {
					t.Skip("ids are never used twice")
				}
				if err := j.Add(d); err != nil {
					t.Fatal(err)
				}
				dumps[d.ID], byFile[string(d.File.key())], byPath[d.Path] = *d, d.ID, d.ID
			},
			"deliver": func(t *rapid.T) {
				d, known := dumps[id.Draw(t, "id")]
				if !known {
					t.Skip("no such dump")
				}
				target := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "target")
				if _, err := j.Update(d.ID, deliver(target)); err != nil {
					t.Fatal(err)
				}
				d.Targets = maps.Clone(d.Targets)
				deliver(target)(&d)
				dumps[d.ID] = d
			},
			"rename": func(t *rapid.T) {
				d, known := dumps[id.Draw(t, "id")]
				if !known {
					t.Skip("no such dump")
				}
				to := "/dumps/" + id.Draw(t, "path")
				if _, err := j.Update(d.ID, func(d *Dump) { d.Path = to }); err != nil {
					t.Fatal(err)
				}
				if d.Path != to {
					if byPath[d.Path] == d.ID {
						delete(byPath, d.Path)
					}
					byPath[to], byFile[string(d.File.key())] = d.ID, d.ID
				}
				d.Path = to
				dumps[d.ID] = d
			},
			"restart": func(t *rapid.T) {
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				j = open(t, path)
			},
			"": func(t *rapid.T) { compare(t, j, dumps, byFile, byPath) },
		})
	})
}

func compare(t *rapid.T, j *Journal, dumps map[string]Dump, byFile, byPath map[string]string) {
	t.Helper()
	opened := map[string]bool{}
	if err := j.EachUnsettled(func(d *Dump) error { opened[d.ID] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	for id, want := range dumps {
		got, err := j.ByID(id)
		if err != nil || got == nil || got.Path != want.Path || got.File != want.File || !maps.Equal(got.Targets, want.Targets) {
			t.Fatalf("%s: %+v, %v; want %+v", id, got, err, want)
		}
		if opened[id] != want.Open() {
			t.Fatalf("%s: open is %v", id, opened[id])
		}
		found, err := j.ByFile(want.File)
		if err != nil || found == nil || found.ID != byFile[string(want.File.key())] {
			t.Fatalf("ByFile: %+v, %v", found, err)
		}
	}
	for path, id := range byPath {
		if d, err := j.ByPath(path); err != nil || d == nil || d.ID != id {
			t.Fatalf("ByPath %s: %+v, %v; want %s", path, d, err, id)
		}
	}
	if d, err := j.ByID("ffffffff"); d != nil || err != nil {
		t.Fatalf("%+v, %v", d, err)
	}
}

// A journal damaged anywhere is unusable, never a crash, or its damage lies in pages that nothing uses.
func TestADamagedJournalIsRefused(t *testing.T) {
	j, path := newJournal(t)
	for i := range 200 {
		id := fmt.Sprintf("%08x", i)
		if err := errors.Join(j.Add(owed(id, uint64(i))), j.Record(id, bytes.Repeat([]byte("state"), 50), nil, 0, [64]byte{1})); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	r := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		torn := bytes.Clone(whole)
		from := r.IntN(len(torn))
		for i := from; i < min(len(torn), from+1+r.IntN(3000)); i++ {
			torn[i] = byte(r.Uint32())
		}
		if r.IntN(3) == 0 {
			torn = torn[:from]
		}
		file := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(file, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(file)
		if err == nil { // and whatever is done with it, nothing crashes later
			var ids []string
			err := j.Each(func(d *Dump) error {
				ids = append(ids, d.ID)
				return nil
			})
			for _, id := range ids[:min(3, len(ids))] {
				_, updateErr := j.Update(id, func(d *Dump) { d.Targets["a"] = Delivery{State: Delivered} })
				err = errors.Join(err, updateErr)
			}
			if err != nil {
				t.Errorf("a journal that was accepted: %v", err)
			}
			for n := range 3 {
				id := fmt.Sprintf("%08x", 1000+n)
				if err := errors.Join(j.Add(owed(id, uint64(1000+n))), j.Record(id, []byte("state"), nil, 0, [64]byte{2})); err != nil {
					t.Errorf("a journal that was accepted: %v", err)
				}
			}
			j.Close()
			continue
		}
		if refused++; !errors.Is(err, ErrUnusable) {
			t.Errorf("%v", err)
		}
	}
	if refused < 20 {
		t.Errorf("only %d of 150 damaged journals were noticed", refused)
	}
}

// A key that has become empty is damage too: what bbolt says when it shall write one is no reason for the agent not to start.
func TestAnEmptyKeyIsDamage(t *testing.T) {
	j, path := newJournal(t)
	for i := range 200 {
		if err := j.Add(owed(fmt.Sprintf("%08x", i), uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for page := 2 * os.Getpagesize(); page < len(whole); page += os.Getpagesize() {
		// A page is id (8 bytes), flags (2; 2 is a leaf), count (2), overflow (4); its elements are flags, pos, ksize, vsize (4 each).
		if binary.NativeEndian.Uint16(whole[page+8:]) != 2 || binary.NativeEndian.Uint16(whole[page+10:]) == 0 {
			continue
		}
		torn := bytes.Clone(whole)
		clear(torn[page+16+8 : page+16+12])
		file := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(file, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(file)
		if err == nil { // a page that is free
			j.Close()
			continue
		}
		if refused++; !errors.Is(err, ErrUnusable) {
			t.Errorf("%v", err)
		}
	}
	if refused < 5 {
		t.Errorf("only %d damaged pages were noticed", refused)
	}
}

// Whoever opens a journal that was not closed leaves it its owner: root may only have asked how things are.
func TestAJournalKeepsItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 {
		owner = 12345
	}
	if err := os.Chown(path, owner, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".closed"); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	info, err := os.Stat(path)
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != owner {
		t.Errorf("%+v, %v", info.Sys(), err)
	}
}

// Root asks of a journal that another user's agent has. Whoever runs as that user could lay links into the state directory.
func TestALinkInTheStateDirectoryLeadsNowhere(t *testing.T) {
	for _, name := range []string{"journal.db", "journal.db" + closedSuffix, "journal.db.new"} {
		dir := t.TempDir()
		path, victim := filepath.Join(dir, "journal.db"), filepath.Join(dir, "victim")
		if err := os.WriteFile(victim, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		open(t, path).Close()
		if err := os.Remove(path + closedSuffix); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if j, err := Open(path); err == nil {
			j.Close()
		}
		if b, err := os.ReadFile(victim); err != nil || len(b) > 0 {
			t.Errorf("a link at %s: %d bytes went where it leads, %v", name, len(b), err)
		}
	}
}
