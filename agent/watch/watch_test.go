package watch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"offsite/agent/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// scan runs one Scan in a bubble whose clock jumps, and gives the paths below dir that it gave out.
func scan(t *testing.T, dir watch.Dir, opts watch.Options) (out []string, pending []watch.Pending) {
	t.Helper()
	w := watch.New([]watch.Dir{dir}, opts)
	pending, err := w.Scan(t.Context(), func(_ context.Context, f watch.File) error {
		out = append(out, f.Rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out, pending
}

func TestWhatIsADump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"a.sql.gz", "sub/deep/b.sql", ".hidden.sql", "c.tmp", "d.part", "e.partial", "f~", ".git/x.sql", "lost+found/y", "sub/skip.log"} {
			write(t, filepath.Join(dir, name), "x")
		}
		write(t, filepath.Join(dir, "empty.sql"), "")
		os.Symlink("a.sql.gz", filepath.Join(dir, "latest.sql.gz"))
		os.Symlink("sub", filepath.Join(dir, "link"))
		os.Link(filepath.Join(dir, "a.sql.gz"), filepath.Join(dir, "hard.sql.gz"))
		got, _ := scan(t, watch.Dir{Path: dir, Exclude: []string{"*.log"}}, watch.Options{})
		if want := []string{"a.sql.gz", "sub/deep/b.sql"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		got, _ = scan(t, watch.Dir{Path: dir, Include: []string{"sub/*.log", "*.gz"}}, watch.Options{})
		if want := []string{"a.sql.gz", "sub/skip.log"}; !slices.Equal(got, want) {
			t.Errorf("include: got %q, want %q", got, want)
		}
	})
}

// A writer that pauses for longer than the settle time, but keeps the file open, is waited for.
func TestAnOpenFileIsNotFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db.sql")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("burst\n")
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(1500 * time.Millisecond)
			f.WriteString("burst\n")
			time.Sleep(1500 * time.Millisecond)
			f.Close()
		})
		w := watch.New([]watch.Dir{{Path: filepath.Dir(path), Settle: time.Second}}, watch.Options{})
		var sizes []int64
		pending, err := w.Scan(t.Context(), func(_ context.Context, f watch.File) error {
			sizes = append(sizes, f.ID.Size)
			return nil
		})
		wg.Wait()
		if err != nil || len(pending) > 0 || !slices.Equal(sizes, []int64{12}) {
			t.Errorf("sizes %v, pending %v, %v", sizes, pending, err)
		}
	})
}

func TestScanNamesWhatIsStillWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f, err := os.Create(filepath.Join(dir, "db.sql"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.WriteString("half")
		write(t, filepath.Join(dir, "done.sql"), "x")
		got, pending := scan(t, watch.Dir{Path: dir}, watch.Options{})
		if !slices.Equal(got, []string{"done.sql"}) || len(pending) != 1 || !strings.Contains(pending[0].Reason, "open for writing") {
			t.Errorf("%q, %v", got, pending)
		}
	})
}

func TestKnownFilesAreNotGivenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "old.sql"), "x")
		write(t, filepath.Join(dir, "new.sql"), "x")
		got, _ := scan(t, watch.Dir{Path: dir}, watch.Options{Known: func(p string, _ watch.FileID) bool { return strings.HasSuffix(p, "old.sql") }})
		if !slices.Equal(got, []string{"new.sql"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestAMissingDirectoryIsAnError(t *testing.T) {
	w := watch.New([]watch.Dir{{Path: filepath.Join(t.TempDir(), "gone")}}, watch.Options{})
	if _, err := w.Scan(t.Context(), nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "gone") {
		t.Error(err)
	}
}

// running is a Watcher in Run, on a real directory.
type running struct {
	dir   string
	w     *watch.Watcher
	files chan watch.File
}

func run(t *testing.T, dir string, opts watch.Options) *running {
	t.Helper()
	r := &running{dir: dir, files: make(chan watch.File, 10000)}
	r.w = watch.New([]watch.Dir{{Path: dir, Settle: 20 * time.Millisecond}}, opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- r.w.Run(ctx, func(_ context.Context, f watch.File) error {
			r.files <- f
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-r.w.Ready()
	return r
}

// expect waits for exactly these files, in any order.
func (r *running) expect(t *testing.T, names ...string) []watch.File {
	t.Helper()
	var got []watch.File
	left := map[string]bool{}
	for _, n := range names {
		left[n] = true
	}
	deadline := time.After(time.Minute)
	for len(left) > 0 {
		select {
		case f := <-r.files:
			if !left[f.Rel] {
				t.Fatalf("%s came, once too often or unasked", f.Rel)
			}
			delete(left, f.Rel)
			got = append(got, f)
		case <-deadline:
			t.Fatalf("%d files never came, such as %v", len(left), left)
		}
	}
	return got
}

func TestFilesComeAsTheyAreFinished(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "before.sql"), "written while the agent was down")
	r := run(t, dir, watch.Options{Rescan: 100 * time.Millisecond})
	r.expect(t, "before.sql")

	write(t, filepath.Join(dir, "plain.sql"), "x")
	r.expect(t, "plain.sql")

	write(t, filepath.Join(dir, ".plain2.sql.tmp"), "renamed in")
	os.Rename(filepath.Join(dir, ".plain2.sql.tmp"), filepath.Join(dir, "plain2.sql"))
	r.expect(t, "plain2.sql")

	write(t, filepath.Join(dir, "new/deeper/x.sql"), "in a new directory")
	r.expect(t, "new/deeper/x.sql")

	write(t, filepath.Join(dir, "plain.sql"), "written over in place")
	if f := r.expect(t, "plain.sql")[0]; f.ID.Size != 21 {
		t.Errorf("size %d", f.ID.Size)
	}

	os.Rename(filepath.Join(dir, "plain.sql"), filepath.Join(dir, "renamed.sql"))
	os.Link(filepath.Join(dir, "plain2.sql"), filepath.Join(dir, "linked.sql"))
	write(t, filepath.Join(dir, "last.sql"), "x")
	// plain2.sql has another ctime now: the caller is asked to look at its content. Neither new name comes.
	for range 2 {
		if f := <-r.files; f.Rel != "last.sql" && f.Rel != "plain2.sql" {
			t.Errorf("%s is no new dump", f.Rel)
		}
	}

	r.w.Requeue(filepath.Join(dir, "last.sql"))
	r.expect(t, "last.sql")
}

// Another file may get the inode of one that is gone, with the same size and mtime (cp -p, rsync -t): it is a new dump.
func TestAnInodeThatIsUsedAgainIsANewFile(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, watch.Options{Rescan: 50 * time.Millisecond})
	old := time.Now().Add(-time.Hour)
	put := func(name, text string) uint64 {
		path := filepath.Join(dir, "."+name)
		write(t, path, text)
		os.Chtimes(path, old, old)
		id, _, err := watch.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Rename(path, filepath.Join(dir, name))
		return id.Ino
	}
	first := put("a.sql", "one")
	r.expect(t, "a.sql")
	for i := range 100 { // the system may give the inode to others first
		os.Remove(filepath.Join(dir, "a.sql"))
		name := fmt.Sprintf("b%d.sql", i)
		again := put(name, "two") == first
		r.expect(t, name)
		if again {
			return
		}
	}
	t.Log("this file system does not use inodes again")
}

func TestManyFilesAtOnceAllCome(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, watch.Options{Rescan: 200 * time.Millisecond})
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("d%d/db%d.sql", i%7, i))
		write(t, filepath.Join(dir, names[i]), "x")
	}
	r.expect(t, names...)
}

