package agent_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"offsite/agent/vault"
	"offsite/providers"
	"offsite/providers/mem"
)

// A dump that waits for a target may be renamed, also over a restart; its name may be any bytes.
func TestDumpsThatAreRenamedWhileTheyWait(t *testing.T) {
	h := newHost(t)
	odd := "caf\xe9_20261121_030001.sql"
	want := map[string][]byte{
		"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 1000),
		vault.Text(odd):          h.write(odd, 1000),
	}
	down(h.a)
	down(h.b)
	h.once()
	if err := os.Rename(filepath.Join(h.dumps, "db_20261122_030001.sql"), filepath.Join(h.dumps, "moved.sql")); err != nil {
		t.Fatal(err)
	}
	h.a.Fault(nil)
	h.b.Fault(nil)
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
}

// logrotate renames what waits, and the next dump takes its path, while the agent is down. Both are shipped.
func TestADumpIsRenamedAndItsPathTaken(t *testing.T) {
	h := newHost(t)
	old := h.write("shop.sql", 100_000)
	past := time.Now().Add(-24 * time.Hour)
	os.Chtimes(filepath.Join(h.dumps, "shop.sql"), past, past)
	down(h.a)
	h.once()
	h.a.Fault(nil)
	if err := os.Rename(filepath.Join(h.dumps, "shop.sql"), filepath.Join(h.dumps, "shop.sql.1")); err != nil {
		t.Fatal(err)
	}
	fresh := h.write("shop.sql", 90_000)
	s := h.once()
	if s.Targets[0].Lost > 0 {
		t.Errorf("%+v", s)
	}
	sizes := map[int]int{}
	for name, b := range h.a.Objects() {
		if !strings.HasSuffix(name, ".manifest") {
			r, err := age.Decrypt(bytes.NewReader(b), h.identity)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			sizes[len(plain)]++
		}
	}
	if sizes[len(old)] != 1 || sizes[len(fresh)] != 1 || len(sizes) != 2 {
		t.Errorf("the target has dumps of these sizes: %v", sizes)
	}
}

// The same files on another disk, or under another device number, are the same dumps.
func TestACopiedDirectoryIsNotShippedAgain(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 1000), "plain.sql": h.write("plain.sql", 1000)}
	if s := h.once(); !s.Complete() {
		t.Fatalf("%+v", s)
	}
	for name, b := range want {
		path := filepath.Join(h.dumps, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".copy", bytes.Clone(b), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path+".copy", info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".copy", path); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.once(); s.Delivered() != 0 || !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
}

func TestAWatchedDirectoryMustBeOne(t *testing.T) {
	h := newHost(t)
	h.write("db.sql", 10)
	real := h.dumps
	h.dumps = filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, h.dumps); err != nil {
		t.Fatal(err)
	}
	a := h.start()
	defer a.Close()
	if s, err := a.Once(t.Context()); err == nil {
		t.Errorf("a link was watched without a word: %+v", s)
	}
}

// A dump whose watched directory is not mounted is not lost: it waits.
func TestAnUnmountedDirectoryLosesNothing(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 1000)}
	down(h.b)
	h.once()
	disk := h.dumps + ".disk"
	if err := os.Rename(h.dumps, disk); err != nil {
		t.Fatal(err)
	}
	h.b.Fault(nil)
	mountTmpfs(t, h.dumps) // the directory below the mount point, with another device number
	s := h.once()
	if s.Complete() || s.Targets[1].Lost > 0 || s.Targets[1].Failed != 1 || !strings.Contains(s.Targets[1].Err.Error(), "is it mounted?") {
		t.Errorf("%+v", s)
	}
	unmount(t, h.dumps)
	if err := os.Rename(disk, h.dumps); err != nil {
		t.Fatal(err)
	}
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.b, want)
}

// A dump that was away while a target still lacked it, and is back, is new for that target alone.
func TestADumpThatComesBackIsNotSentTwice(t *testing.T) {
	h := newHost(t)
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 1000)}
	h.b.Fault(func(c mem.Call) error {
		if c.Op == "block" {
			return fmt.Errorf("down: %w", providers.ErrPermanent)
		}
		return nil
	})
	h.once()
	outside := filepath.Join(t.TempDir(), "away")
	dump := filepath.Join(h.dumps, "db_20261122_030001.sql")
	if err := os.Rename(dump, outside); err != nil {
		t.Fatal(err)
	}
	if s := h.once(); s.Targets[1].Lost != 1 {
		t.Fatalf("%+v", s)
	}
	h.b.Fault(nil)
	if err := os.Rename(outside, filepath.Join(h.dumps, "again_20261123_030001.sql")); err != nil {
		t.Fatal(err)
	}
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
	h.check(h.b, want) // under the name by which the other target has it
}

// The agent dies between a target's manifest and the journal's entry, and the dump has another name when it is back: the
// target has it already.
func TestADumpThatIsRenamedAfterACrashIsNotSentTwice(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	want := map[string][]byte{"db_20261122_030001.sql": h.write("db_20261122_030001.sql", 1000)}
	var dead atomic.Bool // since the manifest is there
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "done" && strings.HasSuffix(c.Name, ".manifest") {
			dead.Store(true)
		}
		if dead.Load() {
			return fmt.Errorf("down: %w", providers.ErrPermanent)
		}
		return nil
	})
	h.once()
	h.a.Fault(nil)
	outside := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(filepath.Join(h.dumps, "db_20261122_030001.sql"), outside); err != nil {
		t.Fatal(err)
	}
	down(h.a) // so that it cannot be seen that the target has it
	h.once()
	if err := os.Rename(outside, filepath.Join(h.dumps, "again_20261123_030001.sql")); err != nil {
		t.Fatal(err)
	}
	h.a.Fault(nil)
	if s := h.once(); !s.Complete() {
		t.Errorf("%+v", s)
	}
	h.check(h.a, want)
}

// mountTmpfs mounts an empty file system at path until unmount, or the end of the test.
func mountTmpfs(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
}

func unmount(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Unmount(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
