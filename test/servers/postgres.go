package servers

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Postgres is a running PostgreSQL server that is reached through a socket.
type Postgres struct {
	// Socket is the directory for PGHOST; the superuser is postgres and needs no password.
	Socket string
	bin    string
}

// StartPostgres makes a new cluster and starts it, as the user postgres if the test runs as root, which PostgreSQL
// refuses to be. It ends with the test.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is missing: make packages", err)
	}
	// Not t.TempDir: the path of a socket may have 107 bytes only.
	dir, err := os.MkdirTemp("/tmp", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &Postgres{Socket: dir, bin: filepath.Dir(found[len(found)-1])}
	as := unprivileged(t, dir)
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	run(t, func() *exec.Cmd {
		server := exec.Command(filepath.Join(p.bin, "postgres"), "-D", filepath.Join(dir, "data"), "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off")
		server.SysProcAttr, server.Dir = as, dir
		return server
	}, func() bool {
		return p.command("pg_isready", "-q").Run() == nil
	})
	return p
}

// unprivileged is how to run something as postgres, to whom dir is given.
func unprivileged(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return attr
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Env = p.Env()
	return cmd
}

// Env is the environment for clients.
func (p *Postgres) Env() []string {
	return append(os.Environ(), "PGHOST="+p.Socket, "PGUSER=postgres", "PATH="+p.bin+":"+os.Getenv("PATH"))
}

// Run runs a client program, with input if it is not nil, and gives what it prints.
func (p *Postgres) Run(t testing.TB, input []byte, name string, args ...string) string {
	t.Helper()
	cmd := p.command(name, args...)
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, errs.String())
	}
	return out.String()
}
