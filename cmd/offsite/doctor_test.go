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
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

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
	p.write("root/etc/systemd/system/offsite.service", "[Unit]\nDescription=x\n\n[Service]\nExecStart=/usr/bin/offsite --config "+p.config+" agent\n"+lines+"\n", 0o644)
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

const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx"

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
