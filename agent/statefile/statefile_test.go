package statefile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

func TestWhatRootMakesBelongsToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		return // nobody else can give
	}
	const agent = 12345
	dir := t.TempDir()
	if err := os.Chown(dir, agent, agent); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(dir, "lock")
	for range 2 {
		f, err := Open(lock, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if is := owner(t, lock); is != agent {
			t.Errorf("the lock is %d's", is)
		}
	}
	book := filepath.Join(dir, "book")
	if err := Replace(book, []byte("1")); err != nil || owner(t, book) != agent {
		t.Errorf("the book is %d's: %v", owner(t, book), err)
	}

	// A file of root's elsewhere stays root's, however it is named here.
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(link, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		f.Close()
		t.Error("a link was followed")
	}
	if err := os.Link(secret, hard); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(hard, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		f.Close()
	}
	if is := owner(t, secret); is != 0 {
		t.Errorf("the secret is %d's", is)
	}
}
