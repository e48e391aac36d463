package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"offsite/test/servers"
)

// world is a host with a directory of dumps, an agent, and one target of each kind behind what can be disturbed.
type world struct {
	t                   *testing.T
	dir, program        string
	dumps, nas, state   string
	identity, verifier  string
	toxi                *servers.Toxiproxy
	minio, versity      *servers.S3
	ssh                 *servers.OpenSSH
	toMinIO, toVersity  *servers.Proxy
	toSSH               *servers.Proxy
	atMinIO, atVersity  *httpFaults
	log                 *os.File
	nasMounted          bool
	nasEIO, stateEIO    *atomic.Bool
	sealed              map[string]string // header and nonce of each object ever seen -> SHA-256 of all of it
	late                map[string]bool   // data without a manifest
	told                map[string]bool   // dumps of which the story was told
	killed, once, tried int
}

// targets are the names of all.
var targets = []string{"nas", "minio", "versity", "shore"}

func newWorld(t *testing.T, program string) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		t: t, dir: dir, program: program, dumps: filepath.Join(dir, "dumps"), nas: filepath.Join(dir, "nas"), state: filepath.Join(dir, "state"),
		identity: filepath.Join(dir, "id.txt"), sealed: map[string]string{}, late: map[string]bool{}, told: map[string]bool{},
	}
	for _, d := range []string{w.dumps, w.state, w.state + ".disk", w.nas, w.nas + ".disk", w.nas + ".fuse"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.mount(w.state+".disk", "8m")
	w.stateEIO = mountBroken(t, w.state+".disk", w.state)
	w.mount(w.nas+".disk", "3g")
	w.nasEIO = mountBroken(t, w.nas+".disk", w.nas+".fuse")
	w.t.Cleanup(func() { syscall.Unmount(w.nas, syscall.MNT_DETACH) })
	w.mountNAS()
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	w.log = log
	w.serve()
	w.configure()
	return w
}

// serve starts the servers, and the ways to them.
func (w *world) serve() {
	w.toxi = servers.StartToxiproxy(w.t)
	w.minio, w.versity, w.ssh = servers.MinIO(w.t, false), servers.VersityGW(w.t), servers.StartOpenSSH(w.t)
	address := func(s *servers.S3) string { return strings.TrimPrefix(s.Endpoint, "http://") }
	w.toMinIO = w.toxi.Proxy(w.t, "minio", address(w.minio))
	w.toVersity = w.toxi.Proxy(w.t, "versity", address(w.versity))
	w.toSSH = w.toxi.Proxy(w.t, "shore", net.JoinHostPort(w.ssh.Host, fmt.Sprint(w.ssh.Port)))
	w.atMinIO, w.atVersity = newHTTPFaults(w.t, w.toMinIO.Address), newHTTPFaults(w.t, w.toVersity.Address)
}

// configure runs init, and makes the rest quick.
func (w *world) configure() {
	access, secret := filepath.Join(w.dir, "access"), filepath.Join(w.dir, "secret")
	for path, text := range map[string]string{access: w.minio.AccessKey, secret: w.minio.SecretKey} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	keys := "access_key_file=" + access + "&secret_key_file=" + secret + "&idle_timeout=3s"
	place := func(h *httpFaults) string { return "s3+" + h.url + "/backups/db?" + keys }
	sftp := fmt.Sprintf("sftp://%s@%s/db?key_file=%s&idle_timeout=3s", w.ssh.User, w.toSSH.Address, w.ssh.KeyFile)
	w.prepare("--target", "nas="+w.nas, "--target", "minio="+place(w.atMinIO), "--target", "versity="+place(w.atVersity), "--target", "shore="+sftp)
}

