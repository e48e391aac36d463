package faults_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"golang.org/x/mod/sumdb/note"

	"offsite/test/servers"
)

// manifest is what docs/format.md says of it, as far as the checker looks.
type manifest struct {
	Format, Object, Host, Series, Name, Health string
	Size, Stored                               int64
	BlockSize                                  int64 `json:"block_size"`
	Blocks                                     []string
}

// objects are all that a stranger sees on a target, below the prefix.
func (w *world) objects(target string) map[string][]byte {
	w.t.Helper()
	switch target {
	case "nas":
		return w.files(w.nas)
	case "shore":
		return w.files(filepath.Join(w.ssh.Data, "db"))
	case "minio":
		return w.bucket(w.minio)
	}
	return w.bucket(w.versity)
}

func (w *world) files(root string) map[string][]byte {
	w.t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) bucket(s *servers.S3) map[string][]byte {
	w.t.Helper()
	all := map[string][]byte{}
	owner := s.Owner(w.t)
	for o := range owner.ListObjectsIter(w.t.Context(), s.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			w.t.Fatal(o.Err)
		}
		r, err := owner.GetObject(w.t.Context(), s.Bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Close()
		all[strings.TrimPrefix(o.Key, "db/")] = b
	}
	return all
}

// check compares every target with the disk.
func (w *world) check(c *cron) {
	w.t.Helper()
	for _, target := range targets {
		w.checkOn(target, c)
	}
}

// checkOn compares one target with the disk.
func (w *world) checkOn(target string, c *cron) {
	w.t.Helper()
	disk := c.onDisk()
	held := map[[32]byte][]string{} // the dumps' contents -> objects
	all := w.objects(target)
	for name, b := range all {
		if object, isManifest := strings.CutSuffix(name, ".manifest"); isManifest {
			if _, there := all[object]; !there {
				w.t.Errorf("%s: %s has no data", target, name)
			}
			continue
		}
		if all[name+".manifest"] == nil {
			// An unfinished upload, by docs/format.md, and no backup: a request of an agent that was killed may arrive
			// long after that, when a way that was slow is quick again. The agent sweeps it after a week.
			w.late[target+"/"+name] = true
			continue
		}
		if sum, ok := w.backup(target, name, b, all[name+".manifest"]); ok {
			held[sum] = append(held[sum], name)
		}
	}
	for sum, objects := range held {
		if c.complete[sum] == "" {
			w.t.Errorf("%s: %s holds what never was a whole dump", target, objects)
		}
	}
	for sum, path := range disk {
		if n := len(held[sum]); n != 1 {
			w.t.Errorf("%s: %s is there %d times: %q", target, filepath.Base(path), n, held[sum])
			w.story(filepath.Base(path))
		}
	}
}

// story is what the agent said of a dump, once.
func (w *world) story(name string) {
	if w.told[name] || w.log == nil {
		return
	}
	w.told[name] = true
	said, err := os.ReadFile(w.log.Name())
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(said)) {
		if strings.Contains(line, name) || strings.HasPrefix(line, "== ") || strings.Contains(line, "level=ERROR") {
			w.t.Logf("%.400s", line)
		}
	}
}

// backup checks one object and its manifest, and gives the SHA-256 of the dump in it.
func (w *world) backup(target, name string, data, signed []byte) (sum [32]byte, ok bool) {
	w.t.Helper()
	bad := func(format string, args ...any) ([32]byte, bool) {
		w.t.Errorf("%s: %s: %s", target, name, fmt.Sprintf(format, args...))
		return sum, false
	}
	if signed == nil {
		return bad("has no manifest")
	}
	verifier, err := note.NewVerifier(w.verifier)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return bad("its manifest does not verify: %v", err)
	}
	var m manifest
	if err := json.Unmarshal([]byte(n.Text), &m); err != nil {
		return bad("its manifest is no JSON: %v", err)
	}
	if m.Format != "offsite/1" || m.Object != name || m.Stored != int64(len(data)) || m.Host != "db-server" {
		return bad("its manifest says %+v", m)
	}
	for i, want := range m.Blocks {
		from := min(int64(i)*m.BlockSize, m.Stored)
		if got := sha256.Sum256(data[from:min(from+m.BlockSize, m.Stored)]); hex.EncodeToString(got[:]) != want {
			return bad("block %d is not what its manifest says", i)
		}
	}
	w.once16(target, name, data)
	cmd := exec.Command(servers.Binary(w.t, "age"), "-d", "-i", w.identity)
	cmd.Stdin = bytes.NewReader(data)
	plain, err := cmd.Output()
	if err != nil {
		return bad("stock age does not open it: %v", err)
	}
	if int64(len(plain)) != m.Size {
		return bad("its dump has %d bytes, its manifest says %d", len(plain), m.Size)
	}
	return sha256.Sum256(plain), true
}

// once16 makes sure that a file key and nonce (16 bytes after the header) were never used for two contents.
func (w *world) once16(target, name string, data []byte) {
	w.t.Helper()
	end := bytes.Index(data, []byte("\n--- "))
	if end < 0 {
		w.t.Errorf("%s: %s is no age file", target, name)
		return
	}
	end += 1 + bytes.IndexByte(data[end+1:], '\n') + 1
	key := string(data[:end+16])
	sum := sha256.Sum256(data)
	if was := w.sealed[key]; was != "" && was != string(sum[:]) {
		w.t.Errorf("%s: %s: its key has sealed two contents", target, name)
	}
	w.sealed[key] = string(sum[:])
}
