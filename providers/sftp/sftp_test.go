package sftp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"offsite/providers"
	"offsite/providers/sftp"
	"offsite/providers/targettest"
	"offsite/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(s *servers.OpenSSH) sftp.Config {
	return sftp.Config{Host: s.Host, Port: s.Port, User: s.User, Path: "backups", KeyFile: s.KeyFile, HostKey: []string{s.HostKey}}
}

func open(t testing.TB, cfg sftp.Config) *sftp.Target {
	t.Helper()
	target, err := sftp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

func prepare(t testing.TB, cfg sftp.Config) sftp.Config {
	t.Helper()
	if err := sftp.Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func hidden(t testing.TB, root string) (found []string) {
	filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), ".") {
			found = append(found, p)
		}
		return nil
	})
	return found
}

func contract(t *testing.T, s *servers.OpenSSH, cfg sftp.Config) {
	prepare(t, cfg)
	targettest.Run(t, targettest.Config{
		Open:  func(t testing.TB) providers.Target { return open(t, cfg) },
		Block: 100_000,
		Leftovers: func(t testing.TB, name string) []string {
			return hidden(t, filepath.Join(s.Data, "backups", filepath.Dir(name)))
		},
	})
}

func TestContractOnOpenSSH(t *testing.T) {
	s := servers.StartOpenSSH(t)
	contract(t, s, config(s))
}

func TestContractOnChrootedOpenSSH(t *testing.T) {
	s := servers.StartOpenSSH(t)
	cfg := config(s)
	cfg.User, cfg.Path = s.Chrooted, "/data/backups"
	contract(t, s, cfg)
}

func roundTrip(t *testing.T, cfg sftp.Config) {
	t.Helper()
	target := open(t, prepare(t, cfg))
	want := []byte("some bytes")
	if err := target.Put(t.Context(), "a/b", providers.Bytes(want)); err != nil {
		t.Fatal(err)
	}
	r, err := target.Get(t.Context(), "a/b", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || r.Close() != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if err := target.Delete(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
}

func TestWaysToLogIn(t *testing.T) {
	s := servers.StartOpenSSH(t)
	secret := filepath.Join(t.TempDir(), "password")
	os.WriteFile(secret, []byte(s.Password+"\n"), 0o600)
	encrypted := filepath.Join(t.TempDir(), "encrypted")
	pem, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(encrypted, pem, 0o600)
	if out, err := exec.Command("ssh-keygen", "-p", "-f", encrypted, "-N", s.Password).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	socket := servers.StartSSHAgent(t, s.KeyFile)
	userHome := t.TempDir()
	os.Mkdir(filepath.Join(userHome, ".ssh"), 0o700)
	os.WriteFile(filepath.Join(userHome, ".ssh", "id_ed25519"), pem, 0o600)

	for name, change := range map[string]func(*testing.T, *sftp.Config){
		"key":           func(_ *testing.T, c *sftp.Config) { c.KeyFile = s.KeyFile },
		"encrypted key": func(_ *testing.T, c *sftp.Config) { c.KeyFile, c.KeyPassphraseFile = encrypted, secret },
		"password file": func(_ *testing.T, c *sftp.Config) { c.PasswordFile = secret },
		"password":      func(_ *testing.T, c *sftp.Config) { c.Password = providers.NewSecret(s.Password) },
		"agent":         func(_ *testing.T, c *sftp.Config) { c.AgentSocket = socket },
		"agent of the environment": func(t *testing.T, _ *sftp.Config) {
			t.Setenv("HOME", t.TempDir())
			t.Setenv("SSH_AUTH_SOCK", socket)
		},
		"key at home": func(t *testing.T, _ *sftp.Config) {
			t.Setenv("HOME", userHome)
			t.Setenv("SSH_AUTH_SOCK", "")
		},
		"chrooted by password": func(_ *testing.T, c *sftp.Config) { c.User, c.Path, c.PasswordFile = s.Chrooted, "/data", secret },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			cfg.KeyFile = ""
			change(t, &cfg)
			roundTrip(t, cfg)
		})
	}
}

