package servers

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// OpenSSH is a running sshd with two users, both with the same key and password.
type OpenSSH struct {
	*Process
	Host string
	Port int
	// User sees the whole machine and logs in to Data; Chrooted may do SFTP only, and sees Data as /data.
	User, Chrooted, Password string
	// KeyFile is a private key, HostKey the server's public key, KnownHosts a file with it.
	KeyFile, HostKey, KnownHosts string
	// Data is the directory in which the users may write.
	Data string
}

// password and its hash as crypt(5) makes it; nothing but this test server knows it.
const (
	password     = "test-password"
	passwordHash = "$6$offsitetest$JFgjq8gRPId9t8Via6HuGhIk2AYJi42FiwOW7z9.fXvRShapmcTFPMpUzcbwH8G3RbS/p6jwIaLXhYz5tedwn1"
	userID       = 12345
)

// StartOpenSSH starts Debian's sshd in a mount namespace of its own, where /etc/passwd has users that the machine has
// not. It needs root, as sshd does to let others log in, and ends with the test.
func StartOpenSSH(t testing.TB) *OpenSSH {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("sshd with passwords and chroot needs root: run the tests as root")
	}
	dir, data := t.TempDir(), t.TempDir()
	address := FreePort(t)
	host, port, _ := net.SplitHostPort(address)
	s := &OpenSSH{Host: host, User: "offsite-user", Chrooted: "offsite-chrooted", Password: password, Data: data}
	fmt.Sscan(port, &s.Port)
	for d := data; d != "/tmp" && d != "/"; d = filepath.Dir(d) { // the testing package makes its directories private
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(data, userID, userID); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hostPrivate, hostPublic := keyPair(t)
	private, public := keyPair(t)
	s.HostKey = strings.TrimSpace(string(hostPublic))
	s.KeyFile = write("key", private, 0o600)
	s.KnownHosts = write("known_hosts", fmt.Sprintf("[%s]:%s %s", host, port, hostPublic), 0o644)
	write("passwd", fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"+
		"%s:x:%d:%d::%s:/bin/sh\n%s:x:%d:%d::/data:/bin/sh\n", s.User, userID, userID, data, s.Chrooted, userID, userID), 0o644)
	write("shadow", fmt.Sprintf("root:*:1::::::\nsshd:*:1::::::\n%s:%s:1::::::\n%s:%s:1::::::\n", s.User, passwordHash, s.Chrooted, passwordHash), 0o600)
	config := write("sshd_config", strings.Join([]string{
		"ListenAddress " + address, "HostKey " + write("host", hostPrivate, 0o600), "PidFile none", "UsePAM no", "StrictModes no",
		"AuthorizedKeysFile " + write("authorized", public, 0o644), "PasswordAuthentication yes", "KbdInteractiveAuthentication no",
		"Subsystem sftp internal-sftp", "MaxStartups 100", "PrintMotd no", "PrintLastLog no",
		"Match User " + s.Chrooted, "  ChrootDirectory /mnt/root", "  ForceCommand internal-sftp", "",
	}, "\n"), 0o644)
	script := write("start.sh", `set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p /mnt/root/data
mount --bind "$2" /mnt/root/data
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
exec /usr/sbin/sshd -D -e -f "$3"
`, 0o644)
	s.Process = run(t, func() *exec.Cmd {
		return exec.Command("unshare", "--mount", "--propagation", "private", "sh", script, dir, data, config)
	}, func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return s
}

// keyPair is an Ed25519 key as OpenSSH writes it.
func keyPair(t testing.TB) (private, public string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(key))
}

// StartSSHAgent starts ssh-agent with one key, and gives its socket.
func StartSSHAgent(t testing.TB, keyFile string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	var conn net.Conn
	run(t, func() *exec.Cmd { return exec.Command("ssh-agent", "-D", "-a", socket) }, func() (up bool) {
		var err error
		conn, err = net.Dial("unix", socket)
		return err == nil
	})
	defer conn.Close()
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.NewClient(conn).Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	return socket
}
