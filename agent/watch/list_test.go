package watch_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offsite/agent/watch"
)

func TestListGoesByTheRulesOfTheWatcher(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.sql", "sub/b.sql", "sub/c.log", ".hidden/d.sql", "e.sql.tmp", "target/.offsite-target", "target/f.sql", "empty.sql"} {
		p := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(p), 0o700)
		text := "x"
		if strings.HasPrefix(name, "empty") {
			text = ""
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("a.sql", filepath.Join(dir, "latest.sql"))
	var got []string
	for f, err := range (watch.Dir{Path: dir + "/", Exclude: []string{"*.log"}}).List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.IsDir {
			f.Rel += "/"
		}
		got = append(got, f.Rel)
	}
	if want := []string{"./", "a.sql", "empty.sql", "sub/", "sub/b.sql"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	errs := 0
	for _, err := range (watch.Dir{Path: filepath.Join(dir, "missing")}).List(t.Context()) {
		if errs++; !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	if errs != 1 {
		t.Errorf("%d errors for a directory that is missing", errs)
	}
}

func TestLeases(t *testing.T) {
	p := filepath.Join(t.TempDir(), "a")
	f, err := os.Create(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := watch.Leases(p); err != nil {
		t.Errorf("open for writing: the kernel says so: %v", err)
	}
	if err := watch.Leases(p + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}
