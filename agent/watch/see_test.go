package watch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A version is the same by whichever call of the system it was seen: the journal has what an earlier program saw, and a sealing what
// the open file says.
func TestASightIsWhatStatSays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db.sql")
	if err := os.WriteFile(path, []byte("dump"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, _, err := Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for how, look := range map[string]func() (sight, error){
		"by path":     func() (sight, error) { return see(unix.AT_FDCWD, path) },
		"open":        func() (sight, error) { return see(int(f.Fd()), "") },
		"old, open":   func() (sight, error) { return seeOld(int(f.Fd()), "", unix.AT_EMPTY_PATH) },
		"old":         func() (sight, error) { return seeOld(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW) },
		"under lease": func() (sight, error) { s, _, err := examineAt(path); return s, err },
	} {
		if s, err := look(); err != nil || s.FileID != want || !s.regular() {
			t.Errorf("%s: %+v, want %+v: %v", how, s, want, err)
		}
	}
	if s, err := see(unix.AT_FDCWD, dir); err != nil || s.kind != unix.DT_DIR {
		t.Errorf("a directory: %+v, %v", s, err)
	}
	os.Symlink(path, filepath.Join(dir, "link"))
	if s, err := see(unix.AT_FDCWD, filepath.Join(dir, "link")); err != nil || s.kind != unix.DT_LNK {
		t.Errorf("a link: %+v, %v", s, err)
	}
}

// The scan of every minute, when nothing has changed, makes no memory of its own: two small pieces for each file are for the call of the
// system.
func TestAScanOfWhatIsKnownIsCheap(t *testing.T) {
	const files = 1000
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("db_%04d.sql", i)), []byte("dump"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	w := New([]Dir{{Path: dir}}, Options{Known: func(string, FileID) bool { asked++; return true }})
	if _, err := w.Scan(context.Background(), func(context.Context, File) error { return nil }); err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(3, func() {
		if err := w.scanAll(nil); err != nil {
			t.Fatal(err)
		}
	})
	if asked != files || allocs > 2*files+100 {
		t.Errorf("asked %d times about %d files; %.1f allocations for each", asked, files, allocs/files)
	}
}

// BenchmarkRescan is the scan of every minute.
func BenchmarkRescan(b *testing.B) {
	const files = 10_000
	dir := b.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("db%03d_%05d.sql.gz", i%50, i)), []byte("dump"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	w := New([]Dir{{Path: dir}}, Options{Known: func(string, FileID) bool { return true }})
	if _, err := w.Scan(b.Context(), func(context.Context, File) error { return nil }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.scanAll(nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}

// Where there is no lease (a directory has none, nor a file on NFS), what has become of a candidate meanwhile is looked at all the
// same: a directory in its place, or nothing in it, is no dump.
func TestWhatIsNoDumpIsDroppedWithoutALease(t *testing.T) {
	w := New([]Dir{{Path: t.TempDir()}}, Options{Log: slog.New(slog.DiscardHandler)})
	path := filepath.Join(w.dirs[0].Path, "shop.sql")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := see(unix.AT_FDCWD, path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	k := w.pending.observe(0, path, s.FileID, 0, now)
	if _, is := w.finished(k, now); is || len(w.pending.by) != 0 {
		t.Errorf("a directory is a finished dump: %v, and %d candidates are left", is, len(w.pending.by))
	}
}
