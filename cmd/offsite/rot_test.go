package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	minioclient "github.com/minio/minio-go/v7"
)

// store is what somebody with the hardware can do to a target's objects: they are named host/series/file.
type store struct {
	read  func(name string) []byte
	write func(name string, b []byte) // nil: remove it
	names func() []string
}

func (in *installation) stores() map[string]store {
	t := in.t
	files := func(root string) store {
		return store{
			read: func(name string) []byte {
				b, err := os.ReadFile(filepath.Join(root, name))
				if err != nil {
					t.Fatal(err)
				}
				return b
			},
			write: func(name string, b []byte) {
				err := os.Remove(filepath.Join(root, name))
				if b != nil {
					err = os.WriteFile(filepath.Join(root, name), b, 0o666) // readable for the user of the server
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			names: func() (all []string) {
				filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
					if err == nil && e.Type().IsRegular() && e.Name()[0] != '.' {
						rel, _ := filepath.Rel(root, p)
						all = append(all, rel)
					}
					return nil
				})
				return all
			},
		}
	}
	owner := in.minio.Owner(t)
	bucket := store{
		read: func(name string) []byte {
			o, err := owner.GetObject(t.Context(), "backups", "db/"+name, minioclient.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(o)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		write: func(name string, b []byte) {
			err := owner.RemoveObject(t.Context(), "backups", "db/"+name, minioclient.RemoveObjectOptions{})
			if b != nil {
				_, err = owner.PutObject(t.Context(), "backups", "db/"+name, bytes.NewReader(b), int64(len(b)), minioclient.PutObjectOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		names: func() (all []string) {
			for o := range owner.ListObjectsIter(t.Context(), "backups", minioclient.ListObjectsOptions{Prefix: "db/db-server/", Recursive: true}) {
				all = append(all, strings.TrimPrefix(o.Key, "db/"))
			}
			return all
		},
	}
	return map[string]store{"nas": files(filepath.Join(in.dir, "nas")), "shore": files(filepath.Join(in.ssh.Data, "db")), "minio": bucket}
}

// rot does one kind of damage to an object.
func rot(r *rand.Rand, s store, name string) (how string) {
	switch r.IntN(5) {
	case 0:
		s.write(name, nil)
		return "removed"
	case 1:
		b := s.read(name)
		s.write(name, b[:r.IntN(len(b))])
		return "cut short"
	case 2:
		s.write(name, append(s.read(name), 'x'))
		return "lengthened"
	default:
		b := s.read(name)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		s.write(name, b)
		return "a bit flipped"
	}
}

// A hundred objects rot on three targets, and each backup has one good copy left at least. verify finds every one, repair mends
// every one and touches nothing else, and every backup comes back from every target, byte for byte.
func TestBitRot(t *testing.T) {
	t.Parallel()
	const damages = 100
	in := install(t, "nas", "minio", "shore")
	in.configure("keep: {last: forever}\nblock_size: 8MiB")
	r := rand.New(rand.NewPCG(7, 7))
	dumps := map[string][]byte{}
	push := []string{"push"}
	for i := range 60 {
		name := fmt.Sprintf("db%d_202601%02d_030000.sql", i%2, i/2+1)
		size := 1 + r.IntN(50_000)
		if i%20 == 7 {
			size = 20<<20 + r.IntN(1000) // three blocks
		}
		dumps[name] = random(byte(i), size)
		path := filepath.Join(in.dumps, name)
		if err := os.WriteFile(path, dumps[name], 0o600); err != nil {
			t.Fatal(err)
		}
		push = append(push, path)
	}
	in.run(0, push...)
	in.run(0, push...) // manifests that came before the verdict are signed anew
	for name := range dumps {
		os.Remove(filepath.Join(in.dumps, name))
	}
	in.run(0, "verify")
	stores := in.stores()
	targets := []string{"nas", "minio", "shore"}
	before := map[string]map[string][]byte{}
	for _, target := range targets {
		before[target] = map[string][]byte{}
		for _, name := range stores[target].names() {
			before[target][name] = stores[target].read(name)
		}
		if len(before[target]) != 2*len(dumps) {
			t.Fatalf("%s holds %d objects", target, len(before[target]))
		}
	}
	hit := map[string][]string{} // by backup: the targets whose copy is damaged
	objects := slices.Sorted(func(yield func(string) bool) {
		for name := range before["nas"] {
			if !strings.HasSuffix(name, ".manifest") && !yield(name) {
				return
			}
		}
	})
	for n := 0; n < damages; {
		object, target := objects[r.IntN(len(objects)-2)], targets[r.IntN(3)] // the newest of a series may be on its way
		if strings.Contains(object, "20260130T") || slices.Contains(hit[object], target) || len(hit[object]) == 2 {
			continue
		}
		name := object
		if r.IntN(3) == 0 {
			name += ".manifest"
		}
		how := rot(r, stores[target], name)
		t.Logf("%s: %s %s", target, name, how)
		hit[object] = append(hit[object], target)
		n++
	}
	problems := func(command ...string) map[string][]string {
		out, _ := in.run(5, append(command, "--json")...)
		var all []struct{ Target, Object, Result string }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatal(err, out)
		}
		found := map[string][]string{}
		for _, one := range all {
			if one.Result != "ok" {
				found[one.Object] = append(found[one.Object], one.Target)
			}
		}
		return found
	}
	same := func(what string, found map[string][]string) {
		t.Helper()
		for _, object := range objects {
			slices.Sort(found[object])
			slices.Sort(hit[object])
			if !slices.Equal(found[object], hit[object]) {
				t.Errorf("%s: of %s found damage on %q, want %q", what, object, found[object], hit[object])
			}
		}
	}
	same("verify", problems("verify"))
	same("repair --dry-run", problems("repair", "--dry-run"))
	out, said := in.run(0, "repair")
	t.Log(out)
	if !strings.Contains(said, fmt.Sprintf("%d copies repaired, 0 not", damages)) {
		t.Error(said)
	}
	for _, target := range targets {
		now := stores[target].names()
		if len(now) != len(before[target]) {
			t.Errorf("%s holds %d objects, want %d", target, len(now), len(before[target]))
		}
		for name, want := range before[target] {
			if !bytes.Equal(stores[target].read(name), want) && !strings.HasSuffix(name, ".manifest") {
				t.Errorf("%s: %s is not what it was", target, name)
			}
		}
		for name, want := range dumps {
			if got, _ := in.run(0, "restore", "--identity", in.identity, "--target", target, "-o", "-", name); got != string(want) {
				t.Errorf("%s: %s came back as other bytes", target, name)
			}
		}
	}
	in.run(0, "verify")
	if _, said := in.run(0, "repair"); !strings.Contains(said, "every copy is whole") {
		t.Error(said)
	}
}

// Whoever has the keys of a bucket with Object Lock cannot remove a backup, but can put something over it. Repair brings the good
// one back, and that is locked as long as the policy keeps it.
func TestRepairOfALockedBackup(t *testing.T) {
	t.Parallel()
	in := install(t, "nas", "minio", "locked")
	in.configure("keep: {daily: 30}")
	name := "shop_" + time.Now().UTC().Add(-24*time.Hour).Format("20060102") + "_030000.sql"
	dump := random(1, 50_000)
	if err := os.WriteFile(filepath.Join(in.dumps, name), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	in.run(0, "agent", "--once")
	owner := in.minio.Owner(t)
	var key string
	for o := range owner.ListObjectsIter(t.Context(), "locked", minioclient.ListObjectsOptions{Prefix: "db/db-server/", Recursive: true}) {
		if strings.HasSuffix(o.Key, ".age") {
			key = o.Key
		}
	}
	if _, err := owner.PutObject(t.Context(), "locked", key, bytes.NewReader([]byte("garbage")), 7, minioclient.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	in.run(5, "verify", "--target", "locked")
	out, _ := in.run(0, "repair")
	if !strings.Contains(out, "copied from nas, minio") {
		t.Error(out)
	}
	in.run(0, "verify")
	mode, until, err := owner.GetObjectRetention(t.Context(), "locked", key, "")
	if err != nil || *mode != minioclient.Compliance || until.Before(time.Now().Add(20*24*time.Hour)) {
		t.Errorf("the repaired backup is locked %v until %v: %v", mode, until, err)
	}
}
