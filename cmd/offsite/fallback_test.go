package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"offsite/agent/vault"
	"offsite/test/servers"
)

// meter is a way to a server that counts what the server says.
type meter struct {
	said atomic.Int64

	mu sync.Mutex
	// When at bytes have been said, reached is called, once, and what comes then is held up until it returns.
	at      int64
	reached func()
}

// through opens the way, and makes the configuration take it.
func (in *installation) through(s *servers.S3, m *meter) {
	in.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { l.Close() })
	upstream := strings.TrimPrefix(s.Endpoint, "http://")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.pass(c, upstream)
		}
	}()
	config := filepath.Join(in.dir, "offsite.yaml")
	text, err := os.ReadFile(config)
	if err != nil || !bytes.Contains(text, []byte(upstream)) {
		in.t.Fatalf("%v\n%s", err, text)
	}
	if err := os.WriteFile(config, bytes.ReplaceAll(text, []byte(upstream), []byte(l.Addr().String())), 0o644); err != nil {
		in.t.Fatal(err)
	}
}

func (m *meter) pass(c net.Conn, upstream string) {
	defer c.Close()
	u, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer u.Close()
	go func() {
		io.Copy(u, c)
		u.Close()
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := u.Read(b)
		m.count(n)
		if _, failed := c.Write(b[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (m *meter) count(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.said.Add(int64(n)) >= m.at && m.reached != nil {
		m.reached()
		m.reached = nil
	}
}

// arm begins to count anew.
func (m *meter) arm(at int64, reached func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said.Store(0)
	m.at, m.reached = at, reached
}

// bigDump writes a dump of random bytes and ships it.
func (in *installation) bigDump(mib int) (sum [32]byte, size int64) {
	in.t.Helper()
	f, err := os.Create(filepath.Join(in.dumps, "shop_20261122_030001.sql"))
	if err != nil {
		in.t.Fatal(err)
	}
	h := sha256.New()
	if size, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(rand.NewChaCha8([32]byte{1}), int64(mib)<<20)); err != nil {
		in.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		in.t.Fatal(err)
	}
	in.run(0, "agent", "--once")
	return [32]byte(h.Sum(nil)), size
}

func sumOf(t *testing.T, path string) (sum [32]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

// talk is what requests and answers cost beside the data.
const talk = 1 << 20

// A target is killed in the middle of a restore of 1 GiB, to a file and to a pipe: the other goes on, and at most one
// block is fetched twice.
func TestATargetIsKilledInTheMiddleOfARestore(t *testing.T) {
	in := install(t, "minio", "versity")
	sum, size := in.bigDump(1024)
	var first, second meter
	in.through(in.minio, &first)
	in.through(in.versity, &second)
	for i, output := range []string{filepath.Join(in.dir, "back.sql"), "-"} {
		at := size/4 + rand.Int64N(size/2)
		first.arm(at, in.minio.Kill)
		second.arm(0, nil)
		cmd := in.command(t.Context(), "restore", "--identity", in.identity, "-o", output, "shop")
		h, errs := sha256.New(), new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = h, errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, errs)
		}
		got := [32]byte(h.Sum(nil))
		if output != "-" {
			got = sumOf(t, output)
		}
		if got != sum {
			t.Errorf("%s: something else came back", output)
		}
		fetched, block := first.said.Load()+second.said.Load(), int64(16<<20)
		t.Logf("%s: killed at %d, %d bytes from one and %d from the other, %.4f of the dump, %d MiB of memory\n%s", output, at, first.said.Load(), second.said.Load(),
			float64(fetched)/float64(size), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss>>10, errs)
		if fetched > size+size/1000+block+talk || second.said.Load() < size/8 {
			t.Errorf("%d bytes were fetched for %d", fetched, size)
		}
		if strings.Count(errs.String(), "warning: minio: ") != 1 {
			t.Errorf("said:\n%s", errs)
		}
		if i == 0 {
			in.minio.Start()
		}
	}
}

// brokenOff is a backup that is restored again and again to one file, from a target behind a meter.
type brokenOff struct {
	*installation
	m         meter
	dir, back string
	sum       [32]byte
	size      int64
}

// newBrokenOff has room for the dump once, so what is there already must count.
func newBrokenOff(t *testing.T) *brokenOff {
	b := &brokenOff{installation: install(t, "versity")}
	b.sum, b.size = b.bigDump(320)
	b.through(b.versity, &b.m)
	b.dir = filepath.Join(b.installation.dir, "out")
	if err := errors.Join(os.Mkdir(b.dir, 0o755), syscall.Mount("tmpfs", b.dir, "tmpfs", 0, fmt.Sprintf("size=%d", b.size+b.size/4))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(b.dir, 0) })
	b.back = filepath.Join(b.dir, "back.sql")
	return b
}

func (b *brokenOff) partial() string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.dir, ".offsite-restore-*.partial"))
	if err != nil || len(found) > 1 {
		b.t.Fatal(found, err)
	}
	return strings.Join(found, "")
}

