package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// All of a directory is given, and nothing that links in it lead to.
func TestGiveTree(t *testing.T) {
	if os.Geteuid() != 0 {
		return // nobody else can give
	}
	const agent = 12345
	outside, dir := t.TempDir(), filepath.Join(t.TempDir(), "h")
	if err := giveTree(dir, agent, agent); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(outside, "secret"), filepath.Join(dir, "shop/x")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(outside, "secret"), filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := giveTree(dir, agent, agent); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{dir: agent, dir + "/shop": agent, dir + "/shop/x": agent, dir + "/link": agent, outside: 0, outside + "/secret": 0} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if is := info.Sys().(*syscall.Stat_t).Uid; is != want {
			t.Errorf("%s is %d's, want %d", path, is, want)
		}
	}
	link := filepath.Join(t.TempDir(), "h")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	if err := giveTree(link, agent, agent); err == nil {
		t.Error("a link in the place of the directory was followed")
	}
}
