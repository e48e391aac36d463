package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// heard collects what the service tells others.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, s)
}

// until waits for something with these words.
func (h *heard) until(t *testing.T, words string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		all := strings.Join(h.all, "\n")
		h.mu.Unlock()
		if strings.Contains(all, words) {
			return
		}
	}
	t.Fatalf("%q was never heard: %q", words, h.all)
}

// The service shows itself: to systemd, on its page, to Prometheus, and to those who are to be told of alarms.
func TestTheServiceShowsItself(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	pings, told, systemd := &heard{}, filepath.Join(in.dir, "told"), &heard{}
	watcher := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		pings.note(r.URL.Path + " " + string(text))
	}))
	t.Cleanup(watcher.Close)
	config := filepath.Join(in.dir, "offsite.yaml")
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, `
listen:
  - address: unix:%s/page.sock
alarms:
  ways:
    file: {command: [/bin/sh, -c, "cat >> %s"]}
  pings:
    - {series: "sh*", url: %q}
    - {alive: 1m, url: %q}
`, in.dir, told, watcher.URL+"/shop", watcher.URL+"/alive")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	notify := filepath.Join(in.dir, "notify.sock")
	line, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := line.Read(b)
			if err != nil {
				return
			}
			systemd.note(string(b[:n]))
		}
	}()
	whole := []byte("--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n")
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261001_030000.sql"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := in.command(t.Context(), "agent")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	systemd.until(t, "READY=1")
	pings.until(t, "/shop/start found shop_20261001_030000.sql")
	pings.until(t, "/shop shop_20261001_030000.sql, 78 B, is on nas")
	pings.until(t, "/alive ")
	systemd.until(t, "STATUS=db-server: everything is safe")

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(in.dir, "page.sock"))
	}}}
	get := func(path string) string {
		t.Helper()
		r, err := client.Get("http://page" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, r.Status, err)
		}
		return string(text)
	}
	if text := get("/"); !strings.Contains(text, "Everything is safe") || !strings.Contains(text, "shop") {
		t.Errorf("the page: %.500s", text)
	}
	if text := get("/metrics"); !strings.Contains(text, `offsite_last_backup_timestamp_seconds{series="shop",target="nas"} 1.7908236e+09`) {
		t.Errorf("the metrics: %.200s", text)
	}

	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261002_030000.sql"), whole[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	systemd.until(t, "STATUS=db-server: 1 problem")
	pings.until(t, "/shop/fail shop_20261002_030000.sql is suspect: ")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(told); bytes.Contains(text, []byte("offsite-alarm/1")) && bytes.Contains(text, []byte("suspect/shop")) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the program was not told: %s\n%s", text, log.String())
		}
	}
	if text := get("/"); !strings.Contains(text, "1 problem") {
		t.Errorf("the page: %.500s", text)
	}

	// The command that the page shows brings the backup back.
	shown := regexp.MustCompile(`<code[^>]*>(offsite [^<]*restore[^<]*)</code>`).FindStringSubmatch(get("/series/shop"))
	if shown == nil {
		t.Fatalf("no command is shown: %s", get("/series/shop"))
	}
	line2 := strings.Replace(html.UnescapeString(shown[1]), "offsite ", in.program+" ", 1)
	restore := exec.Command("bash", "-c", strings.Replace(line2, "identity.txt", in.identity, 1))
	restore.Dir = t.TempDir()
	if out, err := restore.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", line2, err, out)
	}

	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log.String())
	}
	systemd.until(t, "STOPPING=1")
}