// prepare runs init for these targets.
func (w *world) prepare(targets ...string) {
	w.t.Helper()
	args := append([]string{"init", "--yes", "--host", "db-server", "--zone", "UTC", "--state", w.state, "--watch", w.dumps}, targets...)
	if out, err := w.command(w.t.Context(), args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(w.dir, "offsite.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	// Versity is reached by the AWS SDK, so that both clients are in the game.
	text = regexp.MustCompile(`(?s)(  versity:\n    )minio:(.*?endpoint: [^\n]*\n)`).ReplaceAll(text, []byte("${1}s3:${2}      path_style: true\n"))
	if bytes.Contains(text, []byte("  versity:\n")) && !bytes.Contains(text, []byte("\n    s3:\n")) {
		w.t.Fatalf("versity is not reached by the SDK:\n%s", text)
	}
	text = regexp.MustCompile(`(?m)^keep:.*$`).ReplaceAll(text, []byte("keep: {last: forever}\nblock_size: 8MiB\nmemory: 64MiB"))
	text = bytes.Replace(text, []byte("  - path: "), []byte("  - settle: 200ms\n    path: "), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	kit, err := os.ReadFile(filepath.Join(w.dir, "offsite-recovery-kit.txt"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.identity, regexp.MustCompile(`AGE-SECRET-KEY-\S+`).Find(kit), 0o600); err != nil {
		w.t.Fatal(err)
	}
	_, trust, _ := bytes.Cut(kit, []byte("-- trust.txt --\n"))
	w.verifier = string(regexp.MustCompile(`(?m)^[a-z][^ #\n]*\+[0-9a-f]{8}\+\S+$`).Find(trust))
	if w.verifier == "" {
		w.t.Fatalf("no verifier key in %s", trust)
	}
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.program, append([]string{"--config", filepath.Join(w.dir, "offsite.yaml")}, args...)...)
	cmd.Dir = w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// agent starts the service; kill ends it at once.
func (w *world) agent() (kill func()) {
	w.t.Helper()
	fmt.Fprintf(w.log, "== agent\n")
	cmd := w.command(w.t.Context(), "agent")
	cmd.Stdout, cmd.Stderr = w.log, w.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		cmd.Process.Kill()
		if cmd.Wait() != nil && cmd.ProcessState.ExitCode() == -1 {
			w.killed++
		}
	}
}

// finish runs the agent, with nothing in its way, until it says that every target has every dump.
func (w *world) finish() {
	w.t.Helper()
	var said []byte
	for try := range 6 {
		ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
		out, err := w.command(ctx, "agent", "--once").CombinedOutput()
		cancel()
		said = out
		w.log.Write(out)
		if err == nil {
			w.once++
			return
		}
		w.tried = max(w.tried, try+1)
	}
	w.t.Fatalf("with nothing in its way the agent does not finish:\n%s", tail(said))
}

func tail(b []byte) []byte { return b[max(0, len(b)-6000):] }

// mount puts a small file system at path.
func (w *world) mount(path, size string) {
	w.t.Helper()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "mode=755,size="+size); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
}

// mountNAS puts the NAS, which keeps what it holds while it is away, at its mount point.
func (w *world) mountNAS() {
	w.t.Helper()
	if err := syscall.Mount(w.nas+".fuse", w.nas, "", syscall.MS_BIND, ""); err != nil {
		w.t.Fatal(err)
	}
	w.nasMounted = true
}

// unmountNAS takes it away while it is used, as a dead link does. What is written to the bare mount point is a failure.
func (w *world) unmountNAS() {
	w.t.Helper()
	if err := syscall.Unmount(w.nas, syscall.MNT_DETACH); err != nil {
		w.t.Fatal(err)
	}
	w.nasMounted = false
}

// remountNAS brings it back.
func (w *world) remountNAS() {
	w.t.Helper()
	if w.nasMounted {
		return
	}
	if left, err := os.ReadDir(w.nas); err != nil || len(left) > 0 {
		w.t.Errorf("the bare mount point holds %v: %v", left, err)
	}
	w.mountNAS()
}

// fill takes all space of a file system until free, unless it is taken already.
func (w *world) fill(path string) (free func()) {
	w.t.Helper()
	name := filepath.Join(path, ".filled-by-a-stranger")
	if _, err := os.Stat(name); err == nil {
		return nothing
	}
	f, err := os.Create(name)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 4096; size /= 4 {
		for b := make([]byte, size); ; {
			if _, err := f.Write(b); err != nil {
				break
			}
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			w.t.Error(err)
		}
	}
}
