package docs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"offsite/test/servers"
)

// The shell script brings the newest backup, and an older one by the beginning of its name, back from each kind of place, where there are more
// objects than one page of a listing has.
func TestTheShellScriptRestores(t *testing.T) {
	t.Parallel()
	store, plain, shore := servers.MinIO(t, true), servers.VersityGW(t), servers.StartOpenSSH(t)
	h := newHost(t)
	h.write("access", store.AccessKey+"\n")
	h.write("secret", store.SecretKey+"\n")
	older, newest := random(1, 3<<20), random(2, 20<<20)
	h.write("dumps/sub/a shop_20261121_030001.sql", string(older))
	h.write("dumps/sub/a shop_20261122_030001.sql", string(newest))
	keys := "access_key_file=" + h.path("access") + "&secret_key_file=" + h.path("secret")
	sftp := fmt.Sprintf("sftp://%s@%s:%d/", shore.User, shore.Host, shore.Port)
	h.offsite(0, "init", "--yes", "--host", "db-1", "--zone", "UTC", "--state", h.path("state"), "--watch", h.path("dumps"),
		"--target", "nas="+h.path("n a s"), "--target", "minio=s3+"+store.Endpoint+"/backups/db=1/x?"+keys+"&ca_file="+store.CAFile,
		"--target", "plain=s3+"+plain.Endpoint+"/backups?"+keys, "--target", "shore="+sftp+"deep/db?key_file="+shore.KeyFile)
	h.offsite(0, "agent", "--once")
	h.identity()
	fill(t, filepath.Join(plain.Data, "backups", "db-1", "sub%2Fa%20shop"))
	for _, place := range []string{h.path("n a s"), store.Endpoint + "/backups/db=1/x", plain.Endpoint + "/backups/", sftp + "deep/db", sftp + shore.Data + "/deep/db/"} {
		for beginning, want := range map[string][]byte{"": newest, "20261121": older} {
			got, said, err := h.script(store, shore, place, "db-1", "sub%2Fa%20shop", h.path("id.txt"), beginning)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %s: %d bytes of %d, %v\n%s", place, beginning, len(got), len(want), err, said)
			}
		}
		if got, said, err := h.script(store, shore, place, "db-1", "sub%2Fa%20shop", h.path("id.txt"), "2024"); err == nil || len(got) > 0 || !strings.Contains(said, "there is no backup 2024") {
			t.Errorf("%s: what is not there: %q, %v\n%s", place, got, err, said)
		}
	}
	must(t, os.WriteFile(h.path("wrong"), []byte("AKIA\n"), 0o600))
	store.SecretKey = "wrong"
	if got, said, err := h.script(store, shore, store.Endpoint+"/backups/db=1/x", "db-1", "sub%2Fa%20shop", h.path("id.txt"), ""); err == nil || len(got) > 0 || !strings.Contains(said, "403") {
		t.Errorf("with a wrong key: %q, %v\n%s", got, err, said)
	}
}

// What the manifest says of a broken dump, the script says too.
func TestTheShellScriptWarnsOfASuspectDump(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.write("dumps/shop_20261121_030001.sql", "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n")
	h.write("dumps/shop_20261122_030001.sql", "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t (id int);\nCOPY t FROM stdin;\n1\n")
	h.offsite(0, "init", "--yes", "--host", "h", "--zone", "UTC", "--state", h.path("state"), "--watch", h.path("dumps"), "--target", "nas="+h.path("nas"))
	h.offsite(0, "agent", "--once")
	h.identity()
	_, said, err := h.script(nil, nil, h.path("nas"), "h", "shop", h.path("id.txt"), "")
	if err != nil || !strings.Contains(said, "WARNING: it is not whole") || !strings.Contains(said, "completion line") {
		t.Errorf("%v\n%s", err, said)
	}
	for how, manifest := range h.laidOutOtherwise("nas/h/shop/20261122T*.manifest") {
		manifest()
		got, said, err := h.script(nil, nil, h.path("nas"), "h", "shop", h.path("id.txt"), "")
		if err != nil || len(got) == 0 || strings.Count(said, "WARNING: it is not whole") != len(shells) || strings.Contains(said, "recipients") {
			t.Errorf("a manifest %s: %d bytes, %v\n%s", how, len(got), err, said)
		}
	}
	if _, said, err := h.script(nil, nil, h.path("nas"), "h", "shop", h.path("id.txt"), "20261121"); err != nil || strings.Contains(said, "WARNING") {
		t.Errorf("%v\n%s", err, said)
	}
	if _, said, err := h.script(nil, nil, h.path("nas"), "h"); err == nil || !strings.Contains(said, "sh restore.sh PLACE HOST SERIES") {
		t.Errorf("%v\n%s", err, said)
	}
}

