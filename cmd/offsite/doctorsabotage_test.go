package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"golang.org/x/sys/unix"

	"offsite/agent/status"
	"offsite/crypto"
)

// sabotage is one thing that is done to a good set-up, and what doctor must say of it.
type sabotage struct {
	name string
	do   func(p *patient)
	// The finding: its group and name, how bad it is, and parts of its text and of the remedy.
	group, check string
	level        status.Level
	text, remedy string
	// alone: nothing else is found.
	alone bool
}

var year = 365 * 24 * time.Hour

var sabotages = []sabotage{
	{"nobody is told of alarms", func(p *patient) { p.edit("\nalarms: {ways: {sh: {command: [\"true\"]}}}\n", "\n") },
		"backups", "ways", status.Warning, "nobody is told when something is wrong", "offsite alarm test", true},
	{"a series that is late", func(p *patient) {
		p.answer.Alarms = []status.Alarm{{Kind: status.KindOverdue, Level: status.Problem, Text: "series shop is overdue", Remedy: "look at the job that writes the dumps"}}
	}, "backups", "overdue", status.Problem, "series shop is overdue", "look at the job", true},
	{"the configuration can be written by all", func(p *patient) { must(p.t, os.Chmod(p.config, 0o666)) },
		"configuration", "config-mode", status.Problem, "others may write it (mode 0666)", "chmod 0644 ", true},
	{"secrets in a configuration that others read", func(p *patient) {
		p.edit(`secret_key_file: "`+p.path("etc/secret")+`"`, `secret_key: "`+p.store.SecretKey+`"`)
	}, "configuration", "config-mode", status.Problem, "it holds secrets, and others may read it", "chmod 600 ", true},
	{"a typo in the configuration", func(p *patient) { p.edit("\nkeep:", "\nkeeps:") },
		"configuration", "config", status.Problem, "keeps", "", false},
	{"a secret that others read", func(p *patient) { must(p.t, os.Chmod(p.path("etc/secret"), 0o644)) },
		"configuration", "secret-mode", status.Problem, "etc/secret, a secret of target lan (mode 0644)", "chmod 600 ", true},
	{"an old secret", func(p *patient) {
		must(p.t, os.Chtimes(p.path("etc/secret"), time.Time{}, time.Now().Add(-year-50*time.Hour)))
	}, "configuration", "secret-age", status.Warning, "is 367 days old", "make new keys for lan", true},
	{"the watched directory is missing", func(p *patient) { must(p.t, os.Rename(p.dumps, p.dumps+".old")) },
		"configuration", "config", status.Problem, "dumps cannot be read", "make the directory, or name the right one", false},
	{"the watched directory is empty", func(p *patient) { must(p.t, os.RemoveAll(p.dumps)); must(p.t, os.Mkdir(p.dumps, 0o755)) },
		"directories", "watch", status.Warning, "holds no dump", "is it the right directory", true},
	{"a dump that the agent's user cannot read", func(p *patient) {
		p.unit("User=nobody\nReadWritePaths=/")
		must(p.t, os.Chmod(filepath.Join(p.dumps, "shop_20261112_030001.sql"), 0o600))
	}, "directories", "watch", status.Problem, "nobody cannot read 1 entry there, such as " + "", "setfacl -R -m u:nobody:rX", false},
	{"the agent's user has no right to the state directory", func(p *patient) { p.unit("User=nobody\nReadWritePaths=/") },
		"directories", "state", status.Problem, "nobody cannot write to the state directory", "chown nobody ", false},
	{"the agent's user cannot read a secret", func(p *patient) { p.unit("User=nobody\nReadWritePaths=/") },
		"directories", "readable", status.Problem, "nobody cannot read ", "chown nobody ", false},
	{"the state directory is read-only", func(p *patient) { p.mount("ro,size=64m") },
		"directories", "state", status.Problem, "read-only file system", "mounted read-only", false},
	{"the state directory is full", func(p *patient) { p.mount("size=4m") },
		"directories", "state-free", status.Problem, "on a full disk nothing is shipped", "make room", false},
	{"the state directory is missing", func(p *patient) { must(p.t, os.RemoveAll(p.state)) },
		"directories", "state", status.Problem, "no such file or directory", "`offsite init` makes it", false},
	{"others look into the state directory", func(p *patient) { must(p.t, os.Chmod(p.state, 0o755)) },
		"directories", "state", status.Problem, "others have a way into the state directory", "chmod 700 ", true},
	{"the signing key is missing", func(p *patient) { must(p.t, os.Remove(p.path("etc/signing.key"))) },
		"keys", "signing-key", status.Problem, "is missing: nothing can be shipped", "put it back from a backup", true},
	{"the signing key can be read by others", func(p *patient) { must(p.t, os.Chmod(p.path("etc/signing.key"), 0o644)) },
		"keys", "signing-key", status.Problem, "others may read the signing key", "chmod 600 ", true},
	{"one recipient only", func(p *patient) {
		b, err := os.ReadFile(p.config)
		must(p.t, err)
		_, rest, _ := strings.Cut(string(b), "recipients:\n")
		first, _, _ := strings.Cut(rest, "\n")
		p.edit(first+"\n", "")
	}, "keys", "recipients", status.Warning, "for one key only", "make a second key on another machine", true},
	{"the recovery kit lies beside the configuration", func(p *patient) { p.write("etc/"+kitName, "x", 0o600) },
		"keys", "kit", status.Warning, "still lies on this host", "shred -u ", true},
	{"a secret key that opens the backups", func(p *patient) {
		secret, public, err := crypto.GenerateIdentity(false)
		must(p.t, err)
		p.edit("recipients:\n", "recipients:\n  - "+public+"\n")
		p.write("etc/notes.txt", "do not lose this!\n"+secret+"\n", 0o600)
	}, "keys", "identity", status.Warning, "etc/notes.txt holds a secret key that opens the backups", "move it off this host", true},
	{"the agent's user reads the drills' secret key", func(p *patient) { p.write("drills/identity", "x", 0o600) },
		"keys", "drill-identity", status.Warning, "can be read by root, whom the agent runs as", "LoadCredential=", true},
	{"inotify has too few watches", func(p *patient) {
		must(p.t, os.MkdirAll(filepath.Join(p.dumps, "a/b/c"), 0o755))
		p.write("root/proc/sys/fs/inotify/max_user_watches", "3\n", 0o644)
	}, "host", "inotify", status.Problem, "fs.inotify.max_user_watches is 3, and the watched directories are 4", "sysctl fs.inotify.max_user_watches=8192", true},
	{"everybody can make hard links", func(p *patient) { p.write("root/proc/sys/fs/protected_hardlinks", "0\n", 0o644) },
		"host", "hardlinks", status.Warning, "files into a watched directory that they may not read", "sysctl fs.protected_hardlinks=1", true},
	{"no time service", func(p *patient) { p.machine.Synced = func() (bool, bool) { return false, true } },
		"host", "ntp", status.Warning, "no time service", "timedatectl set-ntp true", true},
	{"no service", func(p *patient) { must(p.t, os.RemoveAll(p.path("root/etc"))) },
		"service", "unit", status.Warning, "nothing starts the agent", "`offsite install` makes and starts one", true},
	{"no agent runs", func(p *patient) { p.lock.Close() },
		"service", "running", status.Warning, "no agent runs", "systemctl start offsite", true},
	{"the sandbox hides the dumps", func(p *patient) { p.unit("PrivateTmp=yes\nInaccessiblePaths=-" + p.dumps) },
		"service", "sandbox", status.Problem, "is hidden from the service", "", false},
	{"the sandbox makes the state directory read-only", func(p *patient) { p.unit("ProtectSystem=strict\nReadWritePaths=" + p.nas) },
		"service", "sandbox", status.Problem, "is read-only for the service", "ReadWritePaths=/tmp/", true},
	{"a drop-in hides /home", func(p *patient) {
		must(p.t, os.MkdirAll("/home/offsite-doctor-test", 0o755))
		p.t.Cleanup(func() { os.RemoveAll("/home/offsite-doctor-test") })
		p.edit("path: \""+p.dumps+"\"", "path: /home/offsite-doctor-test")
		p.write("root/etc/systemd/system/offsite.service.d/home.conf", "[Service]\nProtectHome=yes\n", 0o644)
	}, "service", "sandbox", status.Problem, "is hidden from the service by ProtectHome=yes", "BindReadOnlyPaths=/home/offsite-doctor-test", false},
	{"a service that is not enabled", func(p *patient) {
		p.machine.Show = func(context.Context) (map[string]string, error) {
			return map[string]string{"LoadState": "loaded", "UnitFileState": "disabled", "ExecStart": "/usr/bin/offsite --config " + p.config + " agent"}, nil
		}
	}, "service", "enabled", status.Warning, "the service is disabled", "systemctl enable offsite", true},
	{"no drill", func(p *patient) {
		b, err := os.ReadFile(p.config)
		must(p.t, err)
		before, rest, _ := strings.Cut(string(b), "drills:\n")
		_, rest, _ = strings.Cut(rest, "\n\n")
		must(p.t, os.WriteFile(p.config, []byte(before+rest), 0o644))
	}, "drills", "drills", status.Warning, "there is no drill", "offsite drill --due", true},
	{"a drill that was never run", func(p *patient) { must(p.t, os.Remove(filepath.Join(p.state, "drills.json"))) },
		"drills", "drill", status.Warning, "drill shop was never run", "offsite drill shop", true},
	{"a drill that has failed", func(p *patient) {
		p.write("drills/identity", "", 0o600)
		p.run(1, "drill")
		must(p.t, os.RemoveAll(p.path("drills")))
	}, "drills", "drill", status.Problem, "drill shop of shop has failed", "offsite drill shop", true},
	{"a drill that is overdue", func(p *patient) { p.now = func() time.Time { return time.Now().AddDate(0, 0, 31) } },
		"drills", "drill", status.Warning, "is due again since", "offsite drill shop", true},
	{"the NAS is not mounted", func(p *patient) { must(p.t, os.Remove(filepath.Join(p.nas, ".offsite-target"))) },
		"target nas", "reach", status.Problem, "has no .offsite-target", "mount it", true},
	{"the target is on the disk of the dumps", func(p *patient) {
		must(p.t, os.Mkdir(p.path("nas"), 0o700))
		p.write("nas/.offsite-target", "", 0o600)
		p.edit(p.nas, p.path("nas"))
		p.unit("ReadWritePaths=/")
	}, "target nas", "same-disk", status.Warning, "what takes one takes both", "mount another disk", true},
	{"the keys of the store are wrong", func(p *patient) { p.write("etc/secret", "another-secret", 0o600) },
		"target lan", "reach", status.Problem, "", "write the right access key and secret key", true},
	{"the file with the key of the store is missing", func(p *patient) { must(p.t, os.Remove(p.path("etc/secret"))) },
		"target lan", "open", status.Problem, "no such file or directory", "put that file back", true},
	{"the store lets nobody remove", func(p *patient) { d := is(http.MethodDelete, ""); p.deny.Store(&d) },
		"target lan", "delete", status.Problem, "may not remove; the probe offsite-probe-db stays", "s3:DeleteObject", true},
	{"the store lets nobody list", func(p *patient) { d := is(http.MethodGet, "list-type"); p.deny.Store(&d) },
		"target lan", "list", status.Problem, "may not list", "s3:ListBucket", true},
	{"the store lets nobody write", func(p *patient) { d := is(http.MethodPut, ""); p.deny.Store(&d) },
		"target lan", "put", status.Problem, "may not write", "s3:PutObject", true},
	{"the store lets nobody read", func(p *patient) {
		d := func(r *http.Request) bool {
			return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Count(r.URL.Path, "/") > 2
		}
		p.deny.Store(&d)
	}, "target lan", "get", status.Problem, "may not read", "s3:GetObject", false},
	{"a bucket that is not there", func(p *patient) { p.edit(`bucket: "backups"`, `bucket: "no-such-bucket"`) },
		"target lan", "reach", status.Problem, "", "make the bucket", true},
	{"a lifecycle rule eats backups", func(p *patient) {
		p.store.MakeBucket(p.t, "eaten", false)
		p.edit(`bucket: "backups"`, `bucket: "eaten"`)
		p.bucket = "eaten"
		p.lifecycle(lifecycle.Rule{ID: "x", Status: "Enabled", Expiration: lifecycle.Expiration{Days: 10}})
	}, "target lan", "lifecycle", status.Problem, "removes objects after 10 days", "take that rule away", false},
	{"a bucket that keeps versions for ever", func(p *patient) {
		p.store.MakeBucket(p.t, "versions", false)
		p.edit(`bucket: "backups"`, `bucket: "versions"`)
		p.bucket = "versions"
	}, "target lan", "versions", status.Warning, "unseen and billed, for ever", "versions: delete", true},
	{"the host's clock is wrong", func(p *patient) { p.shift.Store(int64(-7 * time.Minute)) },
		"target lan", "clock", status.Problem, "ahead of that of the server", "set this host's clock", true},
	{"the server is silent", func(p *patient) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(p.t, err)
		p.t.Cleanup(func() { l.Close() })
		p.edit(strings.TrimPrefix(p.server.URL, "https://"), l.Addr().String())
		p.target, p.timeout = "lan", 2*time.Second // for which the others may be too slow on a busy machine
	}, "target lan", "time", status.Problem, "did not answer all questions within 2s", "look at the network", true},
	{"another host key", func(p *patient) { p.edit(p.shore.HostKey, otherKey) },
		"target shore", "reach", status.Problem, "shows the host key SHA256:", "ask the server's owner", true},
	{"the agent's user may not write to its part of the directory", func(p *patient) {
		must(p.t, os.Chmod(p.nas, 0o755))
		p.unit("User=nobody\nAmbientCapabilities=CAP_DAC_READ_SEARCH CAP_LEASE\nProtectSystem=strict\nProtectHome=read-only\nReadWritePaths=" + p.state + " " + p.nas)
	}, "directories", "writable", status.Problem, "/db (permission denied)", "chown -R nobody", false},
	{"the account may not write", func(p *patient) {
		must(p.t, os.Chown(filepath.Join(p.shore.Data, p.shorePath), 0, 0))
		must(p.t, os.Chmod(filepath.Join(p.shore.Data, p.shorePath), 0o755))
	}, "target shore", "put", status.Problem, "may not write", "chown -R offsite-user", false},
	{"the account lets nobody in", func(p *patient) {
		_, key := sshKeyPair(p.t)
		p.write("etc/ssh-key", key, 0o600)
	}, "target shore", "reach", status.Problem, "unable to authenticate", "authorized_keys of offsite-user", true},
	{"the directory on the server is gone", func(p *patient) {
		must(p.t, os.RemoveAll(filepath.Join(p.shore.Data, p.shorePath)))
	}, "target shore", "reach", status.Problem, "is not on the server", "mount its disk on the server", true},
	{"another key has signed the backups", func(p *patient) {
		skey, vkey, err := crypto.GenerateSigner("db")
		must(p.t, err)
		p.write("etc/signing.key", skey+"\n"+vkey+"\n", 0o600)
	}, "target nas", "manifest", status.Problem, "is signed by a key that is not trusted here, db+", "under trust:", false},
	{"a manifest is damaged", func(p *patient) {
		all, err := filepath.Glob(filepath.Join(p.nas, "db/shop/*.manifest"))
		must(p.t, err)
		for _, m := range all {
			must(p.t, os.WriteFile(m, []byte("rubbish"), 0o600))
		}
	}, "target nas", "manifest", status.Problem, "the manifest of the newest backup is damaged", "offsite repair", true},
}

