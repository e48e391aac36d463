package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"offsite/providers"
)

// conn is one SSH connection with one SFTP session, used by one call at a time: a call that is cancelled, or whose
// server is silent, ends by closing it, and no other call is hurt.
type conn struct {
	*sftp.Client
	ssh    *ssh.Client
	net    *meter
	idle   time.Duration
	packet int
	// hostKey is the fingerprint of the key that the server has shown.
	hostKey string
	ended   chan struct{} // closed when the connection is gone
	closed  sync.Once
}

// errSilent is what a call ends with whose server does not answer.
var errSilent = errors.New("the server is silent")

// dial connects, checks the host key, logs in and starts SFTP. creds may be nil for a handshake that ends before.
func dial(ctx context.Context, cfg Config, keys hostKeys, creds *credentials) (*conn, error) {
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = defaultIdle
	}
	var wrong, last error
	for _, algorithms := range keys.tries {
		config := &ssh.ClientConfig{User: cfg.User, HostKeyCallback: keys.check, HostKeyAlgorithms: strong(algorithms)}
		safe := ssh.SupportedAlgorithms() // the defaults still have some with SHA-1
		config.KeyExchanges, config.Ciphers, config.MACs = safe.KeyExchanges, safe.Ciphers, safe.MACs
		if creds != nil {
			config.Auth = creds.methods
		}
		c, err := connect(ctx, cfg, config)
		switch {
		case err == nil:
			return c, nil
		case errors.As(err, new(*hostKeyError)):
			wrong = err
		case errors.As(err, new(*ssh.AlgorithmNegotiationError)):
			last = fmt.Errorf("%w: %w", providers.ErrPermanent, err)
		default:
			return nil, err
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	return nil, last
}

// strong leaves out the algorithms that prove a host key weakly: a known RSA key with SHA-1, if the server likes. nil: all that are strong.
func strong(algorithms []string) []string {
	if algorithms == nil {
		return ssh.SupportedAlgorithms().HostKeys
	}
	weak := ssh.InsecureAlgorithms().HostKeys
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return slices.Contains(weak, a) })
}

// connect makes one connection. Its handshake must end within the idle timeout.
func connect(ctx context.Context, cfg Config, config *ssh.ClientConfig) (*conn, error) {
	tcp, err := (&net.Dialer{Timeout: cfg.IdleTimeout}).DialContext(ctx, "tcp", cfg.address())
	if err != nil {
		return nil, err
	}
	m := &meter{Conn: tcp}
	stop := context.AfterFunc(ctx, func() { m.Close() })
	defer stop()
	timer := time.AfterFunc(cfg.IdleTimeout, m.silence)
	defer timer.Stop()

	var shown string
	check := config.HostKeyCallback
	config.HostKeyCallback = func(host string, remote net.Addr, key ssh.PublicKey) error {
		shown = ssh.FingerprintSHA256(key)
		return check(host, remote, key)
	}
	sshConn, channels, requests, err := ssh.NewClientConn(m, cfg.address(), config)
	if err != nil {
		m.Close()
		return nil, m.explain(err)
	}
	c := &conn{ssh: ssh.NewClient(sshConn, channels, requests), net: m, idle: cfg.IdleTimeout, hostKey: shown, ended: make(chan struct{})}
	go func() {
		c.ssh.Wait()
		close(c.ended)
	}()
	if err := c.start(); err != nil {
		c.Close()
		return nil, m.explain(err)
	}
	return c, nil
}

// start opens the SFTP session, with packets as large as the server says it takes.
func (c *conn) start() error {
	packet, inFlight, err := limits(c.ssh)
	if err != nil {
		return fmt.Errorf("the server offers no SFTP: %w: %w", err, providers.ErrPermanent)
	}
	c.packet = packet
	c.Client, err = sftp.NewClient(c.ssh, sftp.UseConcurrentWrites(true), sftp.MaxPacketUnchecked(packet), sftp.MaxConcurrentRequestsPerFile(inFlight))
	return err
}

// Close ends the connection and everything that waits on it. It may be called several times.
func (c *conn) Close() {
	c.closed.Do(func() {
		c.net.Close()
		c.ssh.Close()
		if c.Client != nil {
			c.Client.Close()
		}
		<-c.ended
	})
}

// alive says whether the connection can be used for another call, as far as is known here.
func (c *conn) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// watch closes the connection when the server has been silent for patience while do waits for it.
func (c *conn) watch(patience time.Duration, do func() error) error {
	c.net.last.Store(time.Now().UnixNano())
	var timer *time.Timer
	var mu sync.Mutex // orders the timer's first firing after its assignment
	mu.Lock()
	timer = time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if left := patience - time.Since(time.Unix(0, c.net.last.Load())); left > 0 {
			timer.Reset(left)
			return
		}
		c.net.silence()
	})
	mu.Unlock()
	err := do()
	timer.Stop()
	return c.net.explain(err)
}

// meter is a network connection that knows when bytes last went through.
type meter struct {
	net.Conn
	last   atomic.Int64 // Unix time in nanoseconds
	silent atomic.Bool
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.last.Store(time.Now().UnixNano())
	return n, err
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.last.Store(time.Now().UnixNano())
	return n, err
}

func (m *meter) silence() {
	m.silent.Store(true)
	m.Close()
}

// explain says that the connection broke because the server was silent, if that is why.
func (m *meter) explain(err error) error {
	if err != nil && m.silent.Load() {
		return fmt.Errorf("%w: %w: %w", errSilent, os.ErrDeadlineExceeded, err)
	}
	return err
}
