package page_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"offsite/cmd/offsite/page"
)

// visitor asks as one program or person does.
type visitor struct {
	t       *testing.T
	handler http.Handler
	from    string
	cookies []*http.Cookie
	header  map[string]string
}

func (v *visitor) do(method, address string, form url.Values) *http.Response {
	v.t.Helper()
	r := httptest.NewRequest(method, address, strings.NewReader(form.Encode()))
	r.Host = "localhost:7373"
	r.RemoteAddr = v.from
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for key, value := range v.header {
		r.Header.Set(key, value)
	}
	for _, c := range v.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r)
	return w.Result()
}

func (v *visitor) login(token, to string) *http.Response {
	v.t.Helper()
	r := v.do(http.MethodPost, "/login", url.Values{"token": {token}, "to": {to}})
	if c := r.Cookies(); len(c) > 0 {
		v.cookies = c
	}
	return r
}

// guarded is a page behind a token, at a time that the test sets.
type guarded struct {
	http.Handler
	token string
	now   time.Time
	log   bytes.Buffer
}

func newGuarded(t *testing.T, a page.Access) *guarded {
	g := &guarded{now: time.Now()}
	g.token, a.TokenHash = page.NewToken()
	f := realistic(g.now, 1)
	p, err := page.New(page.Options{
		Source: f, Zone: prague, Now: func() time.Time { return g.now }, Log: slog.New(slog.NewTextHandler(&g.log, nil)),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "offsite_up 1") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if g.Handler, err = p.Behind(a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if strings.Contains(g.log.String(), g.token) {
			t.Error("the log has the token")
		}
	})
	return g
}

var html = map[string]string{"Accept": "text/html"}

var guardedPaths = []string{"/", "/series/pg/shop", "/parts?id=facts", "/events", "/status.json", "/metrics"}

func TestWithoutTheTokenThereIsNothing(t *testing.T) {
	g := newGuarded(t, page.Access{})
	for _, address := range guardedPaths {
		v := visitor{t: t, handler: g, from: "10.0.0.1:1"}
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: %s", address, r.Status)
		}
		v.header = html
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/login?to="+url.QueryEscape(address) {
			t.Errorf("%s: %s to %s", address, r.Status, r.Header.Get("Location"))
		}
		v.header = map[string]string{"Authorization": "Bearer " + g.token[1:] + "A"}
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %s", address, r.Status)
		}
		v.header, v.cookies = nil, []*http.Cookie{{Name: "offsite", Value: g.token}}
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with the token as the cookie: %s", address, r.Status)
		}
	}
	if !strings.Contains(g.log.String(), "10.0.0.1") {
		t.Error("the log does not say who tried")
	}
}

func TestAProgramShowsTheToken(t *testing.T) {
	g := newGuarded(t, page.Access{})
	v := visitor{t: t, handler: g, from: "10.0.0.1:1", header: map[string]string{"Authorization": "Bearer " + g.token}}
	for _, address := range guardedPaths {
		if address == "/events" {
			continue // does not end
		}
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusOK || len(r.Cookies()) > 0 {
			t.Errorf("%s: %s, %v", address, r.Status, r.Cookies())
		}
	}
}

func TestLogin(t *testing.T) {
	for _, tls := range []bool{false, true} {
		g := newGuarded(t, page.Access{TLS: tls})
		v := &visitor{t: t, handler: g, from: "10.0.0.1:1", header: html}
		if r := v.login("wrong", "/"); r.StatusCode != http.StatusUnauthorized || len(v.cookies) > 0 {
			t.Errorf("a wrong token: %s, %v", r.Status, v.cookies)
		}
		r := v.login("  "+g.token+"\n", "/series/pg/shop") // as it is pasted
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/series/pg/shop" || len(v.cookies) != 1 {
			t.Fatalf("%s to %s, %v", r.Status, r.Header.Get("Location"), v.cookies)
		}
		c := v.cookies[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != tls || c.Path != "/" || c.MaxAge != 0 || strings.Contains(c.Value, g.token) || len(c.Value) < 26 ||
			tls && c.Name != "__Host-offsite" {
			t.Errorf("%+v", c)
		}
		if r := v.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusOK {
			t.Error(r.Status)
		}
		// Another agent, or this one when it has been started again, does not know the cookie.
		other := &visitor{t: t, handler: newGuarded(t, page.Access{TLS: tls}), header: html, cookies: v.cookies}
		if r := other.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusSeeOther {
			t.Error(r.Status)
		}
		old := v.cookies
		if r := v.do(http.MethodPost, "/logout", url.Values{}); r.StatusCode != http.StatusSeeOther || len(r.Cookies()) != 1 || r.Cookies()[0].MaxAge >= 0 {
			t.Errorf("%s, %v", r.Status, r.Cookies())
		}
		v.cookies = old
		if r := v.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusSeeOther {
			t.Error("the cookie holds after the logout: " + r.Status)
		}
	}
}

