package packaging

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entry is a file or directory of a package: its mode as ls shows it, and its owner.
type entry struct{ mode, owner string }

// contentsOfDeb lists what dpkg would install, directories without their slash.
func contentsOfDeb(t *testing.T, deb string) map[string]entry {
	all := map[string]entry{}
	for line := range strings.Lines(run(t, exec.Command("dpkg-deb", "-c", deb))) {
		f := strings.Fields(line)
		all[strings.TrimSuffix(strings.TrimPrefix(f[5], "."), "/")] = entry{f[0], f[1]}
	}
	delete(all, "")
	return all
}

func contentsOfRPM(t *testing.T, rpm string) map[string]entry {
	all := map[string]entry{}
	out := run(t, exec.Command("rpm", "-qp", "--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]`, rpm))
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		all[f[2]] = entry{f[0], f[1]}
	}
	return all
}

// wanted is what a user looks for in a package.
var wanted = []string{
	"/usr/bin/offsite", "/usr/share/doc/offsite/copyright", "/usr/share/doc/offsite/CHANGELOG.md.gz", "/usr/share/doc/offsite/README.md",
	"/usr/share/doc/offsite/format.md", "/usr/share/doc/offsite/examples/offsite.yaml", "/usr/share/doc/offsite/examples/alerts.yaml",
	"/usr/share/man/man1/offsite.1.gz", "/usr/share/man/man1/offsite-restore.1.gz", "/usr/share/man/man5/offsite.yaml.5.gz",
	"/usr/share/man/man7/offsite-format.7.gz", "/usr/share/bash-completion/completions/offsite", "/usr/share/fish/vendor_completions.d/offsite.fish",
	"/usr/lib/systemd/system/offsite.service", "/usr/lib/sysusers.d/offsite.conf", "/usr/lib/tmpfiles.d/offsite.conf",
}

// ofDebian are for Debian's own tools.
var ofDebian = []string{"/etc/offsite", "/usr/share/doc/offsite/changelog.gz", "/usr/share/lintian", "/usr/share/lintian/overrides", "/usr/share/lintian/overrides/offsite"}

func contents(t *testing.T, deb, rpm string) {
	inDeb, inRPM := contentsOfDeb(t, deb), contentsOfRPM(t, rpm)
	for path, completion := range map[string]map[string]entry{"/usr/share/zsh/vendor-completions/_offsite": inDeb, "/usr/share/zsh/site-functions/_offsite": inRPM} {
		if completion[path] != (entry{"-rw-r--r--", "root/root"}) {
			t.Errorf("%s is %+v", path, completion[path])
		}
	}
	units, err := filepath.Glob("../../systemd/*.*")
	if err != nil || len(units) < 8 {
		t.Fatalf("units: %q, %v", units, err)
	}
	all := slices.Clone(wanted)
	for _, u := range units {
		if filepath.Ext(u) != ".go" && filepath.Ext(u) != ".d" {
			all = append(all, "/usr/lib/systemd/system/"+filepath.Base(u))
		}
	}
	for kind, in := range map[string]map[string]entry{"deb": inDeb, "rpm": inRPM} {
		for _, path := range all {
			if _, ok := in[path]; !ok {
				t.Errorf("the %s lacks %s", kind, path)
			}
		}
		for path, e := range in {
			if want := modeOf(path, e); e != want {
				t.Errorf("the %s has %s as %+v, want %+v", kind, path, e, want)
			}
			if strings.HasPrefix(path, "/etc/") && path != "/etc/offsite" {
				t.Errorf("the %s has %s: a configuration that the user did not write", kind, path)
			}
			if strings.Contains(path, "/zsh/") || kind == "deb" && slices.Contains(ofDebian, path) {
				continue
			}
			if _, other := inRPM[path]; kind == "deb" && !other && e.mode[0] == '-' {
				t.Errorf("the rpm lacks %s of the deb", path)
			}
			if _, other := inDeb[path]; kind == "rpm" && !other {
				t.Errorf("the deb lacks %s of the rpm", path)
			}
		}
	}
	for _, path := range ofDebian {
		if _, ok := inDeb[path]; !ok {
			t.Errorf("the deb lacks %s", path)
		}
	}
	scripts(t, deb, rpm)
	if fields := run(t, exec.Command("dpkg-deb", "-f", deb, "Package", "Version", "Architecture", "Section")); fields != "Package: offsite\nVersion: "+version+"\nSection: admin\nArchitecture: amd64\n" &&
		fields != "Package: offsite\nVersion: "+version+"\nArchitecture: amd64\nSection: admin\n" {
		t.Errorf("the deb is of\n%s", fields)
	}
}

func modeOf(path string, e entry) entry {
	switch {
	case path == "/etc/offsite":
		return entry{"drwxr-x---", "root/root"} // the scripts give it to the group, which is not there before
	case e.mode[0] == 'd':
		return entry{"drwxr-xr-x", "root/root"}
	case path == "/usr/bin/offsite":
		return entry{"-rwxr-xr-x", "root/root"}
	}
	return entry{"-rw-r--r--", "root/root"}
}

// scripts looks whether the scripts of the packages are there, and are such that a shell understands them.
func scripts(t *testing.T, deb, rpm string) {
	dir := t.TempDir()
	run(t, exec.Command("dpkg-deb", "-e", deb, dir))
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		run(t, exec.Command("sh", "-n", filepath.Join(dir, name)))
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, tag := range []string{"POSTIN", "PREUN", "POSTUN"} {
		text := run(t, exec.Command("rpm", "-qp", "--queryformat", "%{"+tag+"}", rpm))
		cmd := exec.Command("sh", "-n")
		cmd.Stdin = strings.NewReader(text)
		run(t, cmd)
		if len(text) < 100 {
			t.Errorf("the rpm has as %s only %q", tag, text)
		}
	}
}

// Everything that is linked is in the copyright file, under licences whose texts follow.
func copyright(t *testing.T, program, root string) {
	text := read(t, filepath.Join(root, "usr/share/doc/offsite/copyright"))
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range info.Deps {
		if !strings.Contains(text, "\n"+d.Path+" "+d.Version+": ") {
			t.Errorf("the copyright file lacks %s %s", d.Path, d.Version)
		}
	}
	for _, want := range []string{"Go's standard library, " + strings.TrimPrefix(info.GoVersion, "go"), "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION",
		"Copyright 2019 The age Authors", "THE SOFTWARE IS PROVIDED \"AS IS\""} {
		if !strings.Contains(text, want) {
			t.Errorf("the copyright file lacks %q", want)
		}
	}
}

// Every command that help shows has a page, and every page renders without a word of warning from either program that shows pages.
func manualPages(t *testing.T, root string) {
	offsite := filepath.Join(root, "usr/bin/offsite")
	_, help, _ := strings.Cut(run(t, exec.Command(offsite, "--help")), "Available Commands:\n")
	help, _, _ = strings.Cut(help, "\n\n")
	for line := range strings.Lines(help) {
		name := strings.Fields(line)[0]
		if _, err := os.Stat(filepath.Join(root, "usr/share/man/man1/offsite-"+name+".1.gz")); err != nil && name != "help" {
			t.Errorf("offsite %s has no page: %v", name, err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "usr/share/man/man*/*.gz"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".gz")
		for _, width := range []string{"80", "120"} {
			cmd := exec.Command("man", "--warnings", "-l", page)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH="+width, "MANROFFSEQ=t")
			var warnings strings.Builder
			cmd.Stderr = &warnings
			out, err := cmd.Output()
			if err != nil || warnings.Len() > 0 {
				t.Errorf("man %s, %s wide: %v\n%s", name, width, err, &warnings)
			}
			if title := strings.TrimSuffix(name, filepath.Ext(name)); !strings.Contains(string(out), title+" - ") {
				t.Errorf("%s does not say what it is about", name)
			}
		}
		cmd := exec.Command("sh", "-c", `zcat "$1" | mandoc -T lint -W warning`, "lint", page)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("mandoc %s: %v\n%s", name, err, out)
		}
	}
}

// Each shell takes its file, and offers by it what the program offers.
func completions(t *testing.T, root string) {
	path := "PATH=" + filepath.Join(root, "usr/bin") + ":" + os.Getenv("PATH")
	share := filepath.Join(root, "usr/share")
	for _, shell := range []struct {
		name, script string
		args         []string
	}{
		{"bash", `. /usr/share/bash-completion/bash_completion
. "` + share + `/bash-completion/completions/offsite"
COMP_LINE='offsite ver' COMP_POINT=11 COMP_WORDS=(offsite ver) COMP_CWORD=1
` + "$(complete -p offsite | sed 's/.*-F \\([^ ]*\\).*/\\1/')" + ` offsite ver offsite
printf '%s\n' "${COMPREPLY[@]}"`, []string{"--norc", "-c"}},
		{"fish", `source "` + share + `/fish/vendor_completions.d/offsite.fish"; complete -C 'offsite ver'`, []string{"--no-config", "-c"}},
	} {
		cmd := exec.Command(shell.name, append(shell.args, shell.script)...)
		cmd.Env = append(os.Environ(), path, "HOME="+t.TempDir(), "OFFSITE_CONFIG=/nowhere.yaml")
		out := run(t, cmd)
		if !strings.Contains(out, "verify") || !strings.Contains(out, "version") || strings.Contains(out, "restore") {
			t.Errorf("%s offers for `offsite ver`:\n%s", shell.name, out)
		}
	}
	zsh := exec.Command("zsh", "-f", "-c", fmt.Sprintf(`fpath=("%s/zsh/vendor-completions" $fpath); autoload -Uz compinit; compinit -u -D; autoload -Uz +X _offsite; print $_comps[offsite]`, share))
	zsh.Env = append(os.Environ(), "HOME="+t.TempDir())
	if out := run(t, zsh); out != "_offsite\n" {
		t.Errorf("zsh completes offsite by %q", out)
	}
}
