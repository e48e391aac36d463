package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	nethtml "golang.org/x/net/html"

	"offsite/agent/status"
)

// otherHost brings dumps to the target of an installation, as another machine with a key of its own does, and gives its verifier key.
func (in *installation) otherHost(name string, dumps ...string) (verifier string) {
	in.t.Helper()
	dir := filepath.Join(in.dir, name)
	config := filepath.Join(dir, "offsite.yaml")
	watched := filepath.Join(dir, "dumps")
	if err := os.MkdirAll(watched, 0o755); err != nil {
		in.t.Fatal(err)
	}
	for _, file := range dumps {
		if err := os.WriteFile(filepath.Join(watched, file), wholeDump, 0o600); err != nil {
			in.t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--yes", "--host", name, "--zone", "UTC", "--state", filepath.Join(dir, "state"), "--watch", watched, "--target", "nas=" + filepath.Join(in.dir, "nas")},
		{"agent", "--once"},
	} {
		cmd := exec.CommandContext(in.t.Context(), in.program, append([]string{"--config", config}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			in.t.Fatalf("%s: %q: %v\n%s", name, args, err, out)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, "signing.key"))
	if err != nil {
		in.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(key)), "\n")
	return lines[len(lines)-1]
}

var wholeDump = []byte("--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n")

// The running agent shows what all hosts have brought to a target: its own, a host whose key it trusts, and one that it does not know,
// with a series that somebody named to break the page.
func TestThePageShowsTheFleet(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261001_030000.sql"), wholeDump, 0o600); err != nil {
		t.Fatal(err)
	}
	in.run(0, "agent", "--once")
	const evil = `<img src=x onerror=alert(1)>`
	known := in.otherHost("web-1", "blog_20261001_030000.sql", evil+"_20261001_030000.sql")
	in.otherHost("web-2", "wiki_20261001_030000.sql")

	f, err := os.OpenFile(filepath.Join(in.dir, "offsite.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\ntrust:\n  - %s\nlisten:\n  - address: unix:%s/page.sock\nfleet: {target: nas}\n", known, in.dir)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := in.command(t.Context(), "agent")
	log := &lines{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.await(t, "the page is served")
	browser := client(unixDial(filepath.Join(in.dir, "page.sock")), nil)
	get := func(path string) string { return body(t, browser, "http://page"+path) }

	if text := get("/"); !strings.Contains(text, `href="/fleet"`) {
		t.Errorf("the first page does not lead to the fleet: %.300s", text)
	}
	all := get("/fleet")
	for _, want := range []string{"1 of 3 hosts in trouble", `<a href="/fleet/web-2">web-2</a>`, "1 not trusted", `<a href="/fleet/db-server">db-server</a>`, `<a href="/fleet/web-1">web-1</a>`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %s", want, all)
		}
	}
	if found := get("/fleet?q=ONERROR&level=ok"); strings.Contains(found, "/fleet/web-2\">web-2</a><td") || !strings.Contains(found, "/fleet/web-1") {
		t.Errorf("looking for a series finds %s", found)
	}
	if stranger := get("/fleet/web-2"); !strings.Contains(stranger, "which is not trusted here.") || !strings.Contains(stranger, "add it to <code>trust</code>") {
		t.Errorf("the stranger: %s", stranger)
	}
	one := get("/fleet/web-1")
	if !strings.Contains(one, "&lt;img") || hasElement(t, one, "img") || strings.Contains(one, "What to do") {
		t.Errorf("the host with the evil series: %s", one)
	}
	var read status.Fleet
	if err := json.Unmarshal([]byte(get("/fleet.json")), &read); err != nil || len(read.Hosts) != 3 || read.Unsound != 1 || !read.Checked || !read.Whole || read.Target != "nas" {
		t.Errorf("%+v, %v", read, err)
	}
	r, err := browser.Get("http://page/fleet/nobody")
	if err != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("a host that is not there: %v, %v", r, err)
	} else {
		r.Body.Close()
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log)
	}
}

func hasElement(t *testing.T, document, name string) bool {
	t.Helper()
	doc, err := nethtml.Parse(bytes.NewReader([]byte(document)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == nethtml.ElementNode && n.Data == name {
			return true
		}
	}
	return false
}
