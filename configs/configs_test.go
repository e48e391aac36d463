package configs_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"offsite/configs"
	"offsite/providers"
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
	if c.Host != "db-server" || c.Keep.Yearly != configs.Forever || c.Targets[0].Retention != "enforce" || c.Memory != 96<<20 || c.SigningKey != "/etc/offsite/signing.key" || c.Targets[0].Name != "nas" {
		t.Errorf("%+v", c)
	}
}

// Every key of the configuration is in the example, set or commented out, and what is commented out is right: with the
// signs gone, every kind of target is there and only what excludes something else is refused.
func TestTheExampleNamesEveryKey(t *testing.T) {
	for _, key := range keysOf(reflect.TypeFor[configs.Config]()) {
		if !strings.Contains(string(configs.Example), key+":") {
			t.Errorf("the example does not have %s", key)
		}
	}
	commented := regexp.MustCompile(`(?m)^( *)#((?:  )*#?[a-z_0-9]+:.*|(?:  )+- .+)$`) // sentences have a space first
	text := relaxed(t)
	for range 2 { // comments within what is commented out
		text = commented.ReplaceAll(text, []byte("$1$2"))
	}
	_, err := configs.Parse("example.yaml", text, configs.Checks{})
	var mistakes *configs.Error
	if !errors.As(err, &mistakes) {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, m := range mistakes.Mistakes {
		if !strings.Contains(m.Problem, "is given beside") && !strings.Contains(m.Problem, "is given twice") {
			t.Errorf("line %d: %s: %s\n%s", m.Line, m.Key, m.Problem, text)
		}
	}
}

func keysOf(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[providers.Secret]() {
		return nil
	}
	for f := range t.Fields() {
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			keys = append(append(keys, key), keysOf(f.Type)...)
		}
	}
	return keys
}

var update = flag.Bool("update", false, "write what each mistake in testdata/bad is answered with now")

// checks stand in for those of the packages that know better, which this package does not import.
var checks = configs.Checks{
	Recipient: func(s string) error {
		if len(s) != 62 || !strings.HasPrefix(s, "age1") {
			return errors.New("not a public key")
		}
		return nil
	},
	Verifier: func(s string) error { return errors.New("not a verifier key") },
	Way: func(s string) error {
		if strings.HasPrefix(s, "slakc:") {
			return errors.New("begins with slakc://, which is no service; there are slack, smtp")
		}
		return nil
	},
	Hook: func(s string) error {
		if strings.HasPrefix(s, "http:") {
			return errors.New("is not encrypted")
		}
		return nil
	},
	HookSecret: func(string) error { return errors.New("should be whsec_ and base64") },
	Age: func(s string) error {
		if !strings.HasSuffix(s, "d") {
			return errors.New("should be a length of time")
		}
		return nil
	},
	Pattern: func(s string) error {
		if !strings.Contains(s, "{series}") {
			return errors.New("has no {series}")
		}
		return nil
	},
}

// Each file in testdata/bad is named after its one mistake, and beside it stands the whole answer.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = configs.Parse("offsite.yaml", text, checks)
			if err == nil {
				t.Fatal("no mistake was found")
			}
			got := err.Error() + "\n"
			answer := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(answer, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(answer); err != nil || got != string(want) {
				t.Errorf("answered with\n%swant\n%s(%v)", got, want, err)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the answer shows a secret")
			}
		})
	}
}

func TestARelativeSecretFileIsACredential(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/offsite")
	// Named by its path in the store, which the service does not see, it is the same one.
	for _, file := range []string{"key", "/etc/offsite/credentials/key", "/etc/offsite//credentials/key.cred"} {
		text := strings.Replace(string(relaxed(t)), "\nkeep:", "\n"+"  lan: {minio: {endpoint: https://m, bucket: b, secret_key_file: "+file+", access_key: $a}}\nkeep:", 1)
		text += "alarms: {ways: {chat: {url_file: " + file + "}}}\n"
		c, err := configs.Parse("x.yaml", []byte(text), configs.Checks{})
		if err != nil {
			t.Fatal(err)
		}
		if m := c.Targets[1].MinIO; m.SecretKeyFile != "/run/credentials/offsite/key" || m.AccessKey.Reveal() != "$a" {
			t.Errorf("%s: %+v", file, m)
		}
		if w := c.Alarms.Ways[0]; w.URLFile != "/run/credentials/offsite/key" {
			t.Errorf("%s: %+v", file, w)
		}
	}
}

