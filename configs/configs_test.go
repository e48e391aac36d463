package configs_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"offsite/configs"
)

// relaxed gives the example a directory that exists here.
func relaxed(t testing.TB) []byte {
	return bytes.ReplaceAll(configs.Example, []byte("/home/statex/database-server/backups"), []byte(t.TempDir()))
}

func TestTheExampleIsValid(t *testing.T) {
	c, err := configs.Parse("/etc/offsite/offsite.yaml", relaxed(t), configs.Checks{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "db-server" || c.Keep.Yearly != configs.Forever || c.Memory != 96<<20 || c.SigningKey != "/etc/offsite/signing.key" || c.Targets[0].Name != "nas" {
		t.Errorf("%+v", c)
	}
}

// A commented key in the example is one that works once the comment sign goes.
func TestTheExampleNamesEveryKey(t *testing.T) {
	for _, key := range []string{
		"host", "zone", "state", "signing_key", "trust", "watch", "path", "name", "include", "exclude", "series", "settle", "recipients", "targets", "dir",
		"minio", "s3", "sse", "kms_key", "profile", "session_token_file", "endpoint", "bucket", "prefix", "region", "access_key_file", "secret_key_file", "access_key", "secret_key", "ca_file", "storage_class", "path_style", "idle_timeout",
		"sftp", "host", "port", "user", "key_file", "key_passphrase", "key_passphrase_file", "password", "password_file", "agent_socket", "host_key", "known_hosts", "connections",
		"keep", "last", "hourly", "daily", "weekly", "monthly", "yearly", "min_keep", "memory", "block_size",
	} {
		if !strings.Contains(string(configs.Example), key+":") {
			t.Errorf("the example does not have %s", key)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"host: db-server", "host: db server", "host: \"db server\" should be"},
		{"host: db-server", "host: db-server\nhost: other", "already defined"},
		{"host: db-server", "host: [a]", "host: should be a single value"},
		{"zone: Europe/Prague", "zone: Nowhere", "zone: \"Nowhere\" is not a zone"},
		{"state: /var/lib/offsite", "state: relative", "state: \"relative\" is not absolute"},
		{"state: /var/lib/offsite", "state:", "state: has no value"},
		{"#settle: 2s", "settle: -2s", "settle: \"-2s\" should be a time"},
		{"#name: pg", "nmae: pg", "watch[0].nmae: is not a key here; did you mean name?"},
		{"#include: [\"*.sql.gz\", \"*.dump\"]", "include: [\"[\"]", "is not a pattern"},
		{"  nas:", "  NAS:", "targets.NAS: a target's name"},
		{"  daily: 7", "  daily: many", "keep.daily: should be a number"},
		{"#memory: 96MiB", "memory: 1MiB", "memory: is less than one block"},
		{"#block_size: 16MiB", "block_size: 17MiB", "block_size: should be a power of two"},
		{"#block_size: 16MiB", "---\nhost: x", "a second document"},
		{"path: /mnt/nas/backups", "path: &a /mnt", "anchors"},
		{"    dir:\n", "    minio: {endpoint: minio.lan, bucket: b}\n    dir:\n", "targets.nas: has 2 kinds"},
		{"keep:", "  lan: {minio: {endpoint: minio.lan, bucket: b, secret_key: hunter2, secret_key_file: /x}}\nkeep:", "targets.lan.minio.secret_key: is given twice"},
		{"keep:", "  lan: {minio: {endpoint: minio.lan, bucket: b}}\nkeep:", "targets.lan.minio.endpoint: is not the address of a server; write one such as"},
		{"keep:", "  lan: {minio: {endpoint: https://m, bucket: b, secret_key_file: key}}\nkeep:", "targets.lan.minio.secret_key_file: \"key\" is relative"},
		{"keep:", "  aws: {s3: {bucket: b, sse: yes, storage_class: GLACIER, kms_key: k}}\nkeep:", "targets.aws.s3.storage_class: cannot be read back at once"},
		{"keep:", "  shore: {sftp: {host: h, user: u, connections: 99, host_key: [nonsense]}}\nkeep:", "targets.shore.sftp.host_key: \"nonsense\": is not a public key"},
		{"keep:", "  shore: {sftp: {host: \"u@h\", known_hosts: here, password: hunter2, password_file: /x}}\nkeep:", "targets.shore.sftp.user: is missing"},
		{"keep:", "kepe:", "kepe: is not a key here; did you mean keep?"},
	} {
		text := strings.Replace(string(relaxed(t)), c.old, c.new, 1)
		_, err := configs.Parse("x.yaml", []byte(text), configs.Checks{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "x.yaml:") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v\nwant %s", c.new, err, c.want)
		}
	}
}

func TestARelativeSecretFileIsACredential(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/offsite")
	text := strings.Replace(string(relaxed(t)), "keep:", "  lan: {minio: {endpoint: https://m, bucket: b, secret_key_file: key, access_key: $a}}\nkeep:", 1)
	c, err := configs.Parse("x.yaml", []byte(text), configs.Checks{})
	if err != nil {
		t.Fatal(err)
	}
	if m := c.Targets[1].MinIO; m.SecretKeyFile != "/run/credentials/offsite/key" || m.AccessKey.Reveal() != "$a" {
		t.Errorf("%+v", m)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(configs.Example))
	f.Add("a: [")
	f.Add("watch: [{path: 1}]\ntargets: {a: {dir: {}}}")
	f.Add("&a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := configs.Parse("x.yaml", []byte(text), configs.Checks{}); err != nil && err.Error() == "" {
			t.Error("a mistake without words")
		}
	})
}

