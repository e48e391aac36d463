package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeSystemd puts programs of systemd's names first in PATH, which write down how they are called, and fail as systemctl does for a unit
// that is not below root, and for the command of `fails`.
func fakeSystemd(t *testing.T, root, fails string) (called func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := `#!/bin/sh
echo "$(basename "$0") $*" >> ` + log + `
test "$*" != "` + fails + `" || { echo "it fails" >&2; exit 1; }
case "$1" in disable)
	test -e ` + root + unitDir + `/$3 -o -e ` + root + `/usr/lib/systemd/system/$3 || { echo "Failed to disable unit: Unit file $3 does not exist." >&2; exit 1; }
esac
`
	for _, name := range []string{"systemctl", "systemd-sysusers", "systemd-tmpfiles"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(log)
		os.Remove(log)
		return string(text)
	}
}

// makes makes empty files below a directory, or a directory with one where the name ends with a slash.
func makes(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			path = filepath.Join(path, "inside")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// An install that failed in the middle, wherever that was, can be undone, and leaves nothing.
func TestUndoOfHalfAnInstall(t *testing.T) {
	whole := planted(t, "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n")
	installs(t, 0, whole)
	order := laid(t, whole)
	for n := 1; n < len(order); n++ {
		root := t.TempDir()
		for _, file := range order[:n] { // in the order of names, in which they are written
			text, err := os.ReadFile(filepath.Join(whole, file))
			if err != nil {
				t.Fatal(err)
			}
			makes(t, root, file)
			if err := os.WriteFile(filepath.Join(root, file), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		called := fakeSystemd(t, root, "")
		var errs bytes.Buffer
		in := &installing{root: root, starts: true, std: streams{nil, &errs, &errs}}
		if err := in.undo(t.Context()); err != nil || len(laid(t, root)) > 0 {
			t.Errorf("%d files, up to %s: %v, left are %q\n%s", n, order[n-1], err, laid(t, root), errs.String())
		}
		if said := called(); !strings.Contains(said, "systemctl daemon-reload\n") {
			t.Errorf("%d files: called were\n%s", n, said)
		}
	}
}

// A unit that cannot be disabled is told of, and keeps nothing else from being removed.
func TestUndoGoesOnAfterAFailure(t *testing.T) {
	root := planted(t, "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n")
	installs(t, 0, root)
	called := fakeSystemd(t, root, "disable --now offsite-page.socket")
	var errs bytes.Buffer
	in := &installing{root: root, starts: true, std: streams{nil, &errs, &errs}}
	if err := in.undo(t.Context()); err == nil || !strings.Contains(err.Error(), "offsite-page.socket: exit status 1: it fails") {
		t.Errorf("it says %v", err)
	}
	if said := called(); len(laid(t, root)) > 0 || !strings.Contains(said, "offsite-status.socket\nsystemctl stop offsite-again.timer\nsystemctl daemon-reload\n") {
		t.Errorf("left are %q, called were\n%s", laid(t, root), said)
	}
}

// The package's units go on needing what is in /run, and an install after that makes it if it is gone.
func TestUndoLeavesWhatThePackageNeeds(t *testing.T) {
	for _, packaged := range []bool{false, true} {
		root := planted(t, "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n")
		if packaged {
			for _, unit := range enabledUnits {
				makes(t, root, filepath.Join(filepath.Dir(packageUnit), unit))
			}
		}
		installs(t, 0, root)
		makes(t, root, "run/offsite/", "run/offsite-root/")
		called := fakeSystemd(t, root, "")
		var errs bytes.Buffer
		in := &installing{root: root, starts: true, std: streams{nil, &errs, &errs}}
		if err := in.undo(t.Context()); err != nil {
			t.Error(err)
		}
		for _, dir := range []string{"run/offsite", "run/offsite-root"} {
			if exists(filepath.Join(root, dir)) != packaged {
				t.Errorf("packaged %v: %s is there: %v", packaged, dir, !packaged)
			}
		}
		called()
		if err := in.prepare(t.Context()); err != nil || called() != "systemd-sysusers offsite.conf\nsystemd-tmpfiles --create offsite.conf\n" {
			t.Errorf("packaged %v: %v", packaged, err)
		}
	}
}

// A start that fails says what that means and what to do.
func TestAFailedStartSaysHowToGoOn(t *testing.T) {
	called := fakeSystemd(t, "", "enable --now offsite.service")
	var errs bytes.Buffer
	err := (&installing{starts: true, std: streams{nil, &errs, &errs}}).start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no dump is shipped") || !strings.Contains(err.Error(), "journalctl -u offsite.service") || !strings.Contains(err.Error(), "configuration of before") {
		t.Errorf("it says %v after\n%s", err, called())
	}
}

// What somebody wrote into a unit of install's is kept when it is written anew, and undo removes that, too.
func TestAnEditedUnitIsKept(t *testing.T) {
	root := planted(t, "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n")
	installs(t, 0, root)
	unit := filepath.Join(root, unitDir, "offsite.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	edited := append(bytes.Clone(text), "\n[Service]\nNice=19\n"...)
	if err := os.WriteFile(unit, edited, 0o644); err != nil {
		t.Fatal(err)
	}
	said := installs(t, 0, root)
	if !strings.Contains(said, "writes "+unit+" anew, and keeps what was there as "+unit+replacedSuffix) || !strings.Contains(said, "systemctl edit") {
		t.Errorf("it says %s", said)
	}
	now, err1 := os.ReadFile(unit)
	kept, err2 := os.ReadFile(unit + replacedSuffix)
	if !bytes.Equal(now, text) || !bytes.Equal(kept, edited) {
		t.Errorf("%v, %v: the unit is\n%s\nkept is\n%s", err1, err2, now, kept)
	}
	installs(t, 0, root, "--undo")
	if left := laid(t, root); len(left) > 0 {
		t.Errorf("undo left %q", left)
	}
}