func TestAlarms(t *testing.T) {
	c, err := configs.Parse("x.yaml", relaxed(t), checks)
	if err != nil || c.Alarms.Grace != time.Hour || c.Alarms.Repeat != 24*time.Hour {
		t.Fatalf("without any: %+v, %v", c, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/offsite")
	text := string(relaxed(t)) + `
alarms:
  grace: 0s
  ways:
    mail: {url: "smtp://$u:hunter2@mail/?to=a"}
    chat: {url_file: chat, level: problem}
    hook: {webhook: {url_file: hook, secret_file: /etc/s}}
    page: {command: [/bin/tell, --now]}
  pings:
    - {series: "shop*", url_file: hc}
    - {alive: 5m, url: https://hc-ping.com/hunter2}
`
	if c, err = configs.Parse("x.yaml", []byte(text), checks); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range c.Alarms.Ways {
		names = append(names, w.Name)
	}
	w, p := c.Alarms.Ways, c.Alarms.Pings
	if got := strings.Join(names, " "); got != "mail chat hook page" || c.Alarms.Grace != 0 {
		t.Errorf("%s %+v", got, c.Alarms)
	}
	if w[0].URL.Reveal() != "smtp://$u:hunter2@mail/?to=a" || w[1].URLFile != "/run/credentials/offsite/chat" || w[1].Level != "problem" ||
		w[2].Webhook.URLFile != "/run/credentials/offsite/hook" || w[2].Webhook.SecretFile != "/etc/s" || len(w[3].Command) != 2 ||
		p[0].Series != "shop*" || p[0].URLFile != "/run/credentials/offsite/hc" || p[1].Alive != 5*time.Minute {
		t.Errorf("%+v", c.Alarms)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", c, c), "hunter2") {
		t.Error("a secret is printed")
	}
}

// Without the key there is no view of the fleet; how often it is read has a default, which zero is not.
func TestFleet(t *testing.T) {
	for text, want := range map[string]*configs.Fleet{
		"":                                   nil,
		"fleet: {target: nas}":               {Target: "nas", Every: 15 * time.Minute},
		"fleet: {target: nas, every: 1m}":    {Target: "nas", Every: time.Minute},
		"fleet: {target: nas, every: 1h30m}": {Target: "nas", Every: 90 * time.Minute},
	} {
		c, err := configs.Parse("x.yaml", append(relaxed(t), "\n"+text+"\n"...), configs.Checks{})
		if err != nil || !reflect.DeepEqual(c.Fleet, want) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	for _, text := range []string{"fleet: {target: nas, every: 0s}", "fleet: {target: nas, every: 59s}", "fleet: {}", "fleet: {target: lan}"} {
		if _, err := configs.Parse("x.yaml", append(relaxed(t), "\n"+text+"\n"...), configs.Checks{}); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(configs.Example))
	f.Add("a: [")
	f.Add("watch: [{path: 1}]\ntargets: {a: {dir: {}}}")
	f.Add("&a [*a]")
	f.Add("alarms: {repeat: 1s, ways: {a: {url: x, url_file: y}, b: {webhook: {}}}, pings: [{alive: 1s}]}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := configs.Parse("x.yaml", []byte(text), configs.Checks{}); err != nil && err.Error() == "" {
			t.Error("a mistake without words")
		}
	})
}

func TestPlaces(t *testing.T) {
	t.Chdir("/tmp")
	for _, c := range []struct{ place, want string }{
		{"/mnt/other", "  t:\n    dir:\n      path: \"/mnt/other\"\n"},
		{"nas", "  t:\n    dir:\n      path: \"/tmp/nas\"\n"},
		{"s3://b/a/c?region=eu-central-1", "  t:\n    s3:\n      bucket: \"b\"\n      prefix: \"a/c\"\n      region: \"eu-central-1\"\n"},
		{"s3+https://m:9000/b?path_style=true&secret_key_file=key", "  t:\n    minio:\n      endpoint: \"https://m:9000\"\n      bucket: \"b\"\n      secret_key_file: \"/tmp/key\"\n      path_style: true\n"},
		{"sftp://u@h/p/q?idle_timeout=2m&host_key=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "  t:\n    sftp:\n      host: \"h\"\n      user: \"u\"\n      path: \"p/q\"\n" +
			"      host_key:\n        - \"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n      idle_timeout: 2m0s\n"},
		{"s3://b?retention=off", "  t:\n    retention: off\n    s3:\n      bucket: \"b\"\n"},
		{"sftp://u@[::1]:2222//p", "  t:\n    sftp:\n      host: \"::1\"\n      port: 2222\n      user: \"u\"\n      path: \"/p\"\n"},
	} {
		target, err := configs.ParsePlace(c.place, nil)
		target.Name = "t"
		if err != nil || target.YAML() != c.want {
			t.Errorf("%s: %v\n%swant\n%s", c.place, err, target.YAML(), c.want)
			continue
		}
		text := strings.Replace(string(relaxed(t)), "\nkeep:", "\n"+target.YAML()+"keep:", 1)
		read, err := configs.Parse("x.yaml", []byte(text), configs.Checks{})
		target.Retention = cmp.Or(target.Retention, "enforce")
		if err != nil || !reflect.DeepEqual(read.Targets[1], target) {
			t.Errorf("%s: reads back as %+v, %v", c.place, read, err)
		}
	}
	for place, want := range map[string]string{
		"ftp://h/p": "write a directory", "sftp://u:hunter2@h/p": "password_file", "s3://b?secret_key=hunter2": "secret_key_file=/path",
		"s3://b?bukket=c": "has no bukket", "sftp://h/p": "user: is missing", "s3+https://h": "bucket: is missing", "s3://%zz": "write a directory", "s3://b?retention=no": "should be enforce, report, off",
	} {
		if _, err := configs.ParsePlace(place, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2@") {
			t.Errorf("%s: %v, want %s", place, err, want)
		}
	}
}

func TestWhichPolicyCounts(t *testing.T) {
	text := strings.Replace(string(relaxed(t)), "\nkeep:\n", "\n  usb:\n    dir: {path: /mnt/usb}\n    keep: {monthly: 3}\nseries:\n"+
		"  - {match: big, targets: [usb], keep: {yearly: 1}}\n  - {match: \"big*\", keep: {weekly: 2, min_keep: 1}}\nkeep:\n", 1)
	c, err := configs.Parse("x.yaml", []byte(text), configs.Checks{})
	if err != nil {
		t.Fatal(err)
	}
	nas, usb := c.Targets[0], c.Targets[1]
	for _, k := range []struct {
		target configs.Target
		series string
		want   configs.Keep
	}{
		{nas, "shop", configs.Keep{Daily: 7, Weekly: 4, Monthly: 12, Yearly: configs.Forever}},
		{usb, "shop", configs.Keep{Monthly: 3}},
		{usb, "big", configs.Keep{Yearly: 1}},
		{nas, "big", configs.Keep{Weekly: 2}},
		{nas, "bigger", configs.Keep{Weekly: 2}},
		{nas, "bigger/one", configs.Keep{Daily: 7, Weekly: 4, Monthly: 12, Yearly: configs.Forever}},
	} {
		got := *c.KeepFor(k.target, k.series)
		got.MinKeep = nil
		if got != k.want {
			t.Errorf("%s on %s: %+v, want %+v", k.series, k.target.Name, got, k.want)
		}
	}
}

func TestExpect(t *testing.T) {
	text := string(relaxed(t)) + `
series:
  - {match: "scratch*", keep: {daily: 3}, expect: never}
  - {match: shop, expect: 26h}
  - {match: "s*", expect: 8d}
`
	c, err := configs.Parse("offsite.yaml", []byte(text), checks)
	if err != nil {
		t.Fatal(err)
	}
	for series, want := range map[string]time.Duration{"scratch1": time.Duration(configs.Silent), "shop": 26 * time.Hour, "site": 8 * 24 * time.Hour, "other": 0} {
		if got := time.Duration(c.ExpectFor(series)); got != want {
			t.Errorf("%s: %s, want %s", series, got, want)
		}
	}
	if got := c.ExpectedSeries(); !slices.Equal(got, []string{"shop"}) {
		t.Errorf("%q", got)
	}
	if k := c.KeepFor(c.Targets[0], "shop"); k.Yearly != configs.Forever {
		t.Errorf("a rule without keep says what is kept: %+v", k)
	}
}

// A recovery kit may be forged, to have a file of whoever opens it sent somewhere as a password: all files that it names lie in it.
func TestAKitNamesNoFileOutsideOfIt(t *testing.T) {
	const root = "/tmp/offsite-kit-1/files"
	for given, want := range map[string]string{
		"/etc/offsite/key": root + "/etc/offsite/key", "key": root + "/key", "../../../etc/shadow": root + "/etc/shadow", "/../../../etc/shadow": root + "/etc/shadow",
		"/etc/../../../etc/shadow": root + "/etc/shadow", "..": root,
	} {
		text := bytes.ReplaceAll([]byte(`host: h
watch: [{path: /w}]
recipients: [age1x]
targets:
  a: {sftp: {host: evil.example.org, user: u, path: p, password_file: FILE, known_hosts: FILE}}
`), []byte("FILE"), []byte(given))
		c, err := configs.Parse("kit.txt", text, configs.Checks{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Targets[0].SFTP; got.PasswordFile != want || got.KnownHosts != want {
			t.Errorf("%s: %s, %s", given, got.PasswordFile, got.KnownHosts)
		}
	}
}