func TestWaysToKnowTheServer(t *testing.T) {
	s := servers.StartOpenSSH(t)
	line, fingerprint, err := sftp.HostKey(t.Context(), config(s))
	if err != nil || line != s.HostKey || !strings.HasPrefix(fingerprint, "SHA256:") {
		t.Fatalf("%q, %q, %v; want %q", line, fingerprint, err, s.HostKey)
	}
	userHome := t.TempDir()
	os.Mkdir(filepath.Join(userHome, ".ssh"), 0o700)
	known, err := os.ReadFile(s.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(userHome, ".ssh", "known_hosts"), known, 0o600)
	for name, change := range map[string]func(*testing.T, *sftp.Config){
		"key":          func(_ *testing.T, c *sftp.Config) { c.HostKey = []string{line} },
		"fingerprint":  func(_ *testing.T, c *sftp.Config) { c.HostKey = []string{fingerprint} },
		"one of two":   func(_ *testing.T, c *sftp.Config) { c.HostKey = []string{otherKey, line} },
		"known_hosts":  func(_ *testing.T, c *sftp.Config) { c.KnownHosts = s.KnownHosts },
		"that of home": func(t *testing.T, _ *sftp.Config) { t.Setenv("HOME", userHome) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			cfg.HostKey = nil
			change(t, &cfg)
			roundTrip(t, cfg)
		})
	}
}

const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx"

