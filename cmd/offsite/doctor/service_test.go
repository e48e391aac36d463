package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offsite/configs"
	"offsite/providers/dir"
)

func TestParseUnit(t *testing.T) {
	u := parseUnit(nil, []byte("# ReadWritePaths=/comment\n[Service]\nReadWritePaths=/a -/b\\\n /c\nReadWritePaths=/d\nUser=x\nUser=y\nProtectHome = read-only\n"))
	if u["ReadWritePaths"] != "/a -/b  /c /d" || u["User"] != "y" {
		t.Errorf("%q", u)
	}
	if got := (unit{properties: u}).paths("ReadWritePaths"); strings.Join(got, " ") != "/a /b /c /d" {
		t.Errorf("%q", got)
	}
	if u = parseUnit(u, []byte("ReadWritePaths=\nReadWritePaths=/e\n")); u["ReadWritePaths"] != "/e" {
		t.Errorf("an empty value begins the list anew: %q", u["ReadWritePaths"])
	}
}

// What systemctl 252 shows of a unit with spaces in its paths, and what the unit itself says.
func TestPathsWithSpaces(t *testing.T) {
	const files = "BindReadOnlyPaths=/usr -/bin\nBindReadOnlyPaths=\"-/srv/my dumps\"\nBindPaths=\"-/srv/my:/srv/x\" '/srv/a b'\nReadWritePaths=\"-/srv/my dumps\" /srv/other\n"
	const shown = "BindReadOnlyPaths=/usr:/usr:rbind -/bin:/bin:rbind -/srv/my dumps:/srv/my dumps:rbind\nBindPaths=-/srv/my:/srv/x:norbind /srv/a b:/srv/a b:rbind\nReadWritePaths=\"-/srv/my dumps\" /srv/other\n"
	for text, live := range map[string]bool{files: false, shown: true} {
		u := unit{properties: parseUnit(nil, []byte(text)), live: live}
		if got := strings.Join(u.paths("BindReadOnlyPaths", "BindPaths", "ReadWritePaths"), ","); got != "/usr,/bin,/srv/my dumps,/srv/x,/srv/a b,/srv/my dumps,/srv/other" {
			t.Errorf("live %v: %s", live, got)
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	f.Add("[Service]\nReadWritePaths=/a\\\n/b\nX==\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		u := unit{properties: parseUnit(nil, []byte(text))}
		u.paths("ReadWritePaths", "BindPaths")
	})
}

// The service says of a configuration only if it reads it: somebody tries another one beside it, say.
func TestTheServiceOfAnotherConfiguration(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.yaml")
	must(t, os.WriteFile(mine, nil, 0o600))
	must(t, os.Symlink(mine, filepath.Join(dir, "link.yaml")))
	must(t, os.MkdirAll(filepath.Join(dir, "usr/lib/systemd/system"), 0o755))
	for _, c := range []struct {
		lines, looked string
		reads         string // empty: the service reads what is looked at
	}{
		{"ExecStart=/usr/bin/offsite agent", configs.DefaultPath, ""},
		{"ExecStart=/usr/bin/offsite agent", mine, configs.DefaultPath},
		{"ExecStart=/usr/bin/offsite agent --config /mine.yaml", mine, ""},
		{"ExecStart=/usr/bin/offsite --config=/link.yaml agent", mine, ""},
		{"ExecStart={ path=/usr/bin/offsite ; argv[]=/usr/bin/offsite agent --config /gone.yaml; ignore_errors=no }", "/gone.yaml", ""},
		{"ExecStart=/usr/bin/offsite agent --config /gone.yaml", mine, "/gone.yaml"},
		{"ExecStart=/usr/bin/offsite agent\nEnvironment=OFFSITE_SANDBOX=1\nEnvironment=\"OFFSITE_CONFIG=/mine.yaml\"", mine, ""},
	} {
		must(t, os.WriteFile(filepath.Join(dir, "usr/lib/systemd/system/offsite.service"), []byte("[Service]\nProtectHome=yes\n"+c.lines+"\n"), 0o644))
		p := &Patient{Path: c.looked, Config: &configs.Config{State: dir, Watch: []configs.Watch{{Path: "/home/x"}}}, Machine: Machine{Root: dir}}
		u := p.unit(t.Context())
		if u.reads != c.reads || u.installed() != (c.reads == "") {
			t.Errorf("%q reads %q, want %q", c.lines, u.reads, c.reads)
		}
		text := fmt.Sprint(p.service(u).Checks)
		if told := strings.Contains(text, "reads "+c.reads+", and not this"); told != (c.reads != "") {
			t.Errorf("%q: %s", c.lines, text)
		}
		if hidden := strings.Contains(text, "ProtectHome"); hidden != (c.reads == "") {
			t.Errorf("%q: %s", c.lines, text)
		}
	}
}

// What systemd's settings mean for what the agent needs.
func TestSandbox(t *testing.T) {
	for _, c := range []struct {
		lines, watch, target string
		want                 string // part of the problem; empty: none
	}{
		{"", "/home/x/dumps", "/mnt/nas", ""},
		{"ProtectHome=yes", "/home/x/dumps", "/mnt/nas", "hidden from the service by ProtectHome=yes"},
		{"ProtectHome=tmpfs\nBindReadOnlyPaths=/home/x/dumps", "/home/x/dumps", "/mnt/nas", ""},
		{"ProtectHome=tmpfs", "/home/x/dumps", "/mnt/nas", "hidden"},
		{"ProtectHome=read-only", "/home/x/dumps", "/home/nas", "target nas /home/nas is read-only"},
		{"ProtectHome=read-only", "/home/x/dumps", "/mnt/nas", ""},
		{"ProtectHome=yes", "/srv/dumps", "/mnt/nas", ""},
		{"ProtectSystem=strict\nStateDirectory=offsite", "/srv/dumps", "/mnt/nas", "target nas /mnt/nas is read-only"},
		{"ProtectSystem=strict\nStateDirectory=offsite\nReadWritePaths=-/mnt", "/srv/dumps", "/mnt/nas", ""},
		{"ProtectSystem=strict\nReadWritePaths=/mnt", "/srv/dumps", "/mnt/nas", "the state directory /var/lib/offsite is read-only"},
		{"ProtectSystem=full", "/srv/dumps", "/mnt/nas", ""},
		{"ProtectSystem=full", "/srv/dumps", "/usr/nas", "read-only"},
		{"PrivateTmp=yes", "/tmp/dumps", "/mnt/nas", "hidden from the service by PrivateTmp"},
		{"InaccessiblePaths=/srv", "/srv/dumps", "/mnt/nas", "hidden"},
		{"ReadOnlyPaths=/mnt", "/srv/dumps", "/mnt/nas", "read-only"},
		{"InaccessiblePaths=/srvx", "/srv/dumps", "/mnt/nas", ""},
	} {
		root := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(root, "usr/lib/systemd/system"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "usr/lib/systemd/system/offsite.service"), []byte("[Service]\n"+c.lines+"\n"), 0o644))
		p := &Patient{Config: &configs.Config{State: "/var/lib/offsite", Watch: []configs.Watch{{Path: c.watch}}, Targets: []configs.Target{{Name: "nas", Dir: &dir.Config{Path: c.target}}}}}
		u := Machine{Root: root}.unit(t.Context())
		g := &Group{}
		p.sandbox(g, u)
		text := ""
		for _, check := range g.Checks {
			if check.Level != "ok" {
				text += check.Text + "\n"
			}
		}
		if !u.installed() || (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%q, %s, %s: %q, want %q", c.lines, c.watch, c.target, text, c.want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
