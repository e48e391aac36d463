package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// trap is a watched directory that somebody else may write to, beside one that they may not read: what lies there must never be
// given out, whatever they do with links.
type trap struct {
	*Watcher
	t                *testing.T
	watched, private string
	out              []string
	troubles         []string
}

func newTrap(t *testing.T) *trap {
	base := t.TempDir()
	s := &trap{t: t, watched: filepath.Join(base, "watched"), private: filepath.Join(base, "private")}
	for _, dir := range []string{s.watched, s.private, filepath.Join(s.watched, "sub")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.file(filepath.Join(s.private, "shadow"))
	s.Watcher = New([]Dir{{Path: s.watched}}, Options{Trouble: func(path, why string) { s.troubles = append(s.troubles, path+": "+why) }})
	return s
}

// file is one that has settled long ago.
func (s *trap) file(path string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte("secret of "+path), 0o640); err != nil {
		s.t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		s.t.Fatal(err)
	}
}

// swap puts a link to the private directory in the place of sub.
func (s *trap) swap() {
	s.t.Helper()
	sub := filepath.Join(s.watched, "sub")
	if err := os.Rename(sub, sub+".away"); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(s.private, sub); err != nil {
		s.t.Fatal(err)
	}
}

// given settles what is pending, however long that takes, and says what was given out.
func (s *trap) given() []string {
	s.t.Helper()
	for _, k := range s.pending.by {
		s.pending.retry(k, time.Now())
	}
	if err := s.settle(s.t.Context(), func(_ context.Context, f File) error {
		s.out = append(s.out, f.Path)
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return s.out
}

// An event names a file in a directory which, by the time that somebody looks, is a link.
func TestAnEventIsNotFollowedThroughALink(t *testing.T) {
	s := newTrap(t)
	tell := func(name string) {
		s.event(&notifier{w: s.Watcher, inode: map[string]place{}}, fsnotify.Event{Name: filepath.Join(s.watched, "sub", name), Op: fsnotify.Create})
	}
	s.file(filepath.Join(s.watched, "sub", "dump"))
	if tell("dump"); len(s.given()) != 1 {
		t.Fatalf("given out: %v", s.out)
	}
	s.out = nil
	s.swap()
	tell("shadow")
	if out := s.given(); len(out) > 0 {
		t.Errorf("given out: %v", out)
	}
}

// A file is asked for again, and meanwhile its directory became a link.
func TestWhatIsAskedForAgainIsNotFollowedThroughALink(t *testing.T) {
	s := newTrap(t)
	s.file(filepath.Join(s.watched, "sub", "dump"))
	s.Requeue(filepath.Join(s.watched, "sub", "dump"))
	if s.requeued(); len(s.given()) != 1 {
		t.Fatalf("given out: %v", s.out)
	}
	s.out = nil
	s.swap()
	s.Requeue(filepath.Join(s.watched, "sub", "shadow"))
	s.requeued()
	if out := s.given(); len(out) > 0 {
		t.Errorf("given out: %v", out)
	}
}

// A scan meets a directory, which is a link when it is entered.
func TestAScanIsNotLedAwayByALink(t *testing.T) {
	s := newTrap(t)
	sub := filepath.Join(s.watched, "sub")
	if err := s.scanAll(func(path string) {
		if path == sub {
			s.swap()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if out := s.given(); len(out) > 0 {
		t.Errorf("given out: %v", out)
	}
}

// A file has settled, and its directory is a link to one with such a file when it is looked at for the last time.
func TestTheLastLookIsNotFollowedThroughALink(t *testing.T) {
	s := newTrap(t)
	s.file(filepath.Join(s.watched, "sub", "shadow"))
	if err := s.scanAll(nil); err != nil {
		t.Fatal(err)
	}
	if len(s.pending.by) != 1 {
		t.Fatalf("%d candidates", len(s.pending.by))
	}
	s.swap()
	s.given() // it is another file, which is noted
	if out := s.given(); len(out) > 0 {
		t.Errorf("given out: %v", out)
	}
}

// Who owns a directory above the watched one can put a link into its place. What belongs to others lies not behind that.
func TestALinkOnTheWayLeadsOnlyToWhatItsOwnerHas(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files of another user are made by root alone")
	}
	const somebody = 12345
	base := t.TempDir()
	for _, dir := range []string{"home/real/backups", "etc/backups"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &trap{t: t}
	s.file(filepath.Join(base, "etc/backups/shadow"))
	s.file(filepath.Join(base, "home/real/backups/dump"))
	link := filepath.Join(base, "home/server")
	for _, c := range []struct {
		what, to string
		linkOf   int
		dirOf    int
		want     string
	}{
		{"a link of somebody to a directory of root", filepath.Join(base, "etc"), somebody, 0, ""},
		{"the same, relative", "../etc", somebody, 0, ""},
		{"a link of somebody to their own directory", "real", somebody, somebody, "dump"},
		{"a link of root to a directory of somebody", "real", 0, somebody, "dump"},
		{"a link of root to a directory of root", filepath.Join(base, "etc"), 0, 0, "shadow"},
	} {
		os.Remove(link)
		if err := os.Symlink(c.to, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(link, c.linkOf, c.linkOf); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(base, "home/real"), c.dirOf, c.dirOf); err != nil {
			t.Fatal(err)
		}
		s.out = nil
		s.Watcher = New([]Dir{{Path: filepath.Join(link, "backups")}}, Options{})
		err := s.scanAll(nil)
		out := strings.Join(s.given(), " ")
		if c.want == "" && (out != "" || err == nil || !strings.Contains(err.Error(), link)) || c.want != "" && (filepath.Base(out) != c.want || err != nil) {
			t.Errorf("%s: given out: %q, %v", c.what, out, err)
		}
	}
}

// Where the kernel does not know openat2, the way is gone step by step, to the same end.
func TestAWalkSeesWhatTheKernelSees(t *testing.T) {
	s := newTrap(t)
	s.file(filepath.Join(s.watched, "sub", "dump"))
	os.Symlink("dump", filepath.Join(s.watched, "sub", "latest"))
	os.Symlink("sub", filepath.Join(s.watched, "link"))
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	for rel, want := range map[string]error{
		"": nil, "sub": nil, "sub/dump": nil, "sub/latest": unix.ELOOP, "link": unix.ELOOP, "link/dump": unix.ENOTDIR, "sub/dump/x": unix.ENOTDIR, "none": unix.ENOENT, "none/x": unix.ENOENT,
	} {
		fd, err := walkBeneath(s.watched, rel, flags)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", rel, err, want)
		}
		other, kernel := openat2(filepath.Join(s.watched, rel), flags)
		if (kernel == nil) != (err == nil) {
			t.Errorf("%q: %v, the kernel says %v", rel, err, kernel)
		}
		if err == nil && kernel == nil {
			a, _ := see(fd, "")
			if b, _ := see(other, ""); a != b {
				t.Errorf("%q: %+v, the kernel sees %+v", rel, a, b)
			}
			unix.Close(fd)
			unix.Close(other)
		}
	}
}

// Where the kernel lets anybody link any file, one that somebody else may have linked into the watched directory is no dump: also not
// when the name that it had is gone, as that of /etc/shadow is after the next change of a password.
func TestAHardLinkToAFileOfSomebodyElseIsToldAndNotShipped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files of another user are made by root alone")
	}
	const somebody, another = 12345, 12346
	for _, c := range []struct {
		what      string
		dir, file int
		mode      os.FileMode
		gone      bool // its first name
		refused   bool
	}{
		{"root's file in somebody's directory", somebody, 0, 0o755, false, true},
		{"the same, and its first name is gone", somebody, 0, 0o755, true, true},
		{"another's file in somebody's directory", somebody, another, 0o755, false, true},
		{"root's file in root's directory, which a group may write to", 0, 0, 0o775, false, true},
		{"root's file in root's directory, which all may write to", 0, 0, 0o777 | os.ModeSticky, false, true},
		{"somebody's file in their own directory", somebody, somebody, 0o755, false, false},
		{"root's file in root's directory", 0, 0, 0o755, false, false},
		{"somebody's file in root's directory", 0, somebody, 0o755, false, false},
	} {
		s := newTrap(t)
		s.linkable = true
		sub, secret := filepath.Join(s.watched, "sub"), filepath.Join(s.private, "shadow")
		for _, err := range []error{
			os.Link(secret, filepath.Join(sub, "dump")), os.Chown(secret, c.file, c.file), os.Chown(sub, c.dir, c.dir), os.Chmod(sub, c.mode),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if c.gone {
			os.Remove(secret)
		}
		if err := s.scanAll(nil); err != nil {
			t.Fatal(err)
		}
		out, told := len(s.given()) > 0, strings.Contains(strings.Join(s.troubles, "\n"), "protected_hardlinks")
		if out == c.refused || told != c.refused {
			t.Errorf("%s: given out: %v; told: %q", c.what, s.out, s.troubles)
		}
	}
}

// On this host, as everywhere, the sysctl says whether that is to be feared.
func TestHardLinksAreAskedOfTheKernel(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := New(nil, Options{}).linkable, strings.TrimSpace(string(b)) == "0"; got != want {
		t.Errorf("linkable is %v", got)
	}
}

// Whoever may make files can make some that cannot be shipped, under ever new names. They are forgotten when they are gone.
func TestNamesThatCannotBeShippedTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := New([]Dir{{Path: dir}}, Options{})
		for i := range 100 {
			name := filepath.Join(dir, strconv.Itoa(i))
			if err := os.Symlink("/etc", name); err != nil {
				t.Fatal(err)
			}
			w.rescan(&notifier{w: w})
			os.Remove(name)
			time.Sleep(time.Minute)
		}
		if left := len(w.told) + len(w.troubled) + len(w.troubles); left > 20 {
			t.Errorf("%d are remembered", left)
		}
	})
}
