package multipart

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// DefaultIdle is how long a server may be silent.
const DefaultIdle = time.Minute

// Transport is HTTP/1.1 with enough kept connections, no limit on a whole request, and a limit on silence: a read or
// write that makes no progress for idle fails. caFile, which may be empty, holds certificates to trust beside the
// system's.
func Transport(caFile string, idle time.Duration) (*http.Transport, error) {
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
	return &http.Transport{
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
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       idle,
		WriteBufferSize:       256 << 10,
		ReadBufferSize:        256 << 10,
		DisableCompression:    true,
	}, nil
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
