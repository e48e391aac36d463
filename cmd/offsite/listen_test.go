package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"offsite/cmd/offsite/page"
	"offsite/configs"
	"offsite/test/servers"
)

// lines is a log that a test can wait for.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(l.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in the log:\n%s", text, l)
		}
	}
}

// listen serves who asks with what Access it got, until the test ends or stop is called, which gives listening's error.
func listen(t *testing.T, addresses ...configs.Listen) (log *lines, stop func() error) {
	t.Helper()
	log = &lines{}
	behind := func(a page.Access) (http.Handler, error) {
		if a.TokenHash == "" && !a.Unix && !a.Loopback {
			return nil, fmt.Errorf("open to all")
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			fmt.Fprintf(w, "%+v", a)
		}), nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- listening(ctx, addresses, nil, behind, slog.New(slog.NewTextHandler(log, nil))) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return log, stop
}

func client(dial func(context.Context, string, string) (net.Conn, error), c *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: c, DisableKeepAlives: true}, Timeout: time.Minute}
}

func unixDial(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

func body(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	r, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestASocketForTheGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.sock")
	stale, err := net.Listen("unix", path) // of an agent that was killed
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	log, stop := listen(t, configs.Listen{Address: "unix:" + path})
	log.await(t, "the page is served")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := body(t, client(unixDial(path), nil), "http://whatever/"); !strings.Contains(got, "Unix:true") {
		t.Error(got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if exists(path) {
		t.Error("the socket is left behind")
	}
}

// What is at the path and is not ours is neither removed nor a reason to end.
func TestWhatIsThereStays(t *testing.T) {
	dir := t.TempDir()
	file, used := filepath.Join(dir, "file"), filepath.Join(dir, "used.sock")
	if err := os.WriteFile(file, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", used)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	log, stop := listen(t, configs.Listen{Address: "unix:" + file}, configs.Listen{Address: "unix:" + used}, configs.Listen{Address: "unix:" + dir + "/no/page.sock"})
	log.await(t, "is no socket")
	log.await(t, "another program serves")
	log.await(t, "RuntimeDirectory=")
	if err := stop(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(file); string(b) != "dear" || !exists(used) {
		t.Error("what was there is gone", err)
	}
}

// A stream ends with the agent, at once and by itself: its reader sees a proper end.
func TestStreamsEndWithTheAgent(t *testing.T) {
	address := servers.FreePort(t)
	log, stop := listen(t, configs.Listen{Address: address})
	log.await(t, "the page is served")
	r, err := client(nil, nil).Get("http://" + address + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took >= goodbye { // when it cuts them off
		t.Errorf("the agent waited %v for a stream", took)
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Error(err)
	}
}

func TestTLSWithACertificateThatIsRenewed(t *testing.T) {
	dir := t.TempDir()
	l := configs.Listen{Address: servers.FreePort(t), TLSCertFile: dir + "/crt", TLSKeyFile: dir + "/key"}
	log, _ := listen(t, l)
	log.await(t, "nobody can look at the page until this is right")
	for _, name := range []string{"one.example", "two.example"} {
		pool := x509.NewCertPool()
		pool.AddCert(certify(t, l, name))
		if got := body(t, client(nil, &tls.Config{RootCAs: pool, ServerName: name}), "https://"+l.Address+"/"); !strings.Contains(got, "TLS:true") {
			t.Error(got)
		}
	}
	if strings.Contains(log.String(), "unencrypted") {
		t.Error(log)
	}
}

func certify(t *testing.T, l configs.Listen, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{l.TLSCertFile: {Type: "CERTIFICATE", Bytes: der}, l.TLSKeyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoMayLookWhere(t *testing.T) {
	for address, want := range map[string]page.Access{
		"unix:/run/page.sock": {Unix: true}, "127.0.0.1:1": {Loopback: true}, "[::1]:1": {Loopback: true}, "[::ffff:127.0.0.1]:1": {Loopback: true},
		"0.0.0.0:1": {}, "[::]:1": {}, "192.168.1.5:1": {},
	} {
		if got := access(configs.Listen{Address: address}); got.Unix != want.Unix || got.Loopback != want.Loopback || got.TokenHash != "" {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

func TestAnAddressInTheClearIsToldOf(t *testing.T) {
	_, port, _ := net.SplitHostPort(servers.FreePort(t))
	_, hash := page.NewToken()
	log, _ := listen(t, configs.Listen{Address: "0.0.0.0:" + port, TokenHash: hash})
	log.await(t, "go over the network unencrypted")
}

// serveGiven is a program of this test (TestMain): it serves the sockets that it was given, as a service of systemd, until it is to stop.
func serveGiven() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	behind := func(a page.Access) (http.Handler, error) {
		if a.TokenHash == "" && !a.Unix && !a.Loopback {
			return nil, fmt.Errorf("open to all")
		}
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "%+v %q", a, os.Getenv("LISTEN_FDS"))
		}), nil
	}
	addresses := []configs.Listen{{Address: os.Args[1], Names: []string{"from-the-configuration"}}}
	sockets, err := listeners(takeGiven().page)
	if err != nil {
		panic(err)
	}
	if err := listening(ctx, addresses, sockets, behind, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Sockets of systemd are taken: one that the configuration names gets what that says, another one what it is, and one that is open to all
// nothing.
func TestSocketActivation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.sock")
	var files []*os.File
	var addresses []string
	for _, a := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"unix", path}, {"tcp", "0.0.0.0:0"}} {
		l, err := net.Listen(a.network, a.address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		files, addresses = append(files, f), append(addresses, l.Addr().String())
	}
	log := &lines{}
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec serve-given "$1"`, "sh", addresses[0])
	cmd.Env, cmd.ExtraFiles, cmd.Stderr = append(os.Environ(), "LISTEN_FDS=3"), files, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.await(t, "open to all")
	if got := body(t, client(nil, nil), "http://"+addresses[0]); !strings.Contains(got, "from-the-configuration") || !strings.Contains(got, `""`) {
		t.Error(got)
	}
	if got := body(t, client(unixDial(path), nil), "http://x"); !strings.Contains(got, "Unix:true") || strings.Contains(got, "from-the-configuration") {
		t.Error(got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	if !exists(path) {
		t.Error("the agent removed systemd's socket")
	}
}
