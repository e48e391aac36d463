package multipart

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
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
	pieces sync.Pool               // of *[pieceSize]byte
}

// reading is what the store's clock said in an answer, and when the certificate of that server expires, if it has one.
type reading struct{ time, certificate time.Time }

const (
	// large bodies are sent when the server has agreed to have them. It may answer instead that it refuses, and close the
	// connection on a client that is still sending, which would hear of a broken connection only.
	large = 1 << 20
	// agreement is how long to wait for it; some servers never say so and wait for the body.
	agreement = time.Second
	// pieceSize is what one write of a body carries; the standard library takes 32 KiB, and four times as many system calls. (Under
	// TLS it does so still.) The least limit, 16 KB/s, lets one through in 8 s.
	pieceSize = 128 << 10
	// bufferSize is for a small request or answer to go in one piece. What is larger goes around the buffers.
	bufferSize = 64 << 10
)

// NewTransport is a transport that trusts the certificates in caFile, which may be empty, beside the system's.
func NewTransport(caFile string, idle time.Duration) (*Transport, error) {
	if idle == 0 {
		idle = DefaultIdle
	}
	roots, err := trusted(caFile)
	if err != nil {
		return nil, err
	}
	t := &Transport{pieces: sync.Pool{New: func() any { return new([pieceSize]byte) }}}
	dialer := &net.Dialer{Timeout: min(idle, 30*time.Second), KeepAlive: 30 * time.Second}
	t.http = &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &idleConn{c, idle, &t.pieces}, nil
		},
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   min(idle, 30*time.Second),
		ResponseHeaderTimeout: idle,
		ExpectContinueTimeout: agreement,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       idle,
		WriteBufferSize:       bufferSize,
		ReadBufferSize:        bufferSize,
		DisableCompression:    true,
	}
	return t, nil
}

// trusted is the certificates in caFile and the system's; nil, if there is no caFile: the system's, which are then read when
// they are needed first.
func trusted(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
	}
	return roots, nil
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
	idle   time.Duration
	pieces *sync.Pool
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (sent int, err error) {
	for {
		// While a request is written, the transport waits in Read for the answer: writing is progress too.
		if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
			return sent, err
		}
		n, err := c.Conn.Write(p[sent:])
		sent += n
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) { // else a slow line took a part of it
			return sent, err
		}
	}
}

// ReadFrom is part of io.ReaderFrom, by which the transport sends a body.
func (c *idleConn) ReadFrom(r io.Reader) (sent int64, err error) {
	piece := c.pieces.Get().(*[pieceSize]byte)
	defer c.pieces.Put(piece)
	return io.CopyBuffer(struct{ io.Writer }{c}, r, piece[:])
}
