package faults_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"offsite/test/servers"
)

// counter is a way to a server on which the bytes to it are counted, and held up when they are enough.
type counter struct {
	address string
	up      atomic.Int64

	mu      sync.Mutex
	passing int           // connections
	passed  *sync.Cond    // is woken when one has ended
	most    int64         // 0: nothing is held up
	reached chan struct{} // is closed when most have gone by
	opened  chan struct{} // is closed when more may
}

func newCounter(t *testing.T, upstream string) *counter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{address: l.Addr().String()}
	c.passed = sync.NewCond(&c.mu)
	var accepting sync.WaitGroup
	t.Cleanup(func() { l.Close(); accepting.Wait(); c.wait() })
	accepting.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			c.count(1)
			go func() {
				defer c.count(-1)
				c.pass(from, upstream)
			}()
		}
	})
	return c
}

func (c *counter) count(more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passing += more
	c.passed.Broadcast()
}

// wait returns when no connection is there; others may come afterwards.
func (c *counter) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.passing > 0 {
		c.passed.Wait()
	}
}

func (c *counter) pass(from net.Conn, upstream string) {
	defer from.Close()
	to, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(from, to)
		from.Close()
	}()
	io.Copy(io.MultiWriter(to, c), from)
	to.Close()
	<-done
}

// Write counts, and waits when it is enough.
func (c *counter) Write(p []byte) (int, error) {
	up := c.up.Add(int64(len(p)))
	c.mu.Lock()
	most, reached, opened := c.most, c.reached, c.opened
	if most > 0 && up >= most && up-int64(len(p)) < most {
		close(reached)
	}
	c.mu.Unlock()
	if most > 0 && up >= most {
		<-opened
	}
	return len(p), nil
}

// hold lets so many bytes by, counted from now on, and no more until open is called; reached is closed when they are there.
func (c *counter) hold(most int64) (reached <-chan struct{}, open func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up.Store(0)
	c.most, c.reached, c.opened = most, make(chan struct{}), make(chan struct{})
	opened := c.opened
	return c.reached, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.most = 0
		close(opened)
	})
}

// TestAKilledUploadGoesOn kills the agent when about 60 % of a large upload have left, and counts what it sends after its
// restart: what was missing, and at most what was in flight. OFFSITE_FAULT_RESUME_MB is how large the upload is.
func TestAKilledUploadGoesOn(t *testing.T) {
	program := filepath.Join(t.TempDir(), "offsite")
	if out, err := exec.Command("go", "build", "-o", program, "offsite/cmd/offsite").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	size := int64(number(t, "OFFSITE_FAULT_RESUME_MB", 384)) << 20
	for _, kind := range []string{"minio", "s3", "sftp"} {
		t.Run(kind, func(t *testing.T) { resume(t, program, kind, size) })
	}
}

func resume(t *testing.T, program, kind string, size int64) {
	dir := t.TempDir()
	w := &world{t: t, dir: dir, program: program}
	c, place := wayTo(t, dir, kind)
	dumps := filepath.Join(dir, "dumps")
	if err := os.Mkdir(dumps, 0o755); err != nil {
		t.Fatal(err)
	}
	init := w.command(t.Context(), "init", "--yes", "--host", "h", "--zone", "UTC", "--state", filepath.Join(dir, "state"), "--watch", dumps, "--target", "far="+place)
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if kind == "s3" {
		throughTheSDK(t, filepath.Join(dir, "offsite.yaml"))
	}
	want := sha256.New()
	f, err := os.Create(filepath.Join(dumps, "big_20261101_030000.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.MultiWriter(f, want), rand.NewChaCha8([32]byte{7}), size); err != nil {
		t.Fatal(err)
	}
	f.Close()

	reached, open := c.hold(size * 6 / 10)
	defer open()
	cmd := w.command(t.Context(), "agent", "--once")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reached:
	case <-time.After(5 * time.Minute):
		t.Errorf("only %d bytes have left", c.up.Load())
	}
	cmd.Process.Kill()
	cmd.Wait()
	open()
	c.wait() // what was in the pipe
	before := c.up.Swap(0)
	out, err := w.command(t.Context(), "agent", "--once").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("was begun before")) {
		t.Fatalf("%v: %s", err, out)
	}
	after := c.up.Load()
	t.Logf("%d MiB: killed after %.1f %%, sent after the restart %.1f %%", size>>20, percent(before, size), percent(after, size))
	const window = 4 * 16 << 20 // blocks in flight
	if most := size - before + window + size/50; after > most {
		t.Errorf("sent %d bytes after the restart, want %d at most", after, most)
	}
	kit, err := os.ReadFile(filepath.Join(dir, "offsite-recovery-kit.txt"))
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "id")
	if err := os.WriteFile(identity, kit[bytes.Index(kit, []byte("AGE-SECRET-KEY")):][:74], 0o600); err != nil {
		t.Fatal(err)
	}
	back := w.command(t.Context(), "restore", "--identity", identity, "-o", "-", "big")
	got := sha256.New()
	back.Stdout = got
	if err := back.Run(); err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("what came back is not what was sent: %v", err)
	}
}

func percent(n, of int64) float64 { return 100 * float64(n) / float64(of) }

// wayTo starts a server, and gives the way to it and the place for init.
func wayTo(t *testing.T, dir, kind string) (*counter, string) {
	t.Helper()
	if kind == "sftp" {
		s := servers.StartOpenSSH(t)
		c := newCounter(t, net.JoinHostPort(s.Host, fmt.Sprint(s.Port)))
		return c, fmt.Sprintf("sftp://%s@%s/db?key_file=%s", s.User, c.address, s.KeyFile)
	}
	s := servers.MinIO(t, false)
	c := newCounter(t, strings.TrimPrefix(s.Endpoint, "http://"))
	access, secret := filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for path, text := range map[string]string{access: s.AccessKey, secret: s.SecretKey} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c, "s3+http://" + c.address + "/backups/db?access_key_file=" + access + "&secret_key_file=" + secret
}

// throughTheSDK makes the only target one of kind s3.
func throughTheSDK(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("    minio:\n"), []byte("    s3:\n      path_style: true\n"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
