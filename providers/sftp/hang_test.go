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
		if p.hangs() {
			io.Copy(io.Discard, from) // until the client gives up
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// hangs says whether nothing goes through any more.
func (p *proxy) hangs() bool {
	select {
	case <-p.frozen:
		return true
	default:
		return false
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
	if !isLate(err) || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("%v", err)
	}
}

// isLate says whether an error is that a time was over: that of an answer, or, on a busy machine, that of the connection.
func isLate(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// A server that falls silent in the middle of a transfer, in either direction. On a busy machine it may seem silent before: then
// it is tried again with more patience.
func TestAServerThatHangsMidwayIsAnError(t *testing.T) {
	s := servers.StartOpenSSH(t)
	cfg := prepare(t, config(s))
	src := func() *targettest.Source { return targettest.NewSource(1, 20_000_000, 1_000_000) }
	if err := open(t, cfg).Put(t.Context(), "there", src()); err != nil {
		t.Fatal(err)
	}
	hangs := func(t *testing.T, transfer func(p *proxy, target providers.Target) (midway bool, err error)) {
		for idle := 500 * time.Millisecond; ; idle *= 4 {
			p := newProxy(t, s)
			cfg.Port, cfg.IdleTimeout = p.port, idle
			midway, err := transfer(p, open(t, cfg))
			if !midway && isLate(err) && idle < time.Minute {
				continue
			}
			if !midway || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("midway: %v: %v", midway, err)
			}
			return
		}
	}
	t.Run("put", func(t *testing.T) {
		hangs(t, func(p *proxy, target providers.Target) (midway bool, err error) {
			p.after = 5_000_000
			err = target.Put(t.Context(), "x", src())
			return p.hangs(), err
		})
	})
	t.Run("get", func(t *testing.T) {
		hangs(t, func(p *proxy, target providers.Target) (midway bool, err error) {
			r, err := target.Get(t.Context(), "there", 0, -1)
			if err != nil {
				return false, err
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 1_000_000)); err != nil {
				return false, err
			}
			close(p.frozen)
			_, err = io.Copy(io.Discard, r)
			return true, err
		})
	})
}
