package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	svix "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"offsite/agent/alarm"
)

// recorder is a way that remembers.
type recorder struct{ all []alarm.Message }

func (r *recorder) Name() string { return "recorder" }
func (r *recorder) Send(_ context.Context, m alarm.Message) error {
	r.all = append(r.all, m)
	return nil
}

// call is one that a receiver got.
type call struct {
	path, query, body string
	header            http.Header
}

// receiver answers every call with a code and a body.
func receiver(t *testing.T, code int, answer string) (*httptest.Server, func() []call) {
	var mu sync.Mutex
	var calls []call
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		calls = append(calls, call{r.Method + " " + r.URL.Path, r.URL.RawQuery, string(b), r.Header})
		mu.Unlock()
		if code/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(code)
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s, func() []call {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func webhook(t *testing.T, address string) *Webhook {
	t.Helper()
	w, err := NewWebhook("hook", address, hookSecret, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// The library of the standard and a computation by hand agree with the signature.
func TestAWebhookIsSigned(t *testing.T) {
	s, calls := receiver(t, http.StatusNoContent, "")
	w := webhook(t, s.URL+"/hook?token=x")
	for range 2 {
		if err := w.Send(t.Context(), message(overdue, over)); err != nil {
			t.Fatal(err)
		}
	}
	got := calls()[0]
	if got.path != "POST /hook" || got.query != "token=x" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", got)
	}
	verifier, err := svix.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify([]byte(got.body), got.header); err != nil {
		t.Error("the library refuses it:", err)
	}
	if err := verifier.Verify([]byte(got.body+" "), got.header); err == nil {
		t.Error("the library takes anything")
	}
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", got.header.Get("webhook-id"), got.header.Get("webhook-timestamp"), got.body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.header.Get("webhook-signature") != want {
		t.Errorf("signature %s, want %s", got.header.Get("webhook-signature"), want)
	}
	if again := calls()[1]; again.header.Get("webhook-id") != got.header.Get("webhook-id") {
		t.Error("sent again, it has another id: the receiver would take it for another")
	}
}

func TestWhatAWebhookMakesOfAnswers(t *testing.T) {
	for _, c := range []struct {
		code         int
		answer, want string
	}{
		{200, "thanks", ""}, {202, "", ""}, {204, "", ""},
		{301, "", "answers 301, a redirect"}, {307, "", "answers 307, a redirect"},
		{400, "no such hook", "answers 400 Bad Request: no such hook"}, {500, "", "answers 500 Internal Server Error"},
		{503, "<html>\r\n\x1b[31m" + strings.Repeat("x", 100_000), "answers 503 Service Unavailable: <html> \uFFFD[31mxxx"},
	} {
		s, calls := receiver(t, c.code, c.answer)
		err := webhook(t, s.URL+"/hunter2").Send(t.Context(), message(overdue))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%d: %v", c.code, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || len(err.Error()) > 1000):
			t.Errorf("%d: %v, want %s", c.code, err, c.want)
		}
		if n := len(calls()); n != 1 {
			t.Errorf("%d: %d calls", c.code, n)
		}
	}
}

func TestAnAnswerThatShowsTheAddress(t *testing.T) {
	s, _ := receiver(t, 404, "no POST /T0KENsecret?key=s3cr3tkey here")
	err := webhook(t, s.URL+"/T0KENsecret?key=s3cr3tkey").Send(t.Context(), message(overdue))
	if err == nil || strings.Contains(err.Error(), "T0KEN") || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}

func TestAReceiverThatIsDown(t *testing.T) {
	s, _ := receiver(t, 200, "")
	s.Close()
	err := webhook(t, s.URL+"/T0KENsecret").Send(t.Context(), message(overdue))
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "T0KEN") {
		t.Error(err)
	}
}

// hung is a server that takes connections and never says a word.
func hung(t *testing.T) *httptest.Server {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(done); s.Close() })
	return s
}

func TestAReceiverThatHangs(t *testing.T) {
	w := webhook(t, hung(t).URL)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := w.Send(ctx, message(overdue))
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "no answer in time" {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Send(cancelled, message(overdue)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"https://example.org/x": "", "http://127.0.0.1:80/": "", "http://localhost/": "", "http://[::1]:1/": "",
		"http://example.org/": "not encrypted", "http://127.0.0.1.example.org/": "not encrypted", "http://10.0.0.1/": "not encrypted",
		"example.org": "not an address", "ftp://x/": "not an address", "https:///x": "not an address", "://": "not an address", "": "not an address",
	} {
		if err := CheckAddress(address); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	for _, secret := range []string{"", "hunter2", "whsec_", "whsec_aHVudGVyMg==", "whsec_hunter2!", strings.TrimPrefix(hookSecret, "whsec_")} {
		if _, err := NewWebhook("w", "https://example.org", secret, time.Now); err == nil || secret != "" && strings.Contains(err.Error(), strings.TrimPrefix(secret, "whsec_")) && secret != "whsec_" {
			t.Errorf("%q: %v", secret, err)
		}
	}
	if err := CheckHookSecret(hookSecret + "\n"); err != nil {
		t.Error(err)
	}
}

func TestPings(t *testing.T) {
	s, calls := receiver(t, 200, "OK")
	for _, base := range []string{"/uuid-1234", "/uuid-1234/"} {
		p, err := NewPing("ping of shop", s.URL+base+"?rid=1")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []alarm.Event{alarm.Started, alarm.Succeeded, alarm.Failed} {
			if err := p.Send(t.Context(), e, "line\none\x00"+strings.Repeat("ä", 50_000)); err != nil {
				t.Error(err)
			}
		}
	}
	var paths []string
	for _, c := range calls() {
		paths = append(paths, c.path+"?"+c.query)
		if len(c.body) > pingMost || !strings.HasPrefix(c.body, "line\none\uFFFDää") {
			t.Errorf("%d bytes: %.40q", len(c.body), c.body)
		}
	}
	want := "POST /uuid-1234/start?rid=1 POST /uuid-1234?rid=1 POST /uuid-1234/fail?rid=1 POST /uuid-1234/start?rid=1 POST /uuid-1234/?rid=1 POST /uuid-1234/fail?rid=1"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAPingNeverShowsItsAddress(t *testing.T) {
	s, _ := receiver(t, 404, "there is no check 8f2e1c3a-1111-4222")
	p, err := NewPing("ping alive", s.URL+"/8f2e1c3a-1111-4222")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := p.Send(t.Context(), alarm.Failed, "")
		if err == nil || strings.Contains(err.Error(), "8f2e1c3a") || strings.Contains(p.Name(), "8f2e") {
			t.Error(err)
		}
		s.Close()
	}
	if err := p.Send(t.Context(), "odd", ""); err == nil {
		t.Error("an unknown event")
	}
	if _, err := NewPing("p", "http://example.org/8f2e1c3a"); err == nil || strings.Contains(err.Error(), "8f2e1c3a") {
		t.Error(err)
	}
}
