package servers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// Toxiproxy is a running toxiproxy-server: what goes through its proxies can be disturbed.
type Toxiproxy struct {
	*Process
	api string
}

// StartToxiproxy starts it. It ends with the test.
func StartToxiproxy(t testing.TB) *Toxiproxy {
	t.Helper()
	address := FreePort(t)
	x := &Toxiproxy{api: "http://" + address}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	x.Process = run(t, func() *exec.Cmd {
		return exec.Command(Binary(t, "toxiproxy"), "-host", host, "-port", port)
	}, func() bool {
		answer, err := http.Get(x.api + "/version")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return x
}

// Proxy is a way to a server.
type Proxy struct {
	x *Toxiproxy
	// Name of the proxy, and the Address, host:port, at which it listens.
	Name, Address string
	toxics        int
}

// Proxy opens a way to the server at upstream, host:port.
func (x *Toxiproxy) Proxy(t testing.TB, name, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{x: x, Name: name, Address: FreePort(t)}
	x.call(t, http.MethodPost, "/proxies", map[string]any{"name": name, "listen": p.Address, "upstream": upstream, "enabled": true})
	return p
}

// Toxic disturbs the way: kind and attributes are toxiproxy's, stream is upstream (to the server) or downstream.
func (p *Proxy) Toxic(t testing.TB, kind, stream string, attributes map[string]any) {
	t.Helper()
	p.toxics++
	p.x.call(t, http.MethodPost, "/proxies/"+p.Name+"/toxics", map[string]any{
		"name": fmt.Sprint("toxic", p.toxics), "type": kind, "stream": stream, "attributes": attributes,
	})
}

// Enable opens or cuts the way, with all of its connections.
func (p *Proxy) Enable(t testing.TB, on bool) {
	t.Helper()
	p.x.call(t, http.MethodPost, "/proxies/"+p.Name, map[string]any{"enabled": on})
}

// Heal opens all ways and takes all toxics away.
func (x *Toxiproxy) Heal(t testing.TB) {
	t.Helper()
	x.call(t, http.MethodPost, "/reset", nil)
}

func (x *Toxiproxy) call(t testing.TB, method, path string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	for try := 0; ; try++ {
		r, err := http.NewRequestWithContext(t.Context(), method, x.api+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if busy := answer.StatusCode == http.StatusServiceUnavailable; busy && path == "/reset" && try < 10 {
			continue // it gives itself five seconds, which closing all connections may take
		}
		if answer.StatusCode >= 300 {
			t.Fatalf("toxiproxy %s %s: %s: %s", method, path, answer.Status, said)
		}
		return
	}
}
