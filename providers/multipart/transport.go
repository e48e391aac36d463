package multipart

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// DefaultIdle is how long a server may be silent.
const DefaultIdle = time.Minute

// Transport is HTTP/1.1 with enough kept connections, no limit on a whole request, and a limit on silence: a read or
// write that makes no progress for the idle time fails.
type Transport struct {
	http   *http.Transport
	closed atomic.Bool
	clock  atomic.Pointer[reading] // of the newest answer
}

// reading is what the store's clock said in an answer, and when the certificate of that server expires, if it has one.
type reading struct{ time, certificate time.Time }

const (
	// large bodies are sent when the server has agreed to have them. It may answer instead that it refuses, and close the
	// connection on a client that is still sending, which would hear of a broken connection only.
	large = 1 << 20
	// agreement is how long to wait for it; some servers never say so and wait for the body.
	agreement = time.Second
)

// NewTransport is a transport that trusts the certificates in caFile, which may be empty, beside the system's.
func NewTransport(caFile string, idle time.Duration) (*Transport, error) {
	if idle == 0 {
		idle = DefaultIdle
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
	}
	dialer := &net.Dialer{Timeout: min(idle, 30*time.Second), KeepAlive: 30 * time.Second}
	return &Transport{http: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &idleConn{c, idle}, nil
		},
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   min(idle, 30*time.Second),
		ResponseHeaderTimeout: idle,
		ExpectContinueTimeout: agreement,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       idle,
		WriteBufferSize:       256 << 10,
		ReadBufferSize:        256 << 10,
		DisableCompression:    true,
	}}, nil
}

// RoundTrip is part of http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.closed.Load() {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fs.ErrClosed
	}
	if r.ContentLength >= large {
		r = r.Clone(r.Context())
		r.Header.Set("Expect", "100-continue")
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1 // net/http looks here, and the AWS SDK leaves it out
	}
	answer, err := t.http.RoundTrip(r)
	if err == nil {
		t.note(answer)
	}
	return answer, err
}

// Close closes the connections, those in use when their answers have been read. Requests after it fail, so that a call
// under way opens no new ones.
func (t *Transport) Close() {
	t.closed.Store(true)
	t.http.CloseIdleConnections()
}

// idleConn gives each read and each write idle time to make progress.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	// While a request is written, the transport waits in Read for the answer: writing is progress too.
	deadline := time.Now().Add(c.idle)
	if err := c.SetDeadline(deadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
