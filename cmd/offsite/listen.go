package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"offsite/cmd/offsite/page"
	"offsite/configs"
)

const (
	// openAgain is when an address that could not be opened is tried again: its interface may come up later.
	openAgain = 15 * time.Second
	// maxConnections to one address, so that nobody takes the files that dumps are shipped with.
	maxConnections = 200
	// goodbye is how long those who look have when the agent stops.
	goodbye = 5 * time.Second
)

// listening serves the page at all addresses until ctx ends, and at sockets that systemd has opened, which are taken as they are. An address that
// cannot be opened is said and tried again: the page must not keep dumps from being shipped. It returns when all connections are closed.
func listening(ctx context.Context, addresses []configs.Listen, sockets []net.Listener, behind func(page.Access) (http.Handler, error), log *slog.Logger) error {
	addresses, sockets = pair(addresses, sockets)
	var all errgroup.Group
	for i, l := range addresses {
		all.Go(func() error {
			handler, err := behind(access(l))
			if err != nil {
				log.Error("the page is not served here", "address", l.Address, "err", err)
				return closeAll(sockets[i])
			}
			listener := sockets[i]
			if listener == nil {
				if listener = whenOpen(ctx, l, log); listener == nil {
					return nil // stopped before it could be opened
				}
			}
			return serve(ctx, l, listener, handler, log)
		})
	}
	return all.Wait()
}

// access is who may look at this address.
func access(l configs.Listen) page.Access {
	_, unix := l.Unix()
	return page.Access{TokenHash: l.TokenHash, Unix: unix, Loopback: l.Loopback(), Names: l.Names, TLS: l.TLS()}
}

// pair gives each address the socket that systemd has opened for it, or nil. A socket that no address names is one more; who may look
// there follows from what it is, and Behind refuses one that other machines can reach.
func pair(addresses []configs.Listen, given []net.Listener) ([]configs.Listen, []net.Listener) {
	addresses, of := append([]configs.Listen(nil), addresses...), make([]net.Listener, len(addresses))
	for _, g := range given {
		at := -1
		for i, l := range addresses {
			if of[i] == nil && same(l, g.Addr()) {
				at = i
				break
			}
		}
		if at < 0 {
			addresses, of, at = append(addresses, named(g.Addr())), append(of, nil), len(addresses)
		}
		of[at] = g
	}
	return addresses, of
}

func named(a net.Addr) configs.Listen {
	if a.Network() == "unix" {
		return configs.Listen{Address: "unix:" + a.String()}
	}
	return configs.Listen{Address: a.String()}
}

// same says whether a is the address of l; all addresses of a machine can be written in two ways.
func same(l configs.Listen, a net.Addr) bool {
	if path, ok := l.Unix(); ok {
		return a.Network() == "unix" && a.String() == path
	}
	x, errX := netip.ParseAddrPort(l.Address)
	y, errY := netip.ParseAddrPort(a.String())
	if errX != nil || errY != nil || x.Port() != y.Port() {
		return false
	}
	return x.Addr().Unmap() == y.Addr().Unmap() || x.Addr().IsUnspecified() && y.Addr().IsUnspecified()
}

// whenOpen opens an address, now or later; nil: ctx ended before.
func whenOpen(ctx context.Context, l configs.Listen, log *slog.Logger) net.Listener {
	said := ""
	for {
		listener, err := open(ctx, l)
		if err == nil {
			return listener
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			log.Error("the page is not served here yet; this is tried again", "address", l.Address, "err", err)
		}
		t := time.NewTimer(openAgain)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

func open(ctx context.Context, l configs.Listen) (net.Listener, error) {
	path, isUnix := l.Unix()
	if !isUnix {
		return new(net.ListenConfig).Listen(ctx, "tcp", l.Address)
	}
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the directory %s is missing; make it, or let systemd do so (RuntimeDirectory=)", filepath.Dir(path))
	}
	return listenShared(ctx, path)
}

// listenShared opens a socket for its owner and the owner's group. What an agent that was killed left there is removed.
func listenShared(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	listener, err := listenUnix(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// listenUnix opens a socket to which only its owner may connect, from the first instant: its mode is made by the umask, which in some
// surroundings forbids nothing. (Of what others make meanwhile it takes nothing that they mean to have: all is for its owner.)
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	defer unix.Umask(unix.Umask(0o077))
	return new(net.ListenConfig).Listen(ctx, "unix", path)
}

// removeStale removes the socket of an agent that was killed. What is no socket, or has somebody behind it, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("another program serves %s", path)
	}
	return os.Remove(path)
}

func closeAll(listeners ...net.Listener) (err error) {
	for _, l := range listeners {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// serve answers at one address until ctx ends, and then ends the streams, whose requests end with ctx.
func serve(ctx context.Context, l configs.Listen, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	_, unix := l.Unix()
	log.Info("the page is served", "address", l.Address, "tls", l.TLS(), "token", l.TokenHash != "")
	if !unix && !l.Loopback() && !l.TLS() {
		log.Warn("the page and its token go over the network unencrypted; tls_cert_file and tls_key_file encrypt them", "address", l.Address)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what strangers send is no news
	}
	c := certificate{certFile: l.TLSCertFile, keyFile: l.TLSKeyFile}
	if l.TLS() {
		if _, err := c.get(nil); err != nil {
			log.Error("nobody can look at the page until this is right", "address", l.Address, "err", err)
		}
		server.TLSConfig = &tls.Config{GetCertificate: c.get}
	}
	listener = netutil.LimitListener(listener, maxConnections)
	ended := make(chan error, 1)
	go func() {
		if l.TLS() {
			ended <- server.ServeTLS(listener, "", "")
			return
		}
		ended <- server.Serve(listener)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("page at %s: %w", l.Address, err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if server.Shutdown(last) != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("page at %s: %w", l.Address, err)
	}
	return nil
}

// certificate is read again when its files have changed: whoever renews it need not restart the agent.
type certificate struct {
	certFile, keyFile string
	mu                sync.Mutex
	pair              *tls.Certificate
	version           string // the times and sizes of both files
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version := ""
	for _, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil {
			version += fmt.Sprintf("%d %d ", info.ModTime().UnixNano(), info.Size())
		}
	}
	if c.pair != nil && version == c.version {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.pair != nil {
			return c.pair, nil // half of it is new: the other half comes
		}
		return nil, err
	}
	c.pair, c.version = &pair, version
	return c.pair, nil
}
