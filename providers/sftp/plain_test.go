package sftp_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	server "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"offsite/providers"
	"offsite/providers/sftp"
	"offsite/providers/targettest"
)

// plain is an SFTP server that knows version 3 of the protocol and no extension.
type plain struct {
	cfg    sftp.Config
	root   string
	config *ssh.ServerConfig
	wg     sync.WaitGroup
}

func startPlain(t *testing.T) *plain {
	t.Helper()
	if err := server.SetSFTPExtensions(); err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{root: t.TempDir()}
	p.config = &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if c.User() == "u" && string(password) == "p" {
			return nil, nil
		}
		return nil, errors.New("wrong")
	}}
	p.config.AddHostKey(signer)
	p.cfg = sftp.Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "u", Path: "/backups", Password: providers.NewSecret("p"),
		HostKey: []string{ssh.FingerprintSHA256(signer.PublicKey())}}
	p.wg.Go(func() { p.accept(l) })
	t.Cleanup(func() {
		l.Close()
		p.wg.Wait()
	})
	return p
}

func (p *plain) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(conn) })
	}
}

func (p *plain) serve(conn net.Conn) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, p.config)
	if err != nil {
		return
	}
	p.wg.Go(func() { ssh.DiscardRequests(requests) })
	for channel := range channels {
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() {
			for r := range requests {
				r.Reply(r.Type == "subsystem", nil)
			}
		})
		p.wg.Go(func() {
			d := disk(p.root)
			s := server.NewRequestServer(session, server.Handlers{FileGet: d, FilePut: d, FileCmd: d, FileList: d})
			s.Serve()
			s.Close()
		})
	}
}

// disk serves a directory, by version 3 of the protocol: Rename fails when there is a file of the new name
// (draft-ietf-secsh-filexfer-02, 6.5).
type disk string

func (d disk) path(p string) string { return filepath.Join(string(d), p) }

func (d disk) Fileread(r *server.Request) (io.ReaderAt, error) { return os.Open(d.path(r.Filepath)) }

func (d disk) Filewrite(r *server.Request) (io.WriterAt, error) {
	flags := os.O_WRONLY
	if r.Pflags().Creat {
		flags |= os.O_CREATE
	}
	if r.Pflags().Trunc {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(d.path(r.Filepath), flags, 0o644)
}

func (d disk) Filecmd(r *server.Request) error {
	switch r.Method {
	case "Rename":
		if _, err := os.Lstat(d.path(r.Target)); err == nil {
			return errors.New("the new name is taken")
		}
		return os.Rename(d.path(r.Filepath), d.path(r.Target))
	case "Mkdir":
		return os.Mkdir(d.path(r.Filepath), 0o755)
	case "Rmdir":
		return syscall.Rmdir(d.path(r.Filepath))
	case "Remove":
		return syscall.Unlink(d.path(r.Filepath))
	}
	return server.ErrSSHFxOpUnsupported // no chmod, for one
}

func (d disk) Filelist(r *server.Request) (server.ListerAt, error) {
	if r.Method != "List" {
		info, err := os.Lstat(d.path(r.Filepath))
		return infos{info}, err
	}
	entries, err := os.ReadDir(d.path(r.Filepath))
	var all infos
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all = append(all, info)
		}
	}
	return all, err
}

type infos []os.FileInfo

func (i infos) ListAt(page []os.FileInfo, at int64) (int, error) {
	if at >= int64(len(i)) {
		return 0, io.EOF
	}
	return copy(page, i[at:]), nil
}

func TestContractOnAServerWithoutExtensions(t *testing.T) {
	p := startPlain(t)
	prepare(t, p.cfg)
	targettest.Run(t, targettest.Config{
		Open:  func(t testing.TB) providers.Target { return open(t, p.cfg) },
		Block: 100_000,
		Leftovers: func(t testing.TB, name string) []string {
			return hidden(t, filepath.Join(p.root, "backups", filepath.Dir(name)))
		},
	})
}
