package dir_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"offsite/providers"
	"offsite/providers/dir"
	"offsite/providers/files"
	"offsite/providers/targettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string) *dir.Target {
	t.Helper()
	if err := dir.Init(dir.Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	target, err := dir.New(dir.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func hidden(t testing.TB, root string) (found []string) {
	filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(p, ".partial") || strings.HasSuffix(p, ".damaged")) {
			found = append(found, p)
		}
		return nil
	})
	return found
}

func TestContract(t *testing.T) {
	root := t.TempDir()
	targettest.Run(t, targettest.Config{
		Open:      func(t testing.TB) providers.Target { return open(t, root) },
		Block:     100_000,
		Leftovers: func(t testing.TB, name string) []string { return hidden(t, filepath.Join(root, filepath.Dir(name))) },
	})
}

// The unplugged NAS: an empty mount point gets nothing, not even a directory.
func TestNothingTouchesADirectoryWithoutMarker(t *testing.T) {
	root := t.TempDir()
	target, err := dir.New(dir.Config{Path: root})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, getErr := target.Get(ctx, "a/b", 0, -1)
	_, statErr := target.Stat(ctx, "a/b")
	var listErr error
	for _, listErr = range target.List(ctx, "") {
	}
	for op, err := range map[string]error{
		"put": target.Put(ctx, "a/b", providers.Bytes([]byte("x"))), "get": getErr, "stat": statErr, "list": listErr, "delete": target.Delete(ctx, "a/b"),
	} {
		if !errors.Is(err, providers.ErrPermanent) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if entries, _ := os.ReadDir(root); len(entries) > 0 {
		t.Errorf("something was written: %v", entries)
	}
	gone, err := dir.New(dir.Config{Path: filepath.Join(root, "gone")})
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Put(ctx, "x", providers.Bytes(nil)); !errors.Is(err, providers.ErrPermanent) {
		t.Error(err)
	}
}

func TestASymbolicLinkLeadsNowhere(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	target := open(t, root)
	os.Symlink(outside, filepath.Join(root, "link"))
	if err := target.Put(t.Context(), "link/x", providers.Bytes([]byte("x"))); err == nil {
		t.Error("Put followed a link out of the target")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Error("something was written outside")
	}
}

// What was moved within the target and linked is listed as it is read; what leads nowhere is not.
func TestLinksWithinTheTargetAreListed(t *testing.T) {
	root := t.TempDir()
	target := open(t, root)
	for _, name := range []string{"h/shop/1", "h/shop/2", "h/a/3"} {
		if err := target.Put(t.Context(), name, providers.Bytes([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	targettest.Links(t, target, root)
}

// A partial file whose bytes rotted, or that a crash left with holes, is not built upon.
func TestADamagedPartialIsNotTrusted(t *testing.T) {
	root := t.TempDir()
	target := open(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	src := targettest.NewSource(1, 600_000, 100_000)
	src.Fail = func(_ context.Context, i int) error {
		if i == 5 {
			cancel()
			return context.Canceled
		}
		return nil
	}
	if err := target.Put(ctx, "x", src); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	left := hidden(t, root)
	if len(left) != 1 {
		t.Fatal(left)
	}
	b, err := os.ReadFile(left[0])
	if err != nil {
		t.Fatal(err)
	}
	b[150_000] ^= 1
	os.WriteFile(left[0], b, 0o600)
	again := targettest.NewSource(1, 600_000, 100_000)
	if err := target.Put(t.Context(), "x", again); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "x"))
	fresh := targettest.NewSource(1, 600_000, 100_000)
	want, _ := fresh.Block(t.Context(), 1)
	block := make([]byte, 100_000)
	want.Body.ReadAt(block, 0)
	if err != nil || !bytes.Equal(got[100_000:200_000], block) {
		t.Error("the rotten block got into the object", err)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	root := t.TempDir()
	if err := open(t, root).Put(t.Context(), "a/b", providers.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"a": 0o700, "a/b": 0o600} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// What root makes below a directory of the agent's is the agent's, and nothing else becomes so.
func TestWhatRootMakesIsTheOwnersOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		return // nobody else can give
	}
	const agent = 12345
	root := t.TempDir()
	target := open(t, root)
	secret := filepath.Join(root, "secret")
	if err := errors.Join(os.Mkdir(filepath.Join(root, "h"), 0o700), os.Chown(filepath.Join(root, "h"), agent, agent), os.WriteFile(secret, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"h/shop/x", "other/shop/x"} {
		if err := target.Put(t.Context(), name, providers.Bytes([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(secret, filepath.Join(root, files.Partial("h/shop/y"))); err != nil {
		t.Fatal(err)
	}
	target.Put(t.Context(), "h/shop/y", providers.Bytes([]byte("y")))
	for name, want := range map[string]uint32{"h/shop": agent, "h/shop/x": agent, "other": 0, "other/shop/x": 0, "secret": 0} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if is := info.Sys().(*syscall.Stat_t).Uid; is != want {
			t.Errorf("%s is %d's, want %d", name, is, want)
		}
	}
}

func TestInspect(t *testing.T) {
	target := open(t, filepath.Join(t.TempDir(), "nas"))
	f, err := target.Inspect(t.Context())
	if err != nil || f.Free == nil || *f.Free <= 0 || f.Device == nil {
		t.Fatalf("%+v, %v", f, err)
	}
	elsewhere, err := os.MkdirTemp("/dev/shm", "offsite-inspect-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(elsewhere)
	if other, err := open(t, elsewhere).Inspect(t.Context()); err != nil || *other.Device == *f.Device {
		t.Errorf("another file system: %+v, %v", other, err)
	}
	unmounted, err := dir.New(dir.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unmounted.Inspect(t.Context()); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("without a marker: %v", err)
	}
}

// A NAS may be written to by others. What they lay there that is no file is no object, and nobody waits for it.
func TestAPipeIsNoObject(t *testing.T) {
	root := t.TempDir()
	target := open(t, root)
	os.MkdirAll(filepath.Join(root, "h/shop"), 0o700)
	for _, name := range []string{"h/shop/x", files.Partial("h/shop/y")} {
		if err := syscall.Mkfifo(filepath.Join(root, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 3)
	go func() {
		_, err := target.Get(t.Context(), "h/shop/x", 0, -1)
		ended <- err
		for range 2 {
			ended <- target.Put(t.Context(), "h/shop/y", providers.Bytes([]byte("y")))
		}
	}()
	for _, op := range []string{"get", "put", "put again"} {
		select {
		case err := <-ended:
			if op == "get" && !errors.Is(err, fs.ErrNotExist) || (err == nil) != (op == "put again") {
				t.Errorf("%s: %v", op, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s hangs", op)
		}
	}
}
