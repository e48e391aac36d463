package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bench is a place with files, servers and the keys to them.
type bench struct {
	settings
	tools     map[string]string
	root      string
	recipient string
	servers   []*exec.Cmd
	http, tls string // MinIO's addresses; empty: it is not there
	ssh       int    // port; 0: no sshd
}

const (
	bucket    = "bench"
	key       = "benchmark"
	secret    = "benchmark-secret"
	small     = 2000     // files
	smallSize = 32 << 10 // bytes of each
	// manifestSize is about what offsite's manifest of such a file has.
	manifestSize = 2 << 10
	passphrase   = "correct horse"
)

func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.root}, elem...)...)
}

// prepare makes the place. clean must be called after it.
func prepare(ctx context.Context, s settings) (*bench, error) {
	root, err := os.MkdirTemp(s.dir, "offsite-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{settings: s, tools: s.findTools(), root: root}
	for _, step := range []func(context.Context) error{b.makeFiles, b.makeKeys, b.startMinIO, b.startSSH, b.configure} {
		if err := step(ctx); err != nil {
			b.clean()
			return nil, err
		}
	}
	return b, nil
}

func (b *bench) clean() {
	for _, s := range b.servers {
		s.Process.Kill()
		s.Wait()
	}
	os.RemoveAll(b.root)
}

// makeFiles draws files that nothing can compress.
func (b *bench) makeFiles(context.Context) error {
	for _, dir := range []string{"data", "data/small", "data/pairs", "watch", "nas", "sftp", "out", "conf", "keys"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
	}
	if err := random(b.path("data", "large.bin"), b.size); err != nil {
		return err
	}
	if err := random(b.path("data", "one.bin"), 1<<20); err != nil {
		return err
	}
	day := time.Date(2026, 1, 1, 3, 0, 1, 0, time.UTC)
	for i := range small {
		name := fmt.Sprintf("app%02d_%s.bin", i%40, day.AddDate(0, 0, i/40).Format("20060102_150405"))
		for path, size := range map[string]int64{
			b.path("data", "small", name): smallSize,
			b.path("data", "pairs", name): smallSize, b.path("data", "pairs", name+".manifest"): manifestSize,
		} {
			if err := random(path, size); err != nil {
				return err
			}
		}
	}
	return nil
}

func random(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, size)
	return errors.Join(err, f.Close())
}

func (b *bench) makeKeys(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, b.offsite, "keygen").Output()
	if err != nil {
		return fmt.Errorf("%s keygen: %w (make build?)", b.offsite, err)
	}
	for line := range strings.Lines(string(out)) {
		if _, public, ok := strings.Cut(line, "public key: "); ok {
			b.recipient = strings.TrimSpace(public)
		}
	}
	return errors.Join(os.WriteFile(b.path("keys", "identity"), out, 0o600), os.WriteFile(b.path("keys", "key"), []byte(key), 0o600),
		os.WriteFile(b.path("keys", "secret"), []byte(secret), 0o600))
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startMinIO starts one server without TLS and one with.
func (b *bench) startMinIO(ctx context.Context) error {
	if b.tools["minio"] == "" {
		return nil
	}
	certs := b.path("keys", "certs")
	if err := certificate(certs); err != nil {
		return err
	}
	for _, withTLS := range []bool{false, true} {
		scheme, data, args := "http", b.path("minio"), []string{"--certs-dir", b.path("keys")}
		if withTLS {
			scheme, data, args = "https", b.path("minio-tls"), []string{"--certs-dir", certs}
		}
		if err := os.MkdirAll(filepath.Join(data, bucket), 0o755); err != nil {
			return err
		}
		address := fmt.Sprintf("127.0.0.1:%d", freePort())
		c := exec.Command(b.tools["minio"], append(append([]string{"server", "--quiet", "--address", address}, args...), data)...)
		c.Env = append(os.Environ(), "MINIO_ROOT_USER="+key, "MINIO_ROOT_PASSWORD="+secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off")
		if err := b.serve(ctx, c, func() bool { return healthy(scheme+"://"+address, certs) }); err != nil {
			return err
		}
		if withTLS {
			b.tls = "https://" + address
		} else {
			b.http = "http://" + address
		}
	}
	return nil
}

// startSSH starts the system's sshd for root alone, on a port of its own.
func (b *bench) startSSH(ctx context.Context) error {
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil || os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"ssh", "host"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", b.path("keys", name)).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	public, err := os.ReadFile(b.path("keys", "host.pub"))
	if err != nil {
		return err
	}
	port := freePort()
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\nPidFile none\nUsePAM no\nStrictModes no\n"+
		"AuthorizedKeysFile %s\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxStartups 100\n",
		port, b.path("keys", "host"), b.path("keys", "ssh.pub"))
	if err := errors.Join(os.MkdirAll("/run/sshd", 0o755), os.WriteFile(b.path("keys", "sshd_config"), []byte(config), 0o600),
		os.WriteFile(b.path("keys", "known_hosts"), fmt.Appendf(nil, "[127.0.0.1]:%d %s", port, public), 0o600)); err != nil {
		return err
	}
	err = b.serve(ctx, exec.Command(sshd, "-D", "-f", b.path("keys", "sshd_config")), func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if err == nil {
		b.ssh = port
	}
	return err
}

// serve starts a server and waits until it is up.
func (b *bench) serve(ctx context.Context, c *exec.Cmd, up func() bool) error {
	if err := c.Start(); err != nil {
		return err
	}
	b.servers = append(b.servers, c)
	for range 300 {
		if up() {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s does not answer", c.Path)
}

func healthy(endpoint, certs string) bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: trusting(certs), DisableKeepAlives: true}}
	answer, err := client.Get(endpoint + "/minio/health/ready")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// empty removes what lies in a directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}
