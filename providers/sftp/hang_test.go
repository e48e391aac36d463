package sftp_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"offsite/providers"
	"offsite/providers/targettest"
	"offsite/test/servers"
)

// proxy stands between the client and sshd, and can break or hang the connections.
type proxy struct {
	port int
	to   string
	l    net.Listener

	mu     sync.Mutex
	conns  []net.Conn
	frozen chan struct{} // closed when nothing goes through any more
	after  int64         // freeze when so many bytes went to the server; 0: never
	sent   int64
	wg     sync.WaitGroup
}

func newProxy(t *testing.T, s *servers.OpenSSH) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{port: l.Addr().(*net.TCPAddr).Port, to: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), l: l, frozen: make(chan struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.wg.Go(func() { p.pump(out, in, true) })
		p.wg.Go(func() { p.pump(in, out, false) })
	}
}

func (p *proxy) pump(to, from net.Conn, count bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		if count && p.after > 0 {
			if p.sent += int64(n); p.sent >= p.after {
				p.after = 0
				close(p.frozen)
			}
		}
		p.mu.Unlock()
		select {
		case <-p.frozen:
			io.Copy(io.Discard, from) // until the client gives up
			return
		default:
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// A server that takes the connection and never says a word.
func TestASilentServerIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config(&servers.OpenSSH{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "u", HostKey: otherKey})
	cfg.Password, cfg.IdleTimeout = providers.NewSecret("x"), 100*time.Millisecond
	_, err = open(t, cfg).Stat(t.Context(), "x")
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("%v", err)
	}
}

// A server that falls silent in the middle of a transfer, in either direction.
func TestAServerThatHangsMidwayIsAnError(t *testing.T) {
	s := servers.StartOpenSSH(t)
	cfg := prepare(t, config(s))
	src := func() *targettest.Source { return targettest.NewSource(1, 20_000_000, 1_000_000) }
	if err := open(t, cfg).Put(t.Context(), "there", src()); err != nil {
		t.Fatal(err)
	}
	cfg.IdleTimeout = 500 * time.Millisecond
	t.Run("put", func(t *testing.T) {
		p := newProxy(t, s)
		p.after = 5_000_000
		cfg.Port = p.port
		if err := open(t, cfg).Put(t.Context(), "x", src()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	t.Run("get", func(t *testing.T) {
		p := newProxy(t, s)
		cfg.Port = p.port
		r, err := open(t, cfg).Get(t.Context(), "there", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadFull(r, make([]byte, 1_000_000)); err != nil {
			t.Fatal(err)
		}
		close(p.frozen)
		if n, err := io.Copy(io.Discard, r); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %v", n, err)
		}
	})
}
