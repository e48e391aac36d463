package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pinged runs a watchdog with that limit, whose agent is stuck when stuck says so, and counts what systemd hears.
func pinged(t *testing.T, limit time.Duration, stuck func() bool) (heard *atomic.Int64, log *lines) {
	heard, log = new(atomic.Int64), &lines{}
	w := watchdog{limit: limit, log: slog.New(slog.NewTextHandler(log, nil)),
		stuck: func(longer time.Duration) []string {
			if longer != limit/2 {
				t.Errorf("asked for %v of a limit of %v", longer, limit)
			}
			if stuck() {
				return []string{"the watcher, for 5m1s"}
			}
			return nil
		},
		alive: func() error { heard.Add(1); return nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return heard, log
}

// systemd hears of a living agent well within the limit, and of a stuck one nothing, until it turns again.
func TestTheWatchdogHearsOnlyOfALivingAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Bool
		heard, log := pinged(t, 10*time.Minute, stuck.Load)
		for range 100 {
			before := heard.Load()
			time.Sleep(5 * time.Minute)
			if heard.Load() == before {
				t.Fatal("nothing was heard of a living agent for half of the limit")
			}
		}
		stuck.Store(true)
		time.Sleep(time.Second)
		before := heard.Load()
		time.Sleep(time.Hour)
		if heard.Load() != before || !strings.Contains(log.String(), "the watcher, for 5m1s") {
			t.Errorf("%d signs of life of a stuck agent; the log: %s", heard.Load()-before, log)
		}
		stuck.Store(false)
		time.Sleep(5 * time.Minute)
		if heard.Load() == before {
			t.Error("nothing was heard of an agent that turns again")
		}
	})
}

// Without systemd's watchdog there is nobody to tell.
func TestNoWatchdog(t *testing.T) {
	if err := (watchdog{}).run(t.Context()); err != nil {
		t.Error(err)
	}
}

// managed starts the service as systemd does: with a notify socket, the watchdog, and no terminal.
func (in *installation) managed() (told *heard, log *lines, signal func(syscall.Signal), wait func() error) {
	in.t.Helper()
	told, log = &heard{}, &lines{}
	path := filepath.Join(in.dir, "notify.sock")
	line, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { line.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := line.Read(b)
			if err != nil {
				return
			}
			told.note(string(b[:n]))
		}
	}()
	cmd := in.command(in.t.Context(), "agent")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=2000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	return told, log, func(s syscall.Signal) { cmd.Process.Signal(s) }, cmd.Wait
}

// count is how often something with these words was heard.
func (h *heard) count(words string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.all {
		n += strings.Count(s, words)
	}
	return n
}

// partialSize is how much of an upload lies in the directory.
func (in *installation) partialSize() (size int64) {
	filepath.WalkDir(filepath.Join(in.dir, "nas"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".partial") {
			if info, err := d.Info(); err == nil {
				size = max(size, info.Size())
			}
		}
		return nil
	})
	return size
}

