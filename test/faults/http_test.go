package faults_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
)

// httpFaults stands before an S3 server and answers in its place, or changes its answers.
type httpFaults struct {
	url string

	mu   sync.Mutex
	mode string // empty: pass everything on
	r    *rand.Rand
}

func newHTTPFaults(t testing.TB, upstream string) *httpFaults {
	h := &httpFaults{r: rand.New(rand.NewPCG(1, 1))}
	pass := &httputil.ReverseProxy{
		Transport:      &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true},
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", upstream },
		ModifyResponse: h.change,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // as if nobody stood between
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code, status := h.refusal(); code != "" {
			w.WriteHeader(status)
			io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>injected</Message></Error>`)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = nil
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	h.url = server.URL
	return h
}

// set begins a mode: 500, 503, 403, garbage (answers whose text is damaged) or lost (answers that never arrive).
func (h *httpFaults) set(mode string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mode = mode
}

// half says of half of the requests that the mode holds for them.
func (h *httpFaults) half(mode string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mode == mode && h.r.IntN(2) == 0
}

func (h *httpFaults) refusal() (code string, status int) {
	switch {
	case h.half("500"):
		return "InternalError", 500
	case h.half("503"):
		return "SlowDown", 503
	case h.half("403"):
		return "AccessDenied", 403
	}
	return "", 0
}

// change damages an answer, or loses it after the server has done what was asked.
func (h *httpFaults) change(answer *http.Response) error {
	if h.half("lost") {
		return http.ErrAbortHandler
	}
	if answer.Request.Method == http.MethodHead || !h.half("garbage") {
		return nil
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if len(b) > 0 {
		h.mu.Lock()
		i := h.r.IntN(len(b))
		h.mu.Unlock()
		if strings.Contains(answer.Header.Get("Content-Type"), "xml") {
			b = b[:i] // cut short: a flipped letter of a name would be another name, which nobody can tell
		} else {
			b[i] ^= 0x40
		}
	}
	answer.Body = io.NopCloser(bytes.NewReader(b))
	answer.ContentLength = int64(len(b))
	answer.Header.Set("Content-Length", "")
	answer.Header.Del("Content-Length")
	return nil
}
