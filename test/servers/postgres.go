package servers

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Postgres is a running PostgreSQL server that is reached through a socket.
type Postgres struct {
	*Process
	// Socket is the directory for PGHOST; the superuser is postgres and needs no password.
	Socket string
	bin    string
}

// StartPostgres makes a new cluster and starts it, as the user postgres if the test runs as root, which PostgreSQL
// refuses to be. It ends with the test.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	p, as := newPostgres(t)
	p.serve(t, filepath.Join(p.Socket, "data"), as)
	return p
}

// StartContainer starts PostgreSQL as people run it in a container: it is the first process of a PID namespace, which dies as a whole, and
// its data lies on a volume, a directory that outlives it. Where none is, it makes a new cluster, as the image does. As root only. It
// ends with the test; the volume stays.
func StartContainer(t testing.TB, volume string) *Postgres {
	t.Helper()
	p, as := newPostgres(t)
	as.Cloneflags = syscall.CLONE_NEWPID
	p.serve(t, volume, as)
	return p
}

// newPostgres makes the directory of a server's socket. as is how to run the server, to whom the directory belongs.
func newPostgres(t testing.TB) (p *Postgres, as *syscall.SysProcAttr) {
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
	return &Postgres{Socket: dir, bin: filepath.Dir(found[len(found)-1])}, unprivileged(t, "postgres", dir)
}

// serve starts the server on the data directory, which is made if it is not there.
func (p *Postgres) serve(t testing.TB, data string, as *syscall.SysProcAttr) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		p.makeCluster(t, data, as)
	}
	p.Process = run(t, func() *exec.Cmd {
		server := exec.Command(filepath.Join(p.bin, "postgres"), "-D", data, "-k", p.Socket, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off")
		server.SysProcAttr, server.Dir = as, p.Socket
		return server
	}, func() bool {
		return p.command("pg_isready", "-q").Run() == nil
	})
}

// makeCluster is initdb, for the user whom the socket's directory belongs to.
func (p *Postgres) makeCluster(t testing.TB, data string, as *syscall.SysProcAttr) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(data), 0o755), os.MkdirAll(data, 0o700)); err != nil {
		t.Fatal(err)
	}
	if as.Credential != nil {
		if err := os.Chown(data, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: as.Credential, Pdeathsig: as.Pdeathsig}, p.Socket
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
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
	return ask(t, p.command(name, args...), input)
}