func TestWhatAPersonMustMend(t *testing.T) {
	s := servers.StartOpenSSH(t)
	prepare(t, config(s))
	empty := filepath.Join(t.TempDir(), "known_hosts")
	os.WriteFile(empty, nil, 0o600)
	open666 := filepath.Join(t.TempDir(), "key")
	pem, _ := os.ReadFile(s.KeyFile)
	os.WriteFile(open666, pem, 0o600)
	os.Chmod(open666, 0o644)
	for _, c := range []struct {
		name   string
		change func(*sftp.Config)
		kind   error
		words  string
	}{
		{"wrong host key", func(c *sftp.Config) { c.HostKey = []string{otherKey} }, providers.ErrPermanent, "shows the host key SHA256:"},
		{"wrong fingerprint", func(c *sftp.Config) {
			c.HostKey = []string{"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
		}, providers.ErrPermanent, s.HostKey},
		{"unknown host", func(c *sftp.Config) { c.HostKey, c.KnownHosts = nil, empty }, providers.ErrPermanent, "known_hosts does not have it"},
		{"no known_hosts", func(c *sftp.Config) { c.HostKey, c.KnownHosts = nil, "/nowhere/known_hosts" }, providers.ErrPermanent, "/nowhere/known_hosts"},
		{"wrong password", func(c *sftp.Config) { c.KeyFile, c.Password = "", providers.NewSecret("wrong-secret") }, fs.ErrPermission, "check user"},
		{"wrong user", func(c *sftp.Config) { c.User = "nobody-here" }, fs.ErrPermission, "check user"},
		{"open key", func(c *sftp.Config) { c.KeyFile = open666 }, providers.ErrPermanent, "chmod 600"},
		{"no key", func(c *sftp.Config) { c.KeyFile = "/nowhere/key" }, providers.ErrPermanent, "/nowhere/key"},
		{"no directory", func(c *sftp.Config) { c.Path = "not/there" }, providers.ErrPermanent, "not/there is not on the server"},
		{"no agent", func(c *sftp.Config) { c.KeyFile, c.AgentSocket = "", "/nowhere/agent" }, providers.ErrPermanent, "agent_socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s)
			c.change(&cfg)
			target := open(t, cfg)
			err := target.Put(t.Context(), "x", providers.Bytes([]byte("x")))
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("%v", err)
			}
			_, err = target.Stat(t.Context(), "x")
			if !errors.Is(err, c.kind) {
				t.Errorf("Stat: %v", err)
			}
		})
	}
	if left := hidden(t, s.Data); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestObjectsAreForTheirOwnerOnly(t *testing.T) {
	s := servers.StartOpenSSH(t)
	target := open(t, prepare(t, config(s)))
	if err := target.Put(t.Context(), "a/b", providers.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"a": 0o700, "a/b": 0o600} {
		info, err := os.Stat(filepath.Join(s.Data, "backups", path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// What was moved on the server and linked is listed as it is read.
func TestLinksAreListed(t *testing.T) {
	s := servers.StartOpenSSH(t)
	cfg := config(s)
	cfg.Path = "links"
	target := open(t, prepare(t, cfg))
	for _, name := range []string{"h/shop/1", "h/shop/2", "h/a/3"} {
		if err := target.Put(t.Context(), name, providers.Bytes([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	targettest.Links(t, target, filepath.Join(s.Data, cfg.Path))
}

// What the server lost or damaged since it was sent is sent again, the rest is not: durable points are trusted, what
// came after them is compared.
func TestAResumeLooksAtWhatMayBeLost(t *testing.T) {
	const block, blocks, interrupted = 50_000, 60, 50
	s := servers.StartOpenSSH(t)
	cfg := prepare(t, config(s))
	for _, c := range []struct {
		name        string
		damage      func(b []byte) []byte
		least, most int
	}{
		{"nothing", func(b []byte) []byte { return b }, 10, 14},
		{"a hole near the end", func(b []byte) []byte { clear(b[40*block : 41*block]); return b }, 20, 20},
		{"cut in a block", func(b []byte) []byte { return b[:45*block+7] }, 15, 15},
		{"other bytes", func(b []byte) []byte { clear(b); return b }, 60, 60},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, 20*block)...) }, 60, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := targettest.NewSource(1, blocks*block, block)
			ctx, cancel := context.WithCancel(t.Context())
			src.Fail = func(ctx context.Context, i int) error {
				if i < interrupted {
					return nil
				}
				cancel()
				<-ctx.Done()
				return ctx.Err()
			}
			if err := open(t, cfg).Put(ctx, "object", src); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			left := hidden(t, s.Data)
			if len(left) != 1 {
				t.Fatalf("%q", left)
			}
			b, err := os.ReadFile(left[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(left[0], c.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			again := targettest.NewSource(1, blocks*block, block)
			if err := open(t, cfg).Put(t.Context(), "object", again); err != nil {
				t.Fatal(err)
			}
			if made := again.Made(); made < c.least || made > c.most {
				t.Errorf("%d blocks were sent again, want %d to %d", made, c.least, c.most)
			}
			if got, _ := os.ReadFile(filepath.Join(s.Data, "backups", "object")); !bytes.Equal(got, again.Bytes()) {
				t.Error("the object is not what was put")
			}
			if left := hidden(t, s.Data); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestAConnectionThatBreaksIsReplaced(t *testing.T) {
	s := servers.StartOpenSSH(t)
	cfg := prepare(t, config(s))
	proxy := newProxy(t, s)
	cfg.Port = proxy.port
	target := open(t, cfg)
	if err := target.Put(t.Context(), "a", providers.Bytes([]byte("a"))); err != nil {
		t.Fatal(err)
	}
	proxy.cut()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := target.Stat(t.Context(), "a")
		if err == nil {
			break
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, providers.ErrPermanent) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestInspect(t *testing.T) {
	s := servers.StartOpenSSH(t)
	cfg := prepare(t, config(s))
	f, err := open(t, cfg).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.HostKey))
	if err != nil || f.HostKey != ssh.FingerprintSHA256(key) {
		t.Errorf("host key %s, %v", f.HostKey, err)
	}
	if f.Free == nil || *f.Free <= 0 || !slices.Contains(f.Extensions, "fsync@openssh.com") || !slices.Contains(f.Extensions, "posix-rename@openssh.com") {
		t.Errorf("%+v", f)
	}
	cfg.Path = "missing"
	if _, err := open(t, cfg).Inspect(t.Context()); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