func TestAReplacedDirectoryIsWatchedAgain(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	write(t, filepath.Join(sub, "a.sql"), "x")
	r := run(t, dir, watch.Options{Rescan: 50 * time.Millisecond})
	r.expect(t, "sub/a.sql")
	os.RemoveAll(sub)
	write(t, filepath.Join(sub, "b.sql"), "y")
	r.expect(t, "sub/b.sql")
	write(t, filepath.Join(sub, "c.sql"), "z")
	r.expect(t, "sub/c.sql")
}

func TestCheckOfANamedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db.sql")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Check(path); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
	f.WriteString("x")
	if _, err := watch.Check(path); err == nil || !strings.Contains(err.Error(), "open for writing") {
		t.Error(err)
	}
	f.Close()
	if id, err := watch.Check(path); err != nil || id.Size != 1 {
		t.Error(id, err)
	}
	if _, err := watch.Check(dir); err == nil {
		t.Error("a directory passes")
	}
}

func BenchmarkScan100000Files(b *testing.B) {
	dir := b.TempDir()
	for i := range 100000 {
		write(b, filepath.Join(dir, fmt.Sprintf("d%d", i%100), fmt.Sprintf("db%d.sql", i)), "x")
	}
	known := func(string, watch.FileID) bool { return true }
	for b.Loop() {
		w := watch.New([]watch.Dir{{Path: dir}}, watch.Options{Known: known})
		if _, err := w.Scan(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// Backups are not dumps: a target inside the watched directory would ship itself, twice as much each time.
func TestATargetInsideIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.sql"), "x")
		write(t, filepath.Join(dir, "nas", ".offsite-target"), "x")
		write(t, filepath.Join(dir, "nas", "host", "backup.age"), "x")
		if got, _ := scan(t, watch.Dir{Path: dir}, watch.Options{}); !slices.Equal(got, []string{"a.sql"}) {
			t.Errorf("%q", got)
		}
		w := watch.New([]watch.Dir{{Path: filepath.Join(dir, "nas")}}, watch.Options{})
		_, err := w.Scan(t.Context(), func(context.Context, watch.File) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "is a target itself") {
			t.Errorf("%v", err)
		}
	})
}

// What no waiting will mend is named as such.
func TestTroubleIsNotPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old := filepath.Join(dir, "old.sql")
		write(t, old, "")
		long := time.Now().Add(-2 * time.Hour)
		if err := os.Chtimes(old, long, long); err != nil {
			t.Fatal(err)
		}
		_, pending := scan(t, watch.Dir{Path: dir}, watch.Options{})
		if len(pending) != 1 || !pending[0].Trouble || pending[0].Path != old || !strings.Contains(pending[0].Reason, "empty") {
			t.Errorf("%+v", pending)
		}
	})
}

// What lies behind a link out of the watched directories is not missed in silence.
func TestALinkThatLeadsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, other := t.TempDir(), t.TempDir()
		write(t, filepath.Join(dir, "a.sql"), "x")
		write(t, filepath.Join(other, "b.sql"), "x")
		for name, to := range map[string]string{
			"latest.sql": "a.sql", "old.sql": "removed.sql", "not-a-dump.log": filepath.Join(other, "b.log"), // no trouble
			"b.sql": filepath.Join(other, "b.sql"), "pg": other, "unmounted": filepath.Join(other, "gone"), "skipped": other,
		} {
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		_, pending := scan(t, watch.Dir{Path: dir, Exclude: []string{"*.log", "skipped"}}, watch.Options{})
		var names []string
		for _, p := range pending {
			names = append(names, filepath.Base(p.Path))
			if !p.Trouble || !strings.Contains(p.Reason, other) {
				t.Errorf("%+v", p)
			}
		}
		if want := []string{"b.sql", "pg", "unmounted"}; !slices.Equal(names, want) {
			t.Errorf("got %q, want %q", names, want)
		}
	})
}