func TestALoginEnds(t *testing.T) {
	g := newGuarded(t, page.Access{})
	v := &visitor{t: t, handler: g, header: html}
	v.login(g.token, "/")
	g.now = g.now.Add(7*24*time.Hour - time.Second)
	if r := v.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
	g.now = g.now.Add(time.Second)
	if r := v.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusSeeOther {
		t.Error(r.Status)
	}
	v.login(g.token, "/")
	for range 200 { // somebody who logs in again and again does not fill the memory
		g.now = g.now.Add(time.Second)
		(&visitor{t: t, handler: g, header: html}).login(g.token, "/")
	}
	if r := v.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusSeeOther {
		t.Error("the oldest login is still there")
	}
}

func TestTooManyWrongTokens(t *testing.T) {
	g := newGuarded(t, page.Access{})
	in := &visitor{t: t, handler: g, from: "10.0.0.1:1", header: html}
	in.login(g.token, "/")
	v := &visitor{t: t, handler: g, from: "10.0.0.1:2", header: html}
	for range 10 {
		if r := v.login("wrong", "/"); r.StatusCode != http.StatusUnauthorized {
			t.Fatal(r.Status)
		}
	}
	for _, token := range []string{"wrong", g.token} {
		if r := v.login(token, "/"); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "6" {
			t.Errorf("%s after %s", r.Status, r.Header.Get("Retry-After"))
		}
		bearer := &visitor{t: t, handler: g, from: "[::ffff:10.0.0.1]:9", header: map[string]string{"Authorization": "Bearer " + token}}
		if r := bearer.do(http.MethodGet, "/metrics", nil); r.StatusCode != http.StatusTooManyRequests {
			t.Error(r.Status)
		}
	}
	if r := in.do(http.MethodGet, "/", nil); r.StatusCode != http.StatusOK {
		t.Error("whoever is logged in is kept out: " + r.Status)
	}
	for from, want := range map[string]int{"10.0.0.2:1": http.StatusSeeOther, "[2001:db8::1]:1": http.StatusSeeOther} {
		if r := (&visitor{t: t, handler: g, from: from, header: html}).login(g.token, "/"); r.StatusCode != want {
			t.Errorf("%s: %s", from, r.Status)
		}
	}
	g.now = g.now.Add(6 * time.Second)
	if r := v.login(g.token, "/"); r.StatusCode != http.StatusSeeOther {
		t.Error("waiting does not help: " + r.Status)
	}
	for i := range 3000 { // addresses are forgotten
		(&visitor{t: t, handler: g, from: fmt.Sprintf("10.1.%d.%d:1", i/250, i%250), header: html}).login("wrong", "/")
	}
}

func TestOneIPv6NetworkIsOneAddress(t *testing.T) {
	g := newGuarded(t, page.Access{})
	for i := range 10 {
		(&visitor{t: t, handler: g, from: fmt.Sprintf("[2001:db8::%d]:1", i+1), header: html}).login("wrong", "/")
	}
	if r := (&visitor{t: t, handler: g, from: "[2001:db8::ffff]:1", header: html}).login(g.token, "/"); r.StatusCode != http.StatusTooManyRequests {
		t.Error(r.Status)
	}
	if r := (&visitor{t: t, handler: g, from: "[2001:db8:0:1::1]:1", header: html}).login(g.token, "/"); r.StatusCode != http.StatusSeeOther {
		t.Error(r.Status)
	}
}