// mount puts a file system of its own in the place of the state directory.
func (p *patient) mount(how string) {
	p.t.Helper()
	if strings.HasPrefix(how, "ro,") {
		must(p.t, unix.Mount("tmpfs", p.state, "tmpfs", unix.MS_RDONLY, "mode=700,"+strings.TrimPrefix(how, "ro,")))
	} else {
		must(p.t, unix.Mount("tmpfs", p.state, "tmpfs", 0, "mode=700,"+how))
	}
	p.t.Cleanup(func() { unix.Unmount(p.state, unix.MNT_DETACH) })
}

func (p *patient) lifecycle(rule lifecycle.Rule) {
	p.t.Helper()
	owner := p.store.Owner(p.t)
	c := lifecycle.NewConfiguration()
	c.Rules = []lifecycle.Rule{rule}
	must(p.t, owner.SetBucketLifecycle(p.t.Context(), p.bucket, c))
	p.t.Cleanup(func() {
		owner.SetBucketLifecycle(context.WithoutCancel(p.t.Context()), p.bucket, lifecycle.NewConfiguration())
	})
}

// sshKeyPair is a key that no server knows.
func sshKeyPair(t *testing.T) (public, private string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	secret, err := os.ReadFile(path)
	must(t, err)
	open, err := os.ReadFile(path + ".pub")
	must(t, err)
	return string(open), string(secret)
}
