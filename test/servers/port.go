package servers

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports of servers. They end below those that Linux gives to outgoing connections (ip_local_port_range in ip(7)), of which
// one could take a server's port before it is started, or while it is killed.
const (
	firstPort = 10_000
	endPort   = 32_768
)

// FreePort is an address of this machine at which nobody listens, as host:port.
func FreePort(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(endPort-firstPort)))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}