// laidOutOtherwise gives what writes the manifest in other ways that docs/format.md allows, by name.
func (h *host) laidOutOtherwise(pattern string) map[string]func() {
	h.t.Helper()
	paths, err := filepath.Glob(h.path(pattern))
	if err != nil || len(paths) != 1 {
		h.t.Fatalf("%s: %q, %v", pattern, paths, err)
	}
	manifest, err := os.ReadFile(paths[0])
	must(h.t, err)
	changed := func(regex, to string) func() {
		return func() {
			text := regexp.MustCompile(regex).ReplaceAll(manifest, []byte(to))
			if bytes.Equal(text, manifest) {
				h.t.Fatalf("the manifest has no %s:\n%s", regex, manifest)
			}
			must(h.t, os.WriteFile(paths[0], text, 0o600))
		}
	}
	return map[string]func(){
		"in one line":          changed(`\n *([]}])|\n +|(:) `, "$1$2"),
		"with blanks and tabs": changed(`"health": "suspect"`, "\"health\" :\t \"suspect\""),
		"with a line's end":    changed(`"health": "suspect"`, "\"health\":\r\n\"suspect\""),
		"without a reason":     changed(`\n *"health_reason": [^\n]*`, ""),
	}
}

// fill makes the series have more than a thousand objects, older than all others: for versitygw a file is one.
func fill(t *testing.T, series string) {
	t.Helper()
	for i := range 1100 {
		must(t, os.WriteFile(filepath.Join(series, fmt.Sprintf("20250101T%02d%02d00Z_%08x_old.age.manifest", i/60, i%60, i)), nil, 0o644))
	}
}

// host is a machine with offsite, in a directory of its own.
type host struct {
	t   *testing.T
	dir string
}

func newHost(t *testing.T) *host { return &host{t, t.TempDir()} }

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) {
	h.t.Helper()
	must(h.t, os.MkdirAll(filepath.Dir(h.path(name)), 0o700))
	must(h.t, os.WriteFile(h.path(name), []byte(text), 0o600))
}

// offsite runs the program, whose exit status must be want, and gives what it printed.
func (h *host) offsite(want int, args ...string) (out, said string) {
	h.t.Helper()
	cmd := exec.Command(program, append([]string{"--config", h.path("offsite.yaml")}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
		h.t.Fatalf("offsite %q: %v, want exit status %d\n%s%s", args, err, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

// identity takes the secret key out of the recovery kit into id.txt.
func (h *host) identity() {
	h.t.Helper()
	kit, err := os.ReadFile(h.path("offsite-recovery-kit.txt"))
	must(h.t, err)
	h.write("id.txt", string(regexp.MustCompile(`AGE-SECRET-KEY-\S+`).Find(kit))+"\n")
}

// shells are those that docs/restore.sh must be fit for, each with its first arguments.
var shells = [][]string{{"dash"}, {"busybox", "sh"}}

// busybox is a directory in which all that the script takes from the system is busybox's, as on a rescue disk. age, curl and sftp are not.
func busybox(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("busybox is missing: make packages (%v)", err)
	}
	for _, applet := range []string{"awk", "cat", "cp", "grep", "ls", "mktemp", "rm", "sed", "sort", "tail", "tr"} {
		must(t, os.Symlink(path, filepath.Join(dir, applet)))
	}
	return dir
}

// script runs docs/restore.sh by each shell, with the keys of the servers and an ssh that knows the one of them. They must agree.
func (h *host) script(store *servers.S3, shore *servers.OpenSSH, args ...string) (dump []byte, said string, err error) {
	h.t.Helper()
	for i, shell := range shells {
		got, says, failed := h.scriptBy(shell, store, shore, args...)
		if i > 0 && (!bytes.Equal(got, dump) || (failed == nil) != (err == nil)) {
			h.t.Errorf("%q and %q do not agree: %d bytes, %v, and %d bytes, %v\n%s", shells[0], shell, len(dump), err, len(got), failed, says)
		}
		dump, said, err = got, said+says, failed
	}
	return dump, said, err
}

func (h *host) scriptBy(shell []string, store *servers.S3, shore *servers.OpenSSH, args ...string) (dump []byte, said string, err error) {
	h.t.Helper()
	cmd := exec.Command(shell[0], append(append(slices.Clone(shell[1:]), "../../docs/restore.sh"), args...)...)
	path := filepath.Dir(servers.Binary(h.t, "age")) + ":" + os.Getenv("PATH")
	if shell[0] == "busybox" {
		path = busybox(h.t) + ":" + path
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+h.t.TempDir())
	if store != nil {
		cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+store.AccessKey, "AWS_SECRET_ACCESS_KEY="+store.SecretKey, "CURL_CA_BUNDLE="+store.CAFile)
	}
	if shore != nil { // as ~/.ssh/config would say
		bin := h.t.TempDir()
		ssh := fmt.Sprintf("#!/bin/sh\nexec /usr/bin/sftp -o UserKnownHostsFile=%s -o IdentityFile=%s -o IdentitiesOnly=yes \"$@\"\n", shore.KnownHosts, shore.KeyFile)
		must(h.t, os.WriteFile(filepath.Join(bin, "sftp"), []byte(ssh), 0o755))
		path = bin + ":" + path
	}
	cmd.Env = append(cmd.Env, "PATH="+path)
	var e bytes.Buffer
	cmd.Stderr = &e
	dump, err = cmd.Output()
	return dump, e.String(), err
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
