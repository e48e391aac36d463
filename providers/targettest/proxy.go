package targettest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"offsite/providers"
)

// lostAnswer puts an object of several blocks through a proxy before the real server of bucket, which it reaches by to.
// The server completes the object, and the proxy drops the connection instead of passing the answer on.
// (The host name is part of the signature; servers take the one that the client sent.)
func (open OpenS3) lostAnswer(t *testing.T, bucket S3, to http.RoundTripper) {
	const block = smallestPart
	server, err := url.Parse(bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var begun, lost atomic.Int32
	pass := &httputil.ReverseProxy{
		Transport: to,
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = server.Scheme, server.Host },
		ModifyResponse: func(answer *http.Response) error {
			if completes(answer.Request) && answer.StatusCode == http.StatusOK && lost.Add(1) == 1 {
				return http.ErrAbortHandler
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploads") {
			begun.Add(1)
		}
		pass.ServeHTTP(w, r)
	}))
	defer proxy.Close()

	src := NewSource(1, 2*block+3, block)
	bucket.Endpoint, bucket.IdleTimeout = proxy.URL, unhurried
	target := open(t, bucket)
	defer target.Close() // before the proxy
	if err := target.Put(t.Context(), "lost", src); err != nil {
		t.Fatal(err)
	}
	if lost.Load() == 0 || src.Made() != providers.Blocks(src) || begun.Load() != 1 {
		t.Errorf("%d answers lost, %d of %d blocks made, %d uploads begun", lost.Load(), src.Made(), providers.Blocks(src), begun.Load())
	}
	if o, err := target.Stat(t.Context(), "lost"); err != nil || o.Size != src.Size() {
		t.Errorf("%+v, %v", o, err)
	}
}

func completes(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}
