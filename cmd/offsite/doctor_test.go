package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"golang.org/x/sys/unix"

	"offsite/agent/status"
	"offsite/cmd/offsite/doctor"
	"offsite/crypto"
	"offsite/test/servers"
)

// clinic has the servers that all patients share, and the way to the store, which can be disturbed.
type clinic struct {
	store *servers.S3
	shore *servers.OpenSSH
}

// gate stands before the store: TLS with a certificate of its own, and whatever a test wants.
type gate struct {
	server *httptest.Server
	ca     string
	deny   atomic.Pointer[func(*http.Request) bool]
	shift  atomic.Int64 // of the store's clock, nanoseconds
}

// open opens a gate whose certificate is good until then.
func (c *clinic) open(t *testing.T, until time.Time) *gate {
	t.Helper()
	upstream, err := url.Parse(c.store.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = upstream.Scheme, upstream.Host },
		ModifyResponse: func(answer *http.Response) error {
			if d := time.Duration(g.shift.Load()); d != 0 {
				answer.Header.Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat))
			}
			return nil
		},
	}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if deny := g.deny.Load(); deny != nil && (*deny)(r) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>`)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	cert, pemCert := selfSigned(t, until)
	g.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	g.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse the certificate
	g.server.StartTLS()
	t.Cleanup(g.server.Close)
	g.ca = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(g.ca, pemCert, 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

func selfSigned(t *testing.T, until time.Time) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "gate"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// patient is a set-up in which all is well until somebody does something to it.
type patient struct {
	answer *status.Host // of the agent that runs
	t      *testing.T
	*clinic
	*gate
	dir, config, state, dumps, nas, bucket, shorePath string
	machine                                           doctor.Machine
	lock                                              *os.File // that a running agent holds
	target                                            string
	now                                               func() time.Time
	timeout                                           time.Duration
}

func (p *patient) path(name string) string { return filepath.Join(p.dir, name) }

func (p *patient) write(name, text string, mode os.FileMode) string {
	p.t.Helper()
	path := p.path(name)
	if filepath.IsAbs(name) {
		path = name
	}
	must(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(p.t, os.WriteFile(path, []byte(text), mode))
	must(p.t, os.Chmod(path, mode))
	return path
}

// edit replaces what must be there in the configuration.
func (p *patient) edit(old, with string) {
	p.t.Helper()
	b, err := os.ReadFile(p.config)
	must(p.t, err)
	if !strings.Contains(string(b), old) {
		p.t.Fatalf("%q is not in\n%s", old, b)
	}
	must(p.t, os.WriteFile(p.config, []byte(strings.ReplaceAll(string(b), old, with)), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *patient) run(want int, args ...string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	if code := run(p.t.Context(), append([]string{"--config", p.config}, args...), streams{bytes.NewReader(nil), &out, &errs}); code != want {
		p.t.Fatalf("offsite %q: exit code %d\n%s%s", args, code, out.String(), errs.String())
	}
}

// admitPatient makes a set-up in which nothing is wrong: three targets, two keys, a kit that was taken away, a drill that has passed, a
// service, and an agent that runs.
func (c *clinic) admitPatient(t *testing.T, certificate time.Time) *patient {
	t.Helper()
	// Elsewhere than the dumps, which lie in the test's own directory.
	nas, err := os.MkdirTemp("/dev/shm", "offsite-doctor-*")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(nas) })
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) { // other users are to look into it
		must(t, os.Chmod(d, 0o755))
	}
	name := filepath.Base(nas)
	p := &patient{
		t: t, clinic: c, gate: c.open(t, certificate), dir: dir, config: filepath.Join(dir, "etc/offsite.yaml"), state: filepath.Join(dir, "state"), dumps: filepath.Join(dir, "dumps"),
		nas: nas, answer: &status.Host{Series: []status.Series{{Name: "shop", Expected: true}}}, bucket: "backups", shorePath: name, now: time.Now, timeout: time.Minute,
	}
	secretA, publicA, err := crypto.GenerateIdentity(false)
	must(t, err)
	_, publicB, err := crypto.GenerateIdentity(false)
	must(t, err)
	for i := 10; i < 14; i++ {
		dump := p.write(fmt.Sprintf("dumps/shop_202611%d_030001.sql", i), fmt.Sprintf("--\n-- PostgreSQL database dump\n--\n\nSELECT %d;\n\n--\n-- PostgreSQL database dump complete\n--\n\n", i), 0o644)
		must(t, os.Chtimes(dump, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)))
	}
	p.write("etc/access", c.store.AccessKey, 0o600)
	p.write("etc/secret", c.store.SecretKey, 0o600)
	b, err := os.ReadFile(c.shore.KeyFile)
	must(t, err)
	p.write("etc/ssh-key", string(b), 0o600)
	p.run(0, "init", "--yes", "--host", "db", "--zone", "UTC", "--state", p.state, "--watch", p.dumps, "--recipient", publicA, "--recipient", publicB,
		"--target", "nas="+nas,
		"--target", "lan=s3+"+p.server.URL+"/backups/"+name+"?access_key_file="+p.path("etc/access")+"&secret_key_file="+p.path("etc/secret")+"&ca_file="+p.ca,
		"--target", fmt.Sprintf("shore=sftp://%s@%s:%d/%s?key_file=%s", c.shore.User, c.shore.Host, c.shore.Port, name, p.path("etc/ssh-key")))
	must(t, os.Remove(p.path("etc/"+kitName)))
	os.Remove(p.path("etc/" + kitPage))
	identity := p.write("drills/identity", secretA+"\n", 0o600)
	p.edit(fmt.Sprintf("- path: %q\n", p.dumps), fmt.Sprintf("- path: %q\n    settle: 50ms\n", p.dumps))
	p.edit("\nkeep:", "\ndrills:\n  shop: {series: shop, every: 30d, identity_file: "+identity+", command: [cat]}\n\nalarms: {ways: {sh: {command: [\"true\"]}}}\n\nkeep:")
	p.run(0, "agent", "--once")
	p.run(0, "drill")
	must(t, os.RemoveAll(p.path("drills")))
	p.machine = doctor.Machine{Root: p.path("root"), Synced: func() (bool, bool) { return true, true }}
	p.write("root/proc/sys/fs/inotify/max_user_watches", "8192\n", 0o644)
	p.write("root/proc/sys/fs/inotify/max_user_instances", "128\n", 0o644)
	p.unit("ProtectSystem=strict\nProtectHome=read-only\nReadWritePaths=" + p.state + " " + nas)
	p.lock, err = os.OpenFile(filepath.Join(p.state, agentJournal+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	t.Cleanup(func() { p.lock.Close() })
	must(t, syscall.Flock(int(p.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	return p
}

func (p *patient) unit(lines string) {
	p.t.Helper()
	p.write("root/etc/systemd/system/offsite.service", "[Unit]\nDescription=x\n\n[Service]\nExecStart=/usr/bin/offsite agent\n"+lines+"\n", 0o644)
}

// examine is what doctor finds, and its verdict.
func (p *patient) examine() (level status.Level, checks []doctor.Check) {
	p.t.Helper()
	var out, errs bytes.Buffer
	err := diagnose(p.t.Context(), p.config, doctor.Patient{Now: p.now, Timeout: p.timeout, Machine: p.machine, Target: p.target, Status: func(context.Context) (*status.Host, error) { return p.answer, nil }}, true, streams{bytes.NewReader(nil), &out, &errs})
	var said struct {
		Level  status.Level
		Checks []doctor.Check
	}
	if jsonErr := json.Unmarshal(out.Bytes(), &said); jsonErr != nil {
		p.t.Fatalf("%v, %v: %s%s", err, jsonErr, out.String(), errs.String())
	}
	if code, want := exitCode(p.t.Context(), err), map[status.Level]int{status.OK: 0, status.Warning: 1, status.Problem: 2}[said.Level]; code != want {
		p.t.Errorf("level %s, exit code %d", said.Level, code)
	}
	return said.Level, said.Checks
}

// left is what lies in the target's places that is no backup.
func (p *patient) left() (found []string) {
	p.t.Helper()
	owner := p.store.Owner(p.t)
	for o := range owner.ListObjectsIter(p.t.Context(), p.bucket, minio.ListObjectsOptions{Recursive: true, Prefix: filepath.Base(p.nas) + "/offsite-"}) {
		found = append(found, o.Key)
	}
	for _, dir := range []string{p.nas, filepath.Join(p.shore.Data, p.shorePath)} {
		probes, _ := filepath.Glob(filepath.Join(dir, "offsite-probe*"))
		hidden, _ := filepath.Glob(filepath.Join(dir, ".*.partial"))
		found = append(append(found, probes...), hidden...)
	}
	return found
}

func is(method, query string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && (query == "" || r.URL.Query().Has(query))
	}
}

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
			return map[string]string{"LoadState": "loaded", "UnitFileState": "disabled"}, nil
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
		p.timeout = 2 * time.Second
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

const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx"

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

// Each of these sabotages of a good set-up is named, with what to do about it; and without any, all is well.
func TestDoctorNamesEachSabotage(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := &clinic{servers.MinIO(t, false), servers.StartOpenSSH(t)}
	good := time.Now().AddDate(0, 3, 0)
	t.Run("nothing is wrong", func(t *testing.T) {
		p := c.admitPatient(t, good)
		if level, checks := p.examine(); level != status.OK || len(checks) < 30 {
			t.Errorf("%s: %s", level, show(checks))
		}
		if left := p.left(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	if len(sabotages) < 15 {
		t.Fatal("too few")
	}
	for _, s := range sabotages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := c.admitPatient(t, good)
			s.do(p)
			p.named(s)
		})
	}
	t.Run("the certificate expires soon", func(t *testing.T) {
		c.admitPatient(t, time.Now().AddDate(0, 0, 5)).named(sabotage{group: "target lan", check: "certificate", level: status.Warning, text: "expires in 4 days", remedy: "renew it", alone: true})
	})
	t.Run("the certificate has expired", func(t *testing.T) {
		p := c.admitPatient(t, good)
		expired := c.open(t, time.Now().Add(-time.Hour))
		p.edit(p.server.URL, expired.server.URL)
		p.edit(p.ca, expired.ca)
		p.named(sabotage{group: "target lan", check: "reach", level: status.Problem, text: "certificate has expired", remedy: "renew the server's certificate", alone: true})
	})
}

// named examines the patient, and looks for what must be found.
func (p *patient) named(s sabotage) {
	p.t.Helper()
	level, checks := p.examine()
	found := false
	for _, c := range checks {
		if c.Group == s.group && c.Name == s.check && c.Level == s.level && strings.Contains(c.Text, s.text) && strings.Contains(c.Remedy, s.remedy) && c.Remedy != "" {
			found = true
		} else if s.alone && c.Level != status.OK && (c.Group != s.group || c.Name != s.check) {
			p.t.Errorf("besides: %+v", c)
		}
	}
	if !found || level == status.OK {
		p.t.Errorf("%s: it is not named:\n%s", level, show(checks))
	}
	for _, c := range checks {
		if strings.Contains(c.Text+c.Remedy, p.store.SecretKey) {
			p.t.Errorf("a secret shows: %+v", c)
		}
	}
}

func show(checks []doctor.Check) (text string) {
	for _, c := range checks {
		if c.Level != status.OK {
			text += fmt.Sprintf("%s %s %s: %s\n    -> %s\n", c.Level, c.Group, c.Name, c.Text, c.Remedy)
		}
	}
	return text
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
