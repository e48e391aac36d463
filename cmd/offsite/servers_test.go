package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"offsite/test/servers"
)

// A dump reaches every kind of target in one run, and comes back from each: by the configuration, by the recovery kit
// alone, and by flags alone.
func TestEveryKindOfTarget(t *testing.T) {
	first, second, shore := servers.MinIO(t, true), servers.VersityGW(t), servers.StartOpenSSH(t)
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
	dump := random(3, 34<<20) // three blocks
	file("dumps/shop_20261122_030001.sql", string(dump))
	access, secret := file("access", first.AccessKey+"\n"), file("secret", first.SecretKey+"\n")
	config := filepath.Join(dir, "offsite.yaml")
	offsite := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, err bytes.Buffer
		if code := run(t.Context(), append([]string{"--config", config}, args...), streams{bytes.NewReader(nil), &out, &err}); code != want {
			t.Fatalf("offsite %q: exit code %d, want %d\n%s", args, code, want, err.String())
		}
		return out.String(), err.String()
	}

	keys := "access_key_file=" + access + "&secret_key_file=" + secret
	ssh := fmt.Sprintf("sftp://%s@%s:%d/db?key_file=%s", shore.User, shore.Host, shore.Port, shore.KeyFile)
	_, said := offsite(0, "init", "--yes", "--host", "db-server", "--state", filepath.Join(dir, "state"), "--watch", filepath.Join(dir, "dumps"),
		"--target", "nas="+filepath.Join(dir, "nas"),
		"--target", "first=s3+"+first.Endpoint+"/backups/db?"+keys+"&ca_file="+first.CAFile,
		"--target", "second=s3+"+second.Endpoint+"/backups/db?"+keys,
		"--target", "aws=s3://backups/aws?path_style=true&endpoint="+first.Endpoint+"&"+keys+"&ca_file="+first.CAFile,
		"--target", "shore="+ssh)
	if !strings.Contains(said, "shows the host key SHA256:") || strings.Count(said, "works: wrote, read and deleted a probe") != 5 {
		t.Fatal(said)
	}
	offsite(0, "agent", "--once")
	kit := filepath.Join(dir, "offsite-recovery-kit.txt")
	text, err := os.ReadFile(kit)
	if err != nil {
		t.Fatal(err)
	}
	identity := file("id.txt", string(regexp.MustCompile(`AGE-SECRET-KEY-\S+`).Find(text))+"\n")
	same := func(got, how string) {
		t.Helper()
		if got != string(dump) {
			t.Errorf("%s: %d bytes came back, want %d, or others", how, len(got), len(dump))
		}
	}
	for _, target := range []string{"nas", "first", "second", "aws", "shore"} {
		got, _ := offsite(0, "restore", "--identity", identity, "--target", target, "-o", "-", "shop")
		same(got, target)
	}

	os.RemoveAll(filepath.Join(dir, "state"))
	if _, said := offsite(0, "agent", "--once"); strings.Count(said, "is there already") != 5 {
		t.Errorf("after the state was lost:\n%s", said)
	}

	// The host is gone: configuration, state, dumps, and the files with the keys of the targets.
	s3 := []string{"--access-key-file", file("elsewhere/access", first.AccessKey), "--secret-key-file", file("elsewhere/secret", first.SecretKey)}
	sshKey, err := os.ReadFile(shore.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := file("elsewhere/key", string(sshKey))
	for _, gone := range []string{config, access, secret, shore.KeyFile, filepath.Join(dir, "dumps"), filepath.Join(dir, "signing.key")} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", t.TempDir())
	for _, target := range []string{"nas", "first", "second", "aws", "shore"} {
		got, _ := offsite(0, "restore", "--kit", kit, "--target", target, "-o", "-", "shop")
		same(got, "kit, "+target)
	}
	listed, _ := offsite(0, "list", "--kit", kit)
	if strings.Count(listed, "shop_20261122_030001.sql") != 5 {
		t.Error(listed)
	}
	for _, how := range [][]string{
		{filepath.Join(dir, "nas")},
		append([]string{"s3+" + first.Endpoint + "/backups/db", "--ca-file", first.CAFile}, s3...),
		append([]string{"s3+" + second.Endpoint + "/backups/db"}, s3...),
		append([]string{"s3://backups/aws?path_style=true&endpoint=" + first.Endpoint, "--ca-file", first.CAFile}, s3...),
		{fmt.Sprintf("sftp://%s@%s:%d/db", shore.User, shore.Host, shore.Port), "--key-file", elsewhere, "--known-hosts", shore.KnownHosts},
		{fmt.Sprintf("sftp://%s@%s:%d/db", shore.User, shore.Host, shore.Port), "--password-file", file("elsewhere/password", shore.Password), "--host-key", shore.HostKey},
	} {
		got, _ := offsite(0, append([]string{"restore", "--identity", identity, "-o", "-", "shop", "--from"}, how...)...)
		same(got, "--from "+how[0])
	}
	t.Setenv("AWS_ACCESS_KEY_ID", first.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", first.SecretKey)
	for _, from := range []string{"s3+" + second.Endpoint + "/backups/db", "s3://backups/aws?path_style=true&endpoint=" + first.Endpoint + "&ca_file=" + first.CAFile} {
		got, _ := offsite(0, "restore", "--identity", identity, "-o", "-", "shop", "--from", from)
		same(got, "--from "+from+" with the environment")
	}
}

// What was written to a pipe cannot be taken back: another target goes on where one is damaged, and never begins again.
func TestAStreamIsNeverBegunTwice(t *testing.T) {
	dir := t.TempDir()
	config, dumps := filepath.Join(dir, "offsite.yaml"), filepath.Join(dir, "dumps")
	if err := os.Mkdir(dumps, 0o700); err != nil {
		t.Fatal(err)
	}
	dump := random(1, 100<<20) // more than is fetched ahead
	if err := os.WriteFile(filepath.Join(dumps, "shop.sql"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	offsite := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"--config", config}, args...), streams{bytes.NewReader(nil), &out, &errs})
		t.Log(errs.String())
		return code, out.String()
	}
	offsite("init", "--yes", "--host", "h", "--state", filepath.Join(dir, "state"), "--watch", dumps, "--target", "a="+filepath.Join(dir, "a"), "--target", "b="+filepath.Join(dir, "b"))
	offsite("agent", "--once")
	objects, err := filepath.Glob(filepath.Join(dir, "a", "h", "shop", "*.age"))
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	f, err := os.OpenFile(objects[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), 99<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	kit := filepath.Join(dir, kitName)
	if code, out := offsite("restore", "--kit", kit, "-o", "-", "shop"); code != exitDone || out != string(dump) {
		t.Errorf("exit code %d, %d bytes on standard output", code, len(out))
	}
	code, out := offsite("restore", "--kit", kit, "--target", "a", "-o", "-", "shop")
	if code != exitIntegrity || !strings.HasPrefix(string(dump), out) {
		t.Errorf("exit code %d, %d bytes on standard output, of the dump's start: %v", code, len(out), strings.HasPrefix(string(dump), out))
	}
	file := filepath.Join(dir, "back.sql")
	if code, _ := offsite("restore", "--kit", kit, "-o", file, "shop"); code != exitDone {
		t.Errorf("to a file: exit code %d", code)
	}
	if back, err := os.ReadFile(file); err != nil || !bytes.Equal(back, dump) {
		t.Errorf("%d bytes in the file, %v", len(back), err)
	}
}
