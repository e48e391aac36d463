package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// MariaDB is a running MariaDB server that is reached through a socket.
type MariaDB struct {
	// Socket is the file for --socket; the user is root and needs no password.
	Socket string
}

// StartMariaDB makes a new data directory and starts a server on it. It ends with the test.
func StartMariaDB(t testing.TB) *MariaDB {
	t.Helper()
	const server, install = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db"
	if _, err := os.Stat(server); err != nil {
		t.Fatal("MariaDB is missing: make packages", err)
	}
	dir, err := os.MkdirTemp("/tmp", "maria") // not t.TempDir: the path of a socket may have 107 bytes only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &MariaDB{Socket: filepath.Join(dir, "sock")}
	data := filepath.Join(dir, "data")
	as := unprivileged(t, "mysql", dir)
	prepare := exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	prepare.SysProcAttr, prepare.Dir = as, dir
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v: %s", err, out)
	}
	run(t, func() *exec.Cmd {
		cmd := exec.Command(server, "--no-defaults", "--datadir="+data, "--socket="+m.Socket, "--pid-file="+filepath.Join(dir, "pid"), "--skip-networking",
			"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M")
		cmd.SysProcAttr, cmd.Dir = as, dir
		return cmd
	}, func() bool { return m.command("mariadb-admin", "-uroot", "ping").Run() == nil })
	return m
}

// command is a client program; its first option keeps it from reading the host's configuration.
func (m *MariaDB) command(name string, args ...string) *exec.Cmd {
	return exec.Command(name, append([]string{"--no-defaults", "--socket=" + m.Socket}, args...)...)
}

// Run runs a client program, with input if it is not nil, and gives what it prints.
func (m *MariaDB) Run(t testing.TB, input []byte, name string, args ...string) string {
	t.Helper()
	return ask(t, m.command(name, args...), input)
}