// sentBytes is how much the last delivery in a log had to send.
func sentBytes(t *testing.T, log string) int64 {
	t.Helper()
	found := regexp.MustCompile(`msg=delivered .* sent=(\d+)`).FindAllStringSubmatch(log, -1)
	if found == nil {
		t.Fatalf("nothing was delivered: %s", log)
	}
	n, err := strconv.ParseInt(found[len(found)-1][1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// SIGHUP makes the service take a changed configuration, in the middle of an upload, which goes on where it was; a wrong one it does not take.
func TestReload(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	path := filepath.Join(in.dir, "offsite.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "\nblock_size: 8MiB\n"...)
	change := func(from, to string) {
		t.Helper()
		changed := strings.Replace(string(text), from, to, 1)
		if changed == string(text) {
			t.Fatalf("no %q in %s", from, text)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change("    dir:", "    limit: 8MB/s\n    dir:") // so slow that nine seconds are left when it is told otherwise
	dump := make([]byte, 128<<20)
	rand.NewChaCha8([32]byte{1}).Read(dump)
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261122_030001.sql"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	told, log, signal, wait := in.managed()
	told.until(t, "READY=1")
	for deadline := time.Now().Add(time.Minute); in.partialSize() < 56<<20; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no upload has begun: %s", log)
		}
	}

	if err := os.WriteFile(path, append(text, "\nhosts: x\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	signal(syscall.SIGHUP)
	log.await(t, "the changed configuration is not taken")
	log.await(t, "hosts")
	told.until(t, "RELOADING=1\nMONOTONIC_USEC=")
	told.until(t, "STATUS=db-server: 1 problem: the changed configuration is not in use, the agent goes on with the one of before")
	log.await(t, "msg=alarm key=config")
	if strings.Contains(log.String(), "delivered") || strings.Count(log.String(), "msg=watching") != 1 {
		t.Fatalf("it was too fast for this test, or did not go on: %s", log)
	}

	change("keep:", "listen: [{address: \"unix:"+filepath.Join(in.dir, "page.sock")+"\"}]\nkeep:")
	had := in.partialSize()
	signal(syscall.SIGHUP)
	log.await(t, "the page is served")
	log.await(t, "was begun before: sends what the target lacks")
	log.await(t, "msg=delivered")
	if text := body(t, client(unixDial(filepath.Join(in.dir, "page.sock")), nil), "http://page/"); !strings.Contains(text, "db-server") {
		t.Errorf("the page: %.300s", text)
	}
	if sent := sentBytes(t, log.String()); sent >= 128<<20-had/2 {
		t.Errorf("%d bytes were sent after the reload, though %d were there: %s", sent, had, log)
	}
	if told.count("STOPPING=1") > 0 || told.count("WATCHDOG=1") == 0 {
		t.Errorf("systemd heard: %q", told.all)
	}
	if all := in.list(); len(all) != 1 {
		t.Errorf("%d backups: %+v", len(all), all)
	}
	signal(syscall.SIGTERM)
	if err := wait(); err != nil {
		t.Errorf("%v: %s", err, log)
	}
	told.until(t, "STOPPING=1")
}

// A changed configuration that is right by itself, and by which no agent can be begun, leaves the agent with the one of before; what is
// mended afterwards is taken.
func TestReloadBeginsNoAgentThatCannotBe(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	path := filepath.Join(in.dir, "offsite.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, log, signal, wait := in.managed()
	log.await(t, "msg=watching")
	unusable := install(t, "nas") // another agent has its state
	_, theirs, stop, ended := unusable.managed()
	theirs.await(t, "msg=watching")
	changed := regexp.MustCompile(`(?m)^state: .*$`).ReplaceAll(text, []byte("state: "+filepath.Join(unusable.dir, "state")))
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	signal(syscall.SIGHUP)
	log.await(t, "no agent can be begun by the changed configuration")
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261122_030001.sql"), []byte("SELECT 1;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log.await(t, "msg=delivered")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if said, _ := in.run(1, "status"); !strings.Contains(said, "the changed configuration is not in use") {
		t.Errorf("the status: %s", said)
	}
	signal(syscall.SIGHUP)
	log.await(t, "the configuration was read again")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, _ := in.command(t.Context(), "status").Output() // its exit status is what is waited for
		said := string(out)
		if !strings.Contains(said, "the changed configuration") && strings.Contains(said, "is safe") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is told still: %s", said)
		}
	}
	signal(syscall.SIGTERM)
	stop(syscall.SIGTERM)
	if err := errors.Join(wait(), ended()); err != nil {
		t.Errorf("%v: %s", err, log)
	}
}

// What `systemctl reload` asks first.
func TestCheck(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	in.run(0, "agent", "--check")
	f, err := os.OpenFile(filepath.Join(in.dir, "offsite.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "\nhosts: x\n")
	f.Close()
	if _, said := in.run(exitUsage, "agent", "--check"); !strings.Contains(said, "hosts") {
		t.Errorf("it does not say what is wrong: %s", said)
	}
}

// In a sandbox a directory that is not bound from the host is none to watch, though it seems to be there.
func TestWhatIsNotBoundIsNotWatched(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	text, err := os.ReadFile(filepath.Join(in.dir, "offsite.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sandbox := t.TempDir()
	for _, dir := range []string{"srv/data/one", "host/one"} {
		if err := os.MkdirAll(filepath.Join(sandbox, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const script = `set -e
cd "$1"
mount --bind host/one srv/data/one
mkdir -p home && mount -t tmpfs tmpfs home && mkdir -p home/x/one home/x/two && mount --bind host/one home/x/one
for dir in /proc /usr /bin /lib /lib64 "$2"; do
	test ! -e $dir || { mkdir -p "./$dir"; mount --bind $dir "./$dir"; }
done
exec chroot . "$2/offsite" --config "$2/offsite.yaml" agent --check`
	for _, c := range []struct {
		watch string
		want  string // part of what is wrong; empty: nothing
	}{
		{"/srv/data/one", ""},
		{"/srv/data", "watch[0].path: /srv/data: the service does not see that directory of the host"},
		{"/srv/gone", "/srv/gone cannot be read"},
		{"/home/x/one", ""},
		{"/home/x", "the service does not see that directory of the host"},
		{"/home/x/two", "the service does not see that directory of the host"},
	} {
		changed := strings.Replace(string(text), in.dumps, c.watch, 1)
		if changed == string(text) {
			t.Fatalf("nothing to replace in %s", text)
		}
		if err := os.WriteFile(filepath.Join(in.dir, "offsite.yaml"), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("unshare", "--mount", "bash", "-c", script, "sandbox", sandbox, in.dir)
		cmd.Env = append(os.Environ(), sandboxVariable+"=1")
		out, err := cmd.CombinedOutput()
		if (err == nil) != (c.want == "") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v: %s, want %q", c.watch, err, out, c.want)
		}
	}
}
