// Package release builds, for the tests, what `make release` builds.
package release

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Epoch is the time of the commit that is released, in seconds since 1970.
const Epoch = "1700000000"

// Tool is the path of a program that the Makefile builds.
func Tool(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("OFFSITE_TEST_BIN")
	if dir == "" {
		dir = filepath.Join(root(t), ".cache/bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: make servers (%v)", name, err)
	}
	return path
}

// root is the top directory of the repository.
func root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Begin builds a release of that version (v1.0.0) beside the test, which calls done to have its directory. env comes on top of the
// environment; before is run first by the same shell, as root under a host name of its own.
func Begin(t testing.TB, version, before string, env ...string) (done func() (dist string)) {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	var said bytes.Buffer
	cmd := exec.Command("unshare", "--uts", "bash", "-c", before+` exec packaging/release.sh "$@"`, "release", version, dist)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root(t), &said, &said
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+Epoch, "NFPM="+Tool(t, "nfpm"), "MD2MAN="+Tool(t, "go-md2man"))
	cmd.Env = append(cmd.Env, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	return func() string {
		t.Helper()
		if err := <-ended; err != nil {
			t.Fatalf("release.sh: %v\n%s", err, &said)
		}
		return dist
	}
}

// Newer makes of a .deb for this machine newer.deb, or newer.rpm, or both, of another version (1.1.0): the same files with a program that
// calls itself so.
func Newer(t testing.TB, deb, version string, kinds ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("bash", "-c", `set -e -o pipefail
mkdir "$1/docs"
dpkg-deb -x "$2" "$1/root"
mv "$1/root/usr/share/zsh/vendor-completions/_offsite" "$1/root/usr/share/doc/offsite/changelog.gz" "$1/docs/"
rm -r "$1/root/etc" "$1/root/usr/share/zsh" "$1/root/usr/share/lintian"
go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=v$VERSION" -o "$1/root/usr/bin/offsite" ./cmd/offsite
for p in $4; do "$3" package --config packaging/nfpm.yaml --packager $p --target "$1/newer.$p"; done`, "repackage", dir, deb, Tool(t, "nfpm"), strings.Join(kinds, " "))
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "STAGE="+dir, "ARCH="+runtime.GOARCH, "VERSION="+version, "SOURCE_DATE_EPOCH="+Epoch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return dir
}
