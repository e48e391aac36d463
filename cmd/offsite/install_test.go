package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offsite/crypto"
)

// planted is a root directory with a configuration in it, for install.
func planted(t *testing.T, config string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, dir := range []string{"etc/offsite/credentials", "srv/dumps", "mnt/nas/backups"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, recipient, err := crypto.GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	text := "host: db-server\nwatch: [{path: /home/statex/backups}, {path: /srv/dumps, name: b}]\nrecipients: [" + recipient + "]\n" + config
	text = strings.Replace(text, "{path: /home/statex/backups}", "{path: /home/statex/backups, name: a}", 1)
	if err := os.WriteFile(filepath.Join(root, "etc/offsite/offsite.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// installs runs the command in a root directory, with the rest of its line, and gives what it said.
func installs(t *testing.T, want int, root string, more ...string) string {
	t.Helper()
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"--config", "/etc/offsite/offsite.yaml", "install", "--root", root}, more...), streams{nil, &out, &errs}); code != want {
		t.Fatalf("exit code %d, want %d: %s", code, want, errs.String())
	}
	return errs.String()
}

// laid are the files below a directory, but for those that planted made.
func laid(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if err == nil && !d.IsDir() && !strings.HasPrefix(rel, "etc/offsite/") {
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const nasAndShore = `targets:
  nas: {dir: {path: /mnt/nas/backups}}
  shore: {sftp: {host: shore, user: backup, path: db, key_file: shore-key, known_hosts: /var/lib/hosts/known, host_key: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx"]}}
`

func TestInstallAndUndo(t *testing.T) {
	root := planted(t, strings.Replace(nasAndShore, `, host_key: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx"]`, "", 1))
	if said := installs(t, exitUsage, root); !strings.Contains(said, "credential shore-key") || len(laid(t, root)) > 0 {
		t.Errorf("without the credential: %s %q", said, laid(t, root))
	}
	if err := os.WriteFile(filepath.Join(root, "etc/offsite/credentials/shore-key"), []byte("a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := installs(t, 0, root, "--dry-run"); !strings.Contains(said, "writes "+root+"/etc/systemd/system/offsite.service\n") || len(laid(t, root)) > 0 {
		t.Errorf("a dry run: %s %q", said, laid(t, root))
	}
	said := installs(t, 0, root)
	for _, file := range []string{"etc/sysusers.d/offsite.conf", "etc/tmpfiles.d/offsite.conf", "etc/systemd/system/offsite.service", "etc/systemd/system/offsite-drill.timer", "usr/local/bin/offsite"} {
		if !exists(filepath.Join(root, file)) || !strings.Contains(said, filepath.Join(root, file)) {
			t.Errorf("%s is missing, or install does not say that it writes it: %s", file, said)
		}
	}
	unit, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/offsite.service"))
	if err != nil || !bytes.Contains(unit, []byte("\nExecStart=/usr/local/bin/offsite agent\n")) || !bytes.Contains(unit, []byte(copiedProgram)) {
		t.Errorf("the unit: %v\n%s", err, unit)
	}
	drop, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/offsite.service.d", dropInName))
	for _, line := range []string{`BindReadOnlyPaths="-/home/statex/backups"`, `BindReadOnlyPaths="-/srv/dumps"`, `BindPaths="-/mnt/nas/backups"`, `BindReadOnlyPaths="-/var/lib/hosts/known"`, "LoadCredential=shore-key:/etc/offsite/credentials/shore-key", "ProtectHome=tmpfs"} {
		if !bytes.Contains(drop, []byte("\n"+line+"\n")) {
			t.Errorf("no %q in the drop-in: %v\n%s", line, err, drop)
		}
	}
	drill, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/offsite-drill.service.d", dropInName))
	if err != nil || bytes.Contains(drill, []byte("/home/statex")) || !bytes.Contains(drill, []byte("LoadCredential=shore-key")) {
		t.Errorf("drills see %v\n%s", err, drill)
	}
	if said := installs(t, 0, root); strings.Contains(said, "writes") {
		t.Errorf("there was nothing to do: %s", said)
	}
	own := filepath.Join(root, "etc/systemd/system/offsite.service.d/90-own.conf")
	if err := os.WriteFile(own, []byte("[Service]\nNice=19\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	installs(t, 0, root, "--undo", "--dry-run")
	if len(laid(t, root)) < 10 {
		t.Errorf("a dry run has removed something: %q", laid(t, root))
	}
	installs(t, 0, root, "--undo")
	if left := laid(t, root); len(left) != 1 || !strings.HasSuffix(own, left[0]) {
		t.Errorf("undo left %q", left)
	}
}

// A key of drills that is sealed takes the place of the one that the unit asks for, and goes to nothing else.
func TestInstallTakesASealedKeyOfDrills(t *testing.T) {
	root := planted(t, "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n")
	if err := os.WriteFile(filepath.Join(root, "etc/offsite/credentials/drill-identity.cred"), []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	installs(t, 0, root)
	for unit, has := range map[string]bool{"offsite-drill.service": true, "offsite.service": false, "offsite-alarm@.service": false} {
		drop, err := os.ReadFile(filepath.Join(root, "etc/systemd/system", unit+".d", dropInName))
		for _, lines := range []string{
			"\nConditionPathExists=\nConditionPathExists=/etc/offsite/credentials/drill-identity.cred\n[Service]\n",
			"\nLoadCredential=\nLoadCredentialEncrypted=drill-identity:/etc/offsite/credentials/drill-identity.cred\n",
		} {
			if err != nil || bytes.Contains(drop, []byte(lines)) != has {
				t.Errorf("%s: %v\n%s", unit, err, drop)
			}
		}
	}
}

// What somebody else has put there is neither written over nor removed, and with a package its units are used.
func TestInstallLeavesAloneWhatIsNotItsOwn(t *testing.T) {
	const nas = "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n"
	for _, file := range []string{"etc/systemd/system/offsite.service", "etc/systemd/system/offsite.service.d/" + dropInName, "usr/local/bin/offsite"} {
		root := planted(t, nas)
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("[Service]\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if said := installs(t, exitUsage, root); !strings.Contains(said, path) {
			t.Errorf("%s: %s", file, said)
		}
		installs(t, 0, root, "--undo")
		if left := laid(t, root); len(left) != 1 {
			t.Errorf("%s: there are %q", file, left)
		}
	}
	root := planted(t, nas)
	unit := filepath.Join(root, packageUnit)
	if err := os.MkdirAll(filepath.Dir(unit), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	installs(t, 0, root)
	for _, file := range laid(t, root) {
		if file != strings.TrimPrefix(packageUnit, "/") && !strings.HasSuffix(file, dropInName) {
			t.Errorf("with the package, %s was written", file)
		}
	}
}

// A configuration that is wrong is no service, and a host without systemd has no use for one.
func TestInstallRefuses(t *testing.T) {
	root := planted(t, "targets: {}\n")
	if said := installs(t, exitUsage, root); !strings.Contains(said, "targets") || len(laid(t, root)) > 0 {
		t.Error(said)
	}
	if exists("/run/systemd/system") {
		return // this host has one
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"install"}, streams{nil, &out, &errs}); code != exitFailed || !strings.Contains(errs.String(), "systemd does not run this host") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

// The service does not see the store of credentials: one that is named by its path there it gets by name, and one deeper down is refused.
func TestInstallOfCredentialsByTheirPath(t *testing.T) {
	const store = "/etc/offsite/credentials/"
	for _, c := range []struct{ named, there, want string }{
		{store + "shore-key", store + "shore-key", "LoadCredential=shore-key:" + store + "shore-key"},
		{store + "shore-key.cred", store + "shore-key.cred", "LoadCredentialEncrypted=shore-key:" + store + "shore-key.cred"},
		{store + "keys/shore-key", store + "keys/shore-key", ""},
	} {
		root := planted(t, strings.Replace(nasAndShore, "key_file: shore-key, known_hosts: /var/lib/hosts/known,", "key_file: "+c.named+",", 1))
		makes(t, root, c.there)
		want := 0
		if c.want == "" {
			want = exitUsage
		}
		said := installs(t, want, root)
		drop, _ := os.ReadFile(filepath.Join(root, unitDir, "offsite.service.d", dropInName))
		if c.want == "" && (!strings.Contains(said, "write its name alone, shore-key") || len(laid(t, root)) > 0) || !strings.Contains(string(drop), c.want) {
			t.Errorf("%s: %s\n%s", c.named, said, drop)
		}
	}
}

// A program that lies where install would copy it to is the one to run. Where a group may change it, install says so; everybody may not.
func TestInstallOfTheProgramInItsPlace(t *testing.T) {
	for mode, want := range map[os.FileMode]string{0o755: "", 0o775 | os.ModeSetgid: "warning: the group ", 0o777: "chmod o-w "} {
		root := planted(t, "targets: {nas: {dir: {path: /mnt/nas/backups}}}\n")
		program := filepath.Join(root, programCopy)
		makes(t, root, programCopy)
		bin := filepath.Dir(program)
		if err := errors.Join(os.Chown(bin, -1, 50), os.Chmod(bin, mode)); err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		in := &installing{config: "/etc/offsite/offsite.yaml", root: root, program: program, std: streams{nil, &errs, &errs}}
		t.Setenv("CREDENTIALS_DIRECTORY", "")
		err := in.install(t.Context())
		said := fmt.Sprint(errs.String(), err)
		if (err == nil) != (mode != 0o777) || want == "" && strings.Contains(said, "chmod") || !strings.Contains(said, want) || want != "" && !strings.Contains(said, bin) {
			t.Errorf("mode %v: %s", mode, said)
		}
		if err != nil {
			continue
		}
		unit, err := os.ReadFile(filepath.Join(root, unitDir, "offsite.service"))
		if err != nil || !bytes.Contains(unit, []byte("\nExecStart="+programCopy+" agent\n")) || bytes.Contains(unit, []byte(copiedProgram)) {
			t.Errorf("mode %v: %v\n%s", mode, err, unit)
		}
	}
}