// broken runs restore and sends it a signal when so much has come.
func (b *brokenOff) broken(at int64, signal os.Signal) (code int, said string, fetched int64) {
	b.t.Helper()
	cmd := b.command(b.t.Context(), "restore", "--identity", b.identity, "-o", b.back, "shop")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	started := make(chan struct{})
	b.m.arm(at, func() {
		<-started
		cmd.Process.Signal(signal)
	})
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	close(started)
	cmd.Wait()
	b.t.Logf("%v, fetched %d\n%s", cmd.ProcessState, b.m.said.Load(), errs.String())
	if _, err := os.Stat(b.back); err == nil {
		b.t.Error("a file that is not whole")
	}
	if info, err := os.Stat(b.partial()); err != nil || info.Mode() != 0o600 {
		b.t.Fatal(info, err)
	}
	return cmd.ProcessState.ExitCode(), errs.String(), b.m.said.Load()
}

// whole restores to the end, and fetches no more than expected.
func (b *brokenOff) whole(expected int64) {
	b.t.Helper()
	b.m.arm(0, nil)
	_, said := b.run(0, "restore", "--identity", b.identity, "-o", b.back, "shop")
	fetched := b.m.said.Load()
	b.t.Logf("fetched %d of %d, expected %d\n%s", fetched, b.size, expected, said)
	if sumOf(b.t, b.back) != b.sum || b.partial() != "" {
		b.t.Errorf("something else came back, or is left: %q", b.partial())
	}
	if fetched > expected+b.size/1000+talk {
		b.t.Errorf("%d bytes fetched, expected %d", fetched, expected)
	}
	if info, err := os.Stat(b.back); err != nil || info.Mode().Perm() != 0o644 {
		b.t.Error(info, err)
	}
	os.Remove(b.back)
}

// A restore to a file is killed, interrupted and its partial damaged: the next one fetches what is missing, and trusts
// nothing of what lies there.
func TestABrokenOffRestoreGoesOn(t *testing.T) {
	t.Parallel()
	b := newBrokenOff(t)
	const block = 16 << 20
	const onTheWay = 6 * block // at most: in memory, and what the kernel and the meter held

	_, _, first := b.broken(b.size/2, syscall.SIGKILL)
	_, _, second := b.broken(b.size/4, syscall.SIGKILL) // and once more
	b.whole(b.size - first - second + 2*onTheWay)

	code, said, _ := b.broken(b.size/2, syscall.SIGINT)
	if code != exitInterrupted || !strings.Contains(said, "kept in "+b.partial()+": the same command goes on there") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	f, err := os.OpenFile(b.partial(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	was, _ := f.Stat()
	f.WriteAt([]byte("damage"), 40<<20)
	f.WriteAt([]byte("what never was in the dump"), b.size+1000) // and zeros before it
	f.Close()
	b.whole(b.size - was.Size() + 2*block)
}

// What others may read, or somebody may have laid there, gets nothing of a dump.
func TestAPartialOfSomebodyElseIsNotUsed(t *testing.T) {
	t.Parallel()
	b := newBrokenOff(t)
	b.broken(b.size/2, syscall.SIGINT)
	name, other := b.partial(), filepath.Join(b.dir, "other")
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	b.whole(b.size)
	if err := os.WriteFile(other, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, lay := range []func(old, new string) error{os.Symlink, os.Link} {
		if err := lay(other, name); err != nil {
			t.Fatal(err)
		}
		b.whole(b.size)
		if text, err := os.ReadFile(other); err != nil || string(text) != "somebody's" {
			t.Errorf("%q, %v", text, err)
		}
	}
}

// The only target goes away for a moment in the middle of a restore, which waits for it.
func TestALoneTargetComesBack(t *testing.T) {
	t.Parallel()
	b := newBrokenOff(t)
	b.m.arm(b.size/3, func() {
		b.versity.Kill()
		b.versity.Start()
	})
	_, said := b.run(0, "restore", "--identity", b.identity, "-o", b.back, "shop")
	if told := strings.Count(said, "warning: versity: "); told < 1 || told > 3 { // a connection may be found dead later
		t.Error(said)
	}
	if fetched := b.m.said.Load(); sumOf(t, b.back) != b.sum || fetched > b.size+b.size/1000+talk {
		t.Errorf("%d bytes fetched of %d, or something else came back", fetched, b.size)
	}
}

// Two restores of one backup into one directory do not write over each other.
func TestAPartialIsForOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, err := openPartial(dir, "5f3c9a1e")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openPartial(dir, "5f3c9a1e"); err == nil || !strings.Contains(err.Error(), "another restore") {
		t.Error(err)
	}
	other, err := openPartial(dir, "00000000")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(one, "0123456789")
	if err := one.keep(); err != nil {
		t.Fatal(err)
	}
	again, err := openPartial(dir, "5f3c9a1e")
	if err != nil || again.had != 10 {
		t.Fatal(again, err)
	}
	fmt.Fprint(again, "0123x56789 and more")
	if b, err := os.ReadFile(again.f.Name()); err != nil || string(b) != "0123x56789 and more" {
		t.Errorf("%q, %v", b, err)
	}
	for _, p := range []*partial{again, other} {
		if err := p.drop(); err != nil {
			t.Error(err)
		}
	}
	full, err := openPartial(dir, "11111111")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(full, "a block and more")
	var said bytes.Buffer
	r := &restoring{progress: newProgress(&said), talk: &said}
	r.abandon(full, &vault.Manifest{Size: 100, BlockSize: 10}, fmt.Errorf("write: %w", syscall.ENOSPC))
	if said.Len() > 0 {
		t.Error(said.String())
	}
	if left, err := fs.Glob(os.DirFS(dir), ".offsite*"); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}
