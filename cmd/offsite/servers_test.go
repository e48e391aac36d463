package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"offsite/test/servers"
)

// A dump reaches a directory, MinIO by either client, and versitygw in one run, and comes back from each, with and without configuration.
func TestEveryKindOfTarget(t *testing.T) {
	first, second := servers.MinIO(t, true), servers.VersityGW(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dump := bytes.Repeat([]byte("a line of a dump\n"), 2<<20) // 34 MB: three blocks
	file("dumps/shop_20261122_030001.sql", string(dump))
	access, secret := file("access", first.AccessKey+"\n"), file("secret", first.SecretKey+"\n")
	config := file("offsite.yaml", "")
	os.Remove(config)

	offsite := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, err bytes.Buffer
		if code := run(t.Context(), append([]string{"--config", config}, args...), streams{bytes.NewReader(nil), &out, &err}); code != want {
			t.Fatalf("offsite %q: exit code %d, want %d\n%s", args, code, want, err.String())
		}
		return out.String(), err.String()
	}
	offsite(0, "init", "--yes", "--host", "db-server", "--state", filepath.Join(dir, "state"), "--watch", filepath.Join(dir, "dumps"), "--target", "nas="+filepath.Join(dir, "nas"))
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*servers.S3{"first": first, "second": second} {
		text = bytes.Replace(text, []byte("targets:\n"), fmt.Appendf(nil,
			"targets:\n  %s:\n    minio: {endpoint: %q, bucket: %s, prefix: db, access_key_file: %s, secret_key_file: %s, ca_file: %q}\n",
			name, s.Endpoint, s.Bucket, access, secret, s.CAFile), 1)
	}
	text = bytes.ReplaceAll(text, []byte(`, ca_file: ""`), nil)
	text = bytes.Replace(text, []byte("targets:\n"), fmt.Appendf(nil,
		"targets:\n  aws:\n    s3: {endpoint: %q, bucket: %s, prefix: aws, path_style: true, access_key_file: %s, secret_key_file: %s, ca_file: %q}\n",
		first.Endpoint, first.Bucket, access, secret, first.CAFile), 1)
	file("offsite.yaml", string(text))
	kit, _ := os.ReadFile(filepath.Join(dir, "offsite-recovery-kit.txt"))
	identity := file("id.txt", string(regexp.MustCompile(`AGE-SECRET-KEY-\S+`).Find(kit))+"\n")

	offsite(0, "init", "--yes") // a probe of each
	offsite(0, "agent", "--once")
	for _, target := range []string{"nas", "first", "second", "aws"} {
		if got, _ := offsite(0, "restore", "--identity", identity, "--target", target, "-o", "-", "shop"); got != string(dump) {
			t.Errorf("%s: %d bytes came back, want %d, or others", target, len(got), len(dump))
		}
	}
	got, _ := offsite(0, "restore", "--from", "s3+"+first.Endpoint+"/backups/db", "--access-key-file", access, "--secret-key-file", secret,
		"--ca-file", first.CAFile, "--identity", identity, "-o", "-", "shop")
	if got != string(dump) {
		t.Errorf("--from: %d bytes came back, want %d, or others", len(got), len(dump))
	}

	os.RemoveAll(filepath.Join(dir, "state"))
	if _, said := offsite(0, "agent", "--once"); bytes.Count([]byte(said), []byte("is there already")) != 4 {
		t.Errorf("after the state was lost:\n%s", said)
	}
}
