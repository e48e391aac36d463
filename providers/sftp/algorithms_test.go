package sftp_test

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"offsite/providers/sftp"
)

// offered listens for one SSH client and gives the lists of algorithms that it offers (RFC 4253, 7.1), in the clear.
func offered(t *testing.T) (port int, lists <-chan []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	found := make(chan []string, 1)
	go func() {
		defer close(found)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "SSH-2.0-test\r\n")
		r := bufio.NewReader(c)
		if _, err := r.ReadString('\n'); err != nil {
			return
		}
		head := make([]byte, 5)
		io.ReadFull(r, head)
		packet := make([]byte, binary.BigEndian.Uint32(head)-1)
		if _, err := io.ReadFull(r, packet); err != nil {
			return
		}
		packet = packet[17:] // the kind, and a cookie
		var all []string
		for range 8 {
			n := binary.BigEndian.Uint32(packet)
			all = append(all, string(packet[4:4+n]))
			packet = packet[4+n:]
		}
		found <- all
	}()
	return l.Addr().(*net.TCPAddr).Port, found
}

// Nothing is offered that is known to be weak: not for what is known of the server, nor before anything is.
func TestNoOldAlgorithmIsOffered(t *testing.T) {
	weak := ssh.InsecureAlgorithms()
	old := slices.Concat(weak.KeyExchanges, weak.Ciphers, weak.MACs, weak.HostKeys, []string{"ssh-rsa", "diffie-hellman-group1-sha1", "arcfour"})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func(c sftp.Config){
		"to see the key": func(c sftp.Config) { sftp.HostKey(t.Context(), c) },
		"a pinned key": func(c sftp.Config) {
			c.HostKey = []string{string(ssh.MarshalAuthorizedKey(public))}
			stat(t, c)
		},
		"a key in known_hosts": func(c sftp.Config) {
			c.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			line := knownhosts.Line([]string{net.JoinHostPort(c.Host, strconv.Itoa(c.Port))}, public)
			if err := os.WriteFile(c.KnownHosts, []byte(line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			stat(t, c)
		},
	} {
		port, lists := offered(t)
		try(sftp.Config{Host: "127.0.0.1", Port: port, User: "u", Path: "p", PasswordFile: password, IdleTimeout: 10 * time.Second})
		all, ok := <-lists
		if !ok {
			t.Fatalf("%s: nobody came", what)
		}
		for _, list := range all {
			for _, name := range strings.Split(list, ",") {
				if slices.Contains(old, name) {
					t.Errorf("%s: %s is offered", what, name)
				}
			}
		}
	}
}

// stat asks for something, which fails.
func stat(t *testing.T, c sftp.Config) {
	t.Helper()
	target, err := sftp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := target.Stat(t.Context(), "x"); err == nil {
		t.Fatal("a server that says nothing has answered")
	}
}