// A foreign page whose name was made to lead here is not answered (DNS rebinding).
func TestNamesOfTheHost(t *testing.T) {
	_, hash := page.NewToken()
	local, remote := page.Access{Loopback: true, Names: []string{"Db-Server.lan"}}, page.Access{TokenHash: hash, Names: []string{"db-server.lan"}}
	for _, c := range []struct {
		access page.Access
		host   string
		ok     bool
	}{
		{local, "localhost", true}, {local, "localhost:7373", true}, {local, "LOCALHOST.:7373", true}, {local, "offsite.localhost:1", true},
		{local, "127.0.0.1:7373", true}, {local, "127.9.9.9", true}, {local, "[::1]:7373", true}, {local, "[::1]", true}, {local, "[::ffff:127.0.0.1]:1", true},
		{local, "db-server.lan:7373", true}, {local, "DB-SERVER.LAN", true},
		{local, "evil.example", false}, {local, "localhost.evil.example", false}, {local, "127.0.0.1.evil.example", false}, {local, "evillocalhost", false},
		{local, "192.168.1.5:7373", false}, {local, "", false}, {local, "db-server", false}, {local, "127.0.0.1:x:y", false},
		{remote, "192.168.1.5:7373", true}, {remote, "[2001:db8::1]:7373", true}, {remote, "db-server.lan", true}, {remote, "localhost", true},
		{remote, "evil.example", false}, {remote, "0x7f.1", false},
		{page.Access{Unix: true}, "evil.example", true},
	} {
		h := behind(t, empty(time.Now()), time.Now, c.access, quiet())
		for _, address := range []string{"/login", "/assets/page.css", "/"} {
			r := httptest.NewRequest(http.MethodGet, address, nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := w.Code != http.StatusMisdirectedRequest; got != c.ok {
				t.Errorf("%q at %+v: %d", c.host, c.access, w.Code)
			}
		}
	}
}

func TestNobodyIsSentElsewhere(t *testing.T) {
	g := newGuarded(t, page.Access{})
	for _, to := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "http:evil.example", "", "evil", "/\t/evil.example", "///evil.example", "http://localhost:7373@evil.example/"} {
		if r := (&visitor{t: t, handler: g, header: html}).login(g.token, to); r.Header.Get("Location") != "/" {
			t.Errorf("%q leads to %q", to, r.Header.Get("Location"))
		}
	}
	if r := (&visitor{t: t, handler: g, header: html}).login(g.token, "/series/?name=a%2Fb"); r.Header.Get("Location") != "/series/?name=a%2Fb" {
		t.Error(r.Header.Get("Location"))
	}
}

func TestItOnlyShows(t *testing.T) {
	g := newGuarded(t, page.Access{})
	v := &visitor{t: t, handler: g, header: map[string]string{"Authorization": "Bearer " + g.token}}
	for _, address := range append(guardedPaths, "/assets/page.css") {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if r := v.do(method, address, url.Values{}); r.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, address, r.Status)
			}
		}
	}
	v.header = map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
	for _, address := range []string{"/login", "/logout"} {
		if r := v.do(http.MethodPost, address, url.Values{"token": {g.token}}); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s from a foreign page: %s", address, r.Status)
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	g := newGuarded(t, page.Access{})
	v := &visitor{t: t, handler: g, header: map[string]string{"Authorization": "Bearer " + g.token, "Accept": "text/html"}}
	for _, address := range []string{"/", "/series/pg/shop", "/series/none", "/nothing", "/login", "/status.json", "/metrics", "/parts"} {
		h := v.do(http.MethodGet, address, nil).Header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: %s", address, csp)
		}
		for key, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
			if h.Get(key) != want {
				t.Errorf("%s: %s: %q", address, key, h.Get(key))
			}
		}
	}
}

func TestAnOpenDoorIsRefused(t *testing.T) {
	p, err := page.New(page.Options{Source: empty(time.Now()), Zone: prague, Now: time.Now, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []page.Access{{}, {TLS: true, Names: []string{"x"}}, {TokenHash: "sha256:00"}, {TokenHash: "abc", Loopback: true}, {TokenHash: strings.Repeat("00", 32), Unix: true}} {
		if h, err := p.Behind(a); err == nil || h != nil {
			t.Errorf("%+v is let through", a)
		}
	}
}