func TestPlaces(t *testing.T) {
	t.Chdir("/tmp")
	for _, c := range []struct{ place, want string }{
		{"/mnt/nas", "  t:\n    dir:\n      path: \"/mnt/nas\"\n"},
		{"nas", "  t:\n    dir:\n      path: \"/tmp/nas\"\n"},
		{"s3://b/a/c?region=eu-central-1", "  t:\n    s3:\n      bucket: \"b\"\n      prefix: \"a/c\"\n      region: \"eu-central-1\"\n"},
		{"s3+https://m:9000/b?path_style=true&secret_key_file=key", "  t:\n    minio:\n      endpoint: \"https://m:9000\"\n      bucket: \"b\"\n      secret_key_file: \"/tmp/key\"\n      path_style: true\n"},
		{"sftp://u@h/p/q?idle_timeout=2m&host_key=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "  t:\n    sftp:\n      host: \"h\"\n      user: \"u\"\n      path: \"p/q\"\n" +
			"      host_key:\n        - \"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n      idle_timeout: 2m0s\n"},
		{"sftp://u@[::1]:2222//p", "  t:\n    sftp:\n      host: \"::1\"\n      port: 2222\n      user: \"u\"\n      path: \"/p\"\n"},
	} {
		target, err := configs.ParsePlace(c.place, nil)
		target.Name = "t"
		if err != nil || target.YAML() != c.want {
			t.Errorf("%s: %v\n%swant\n%s", c.place, err, target.YAML(), c.want)
			continue
		}
		text := strings.Replace(string(relaxed(t)), "keep:", target.YAML()+"keep:", 1)
		read, err := configs.Parse("x.yaml", []byte(text), configs.Checks{})
		if err != nil || !reflect.DeepEqual(read.Targets[1], target) {
			t.Errorf("%s: reads back as %+v, %v", c.place, read, err)
		}
	}
	for place, want := range map[string]string{
		"ftp://h/p": "write a directory", "sftp://u:hunter2@h/p": "password_file", "s3://b?secret_key=hunter2": "secret_key_file=/path",
		"s3://b?bukket=c": "has no bukket", "sftp://h/p": "user: is missing", "s3+https://h": "bucket: is missing", "s3://%zz": "write a directory",
	} {
		if _, err := configs.ParsePlace(place, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2@") {
			t.Errorf("%s: %v, want %s", place, err, want)
		}
	}
}
