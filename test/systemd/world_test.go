package systemd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"offsite/test/release"
	"offsite/test/servers"
)

// world is a machine with the service, and the servers to which it ships.
type world struct {
	*machine
	ssh            *servers.OpenSSH
	minio, versity *servers.S3
	pg             *servers.Postgres
	hook           *hook
	config         string
}

// hook hears alarms.
type hook struct {
	*httptest.Server
	mu  sync.Mutex
	all string
}

func listenForAlarms(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all += string(text) + "\n"
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) heard(words string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.all, words)
}

const (
	version = "1.0.0"
	// newer is what version is upgraded to.
	newer = "1.1.0"

	dumps = "/home/statex/database-server/backups"
	nas   = "/mnt/nas/backups"
	whole = "--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n"
)

// targets are the kinds of targets, each with a real server.
var targets = []string{"nas", "lan", "aws", "shore"}

// newWorld builds two versions of the package, starts the servers, and boots a machine that has both and the program in /root, and nothing
// of the service.
func newWorld(t *testing.T) *world {
	t.Helper()
	built := release.Begin(t, "v"+version, "", "ARCHES="+runtime.GOARCH, "PACKAGERS=deb")
	w := &world{ssh: servers.StartOpenSSH(t), minio: servers.MinIO(t, false), versity: servers.VersityGW(t), pg: servers.StartPostgres(t), hook: listenForAlarms(t)}
	over := t.TempDir()
	for dir, mode := range map[string]os.FileMode{"": 0o755, "root": 0o700, "etc": 0o755, "etc/offsite": 0o755, "etc/offsite/credentials": 0o700} {
		path := filepath.Join(over, dir)
		if err := os.MkdirAll(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"shore-key": w.ssh.KeyFile, "lan-access": "", "lan-secret": "", "aws-access": "", "aws-secret": ""} {
		text := []byte(map[string]string{"lan-access": w.minio.AccessKey, "lan-secret": w.minio.SecretKey, "aws-access": w.versity.AccessKey, "aws-secret": w.versity.SecretKey}[name])
		if from != "" {
			var err error
			if text, err = os.ReadFile(from); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(over, "etc/offsite/credentials", name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dist := built()
	deb := filepath.Join(dist, "offsite_"+version+"_"+runtime.GOARCH+".deb")
	for name, from := range map[string]string{
		"offsite": filepath.Join(dist, "offsite_"+version+"_linux_"+runtime.GOARCH), "offsite.deb": deb, "newer.deb": filepath.Join(release.Newer(t, deb, newer, "deb"), "newer.deb"),
	} {
		if out, err := exec.Command("cp", from, filepath.Join(over, "root", name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	w.machine = boot(t, over, "--bind="+w.pg.Socket+":/run/postgresql")
	return w
}

// configure writes the configuration, with more of it for the target shore.
func (w *world) configure(shore string) {
	w.t.Helper()
	if w.config == "" {
		key := w.sh("/root/offsite keygen 2>/dev/null")
		w.write("/etc/offsite/credentials/drill-identity", key+"\n", 0o600)
		public := regexp.MustCompile(`age1[0-9a-z]+`).FindString(key)
		w.config = fmt.Sprintf(`host: db-server
zone: UTC
watch: [{path: %s}]
recipients: [%s]
block_size: 8MiB
listen: [{address: "unix:/run/offsite/page.sock"}]
series: [{match: "*", expect: never}]
alarms:
  ways:
    hook: {webhook: {url: %q, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="}}
drills:
  shop:
    series: shop
    every: 30d
    identity_file: drill-identity
    postgres: {dsn: "postgres://drill@/postgres?host=/run/postgresql", checks: [{sql: SELECT count(*) FROM users, expect: "= 2000"}]}
targets:
  nas: {dir: {path: %s}}
  lan: {minio: {endpoint: %q, bucket: backups, prefix: lan, access_key_file: lan-access, secret_key_file: lan-secret}}
  aws: {s3: {endpoint: %q, bucket: backups, prefix: aws, region: us-east-1, access_key_file: aws-access, secret_key_file: aws-secret}}
  shore:
    sftp: {host: %s, port: %d, user: %s, path: db, key_file: shore-key, host_key: [%q]}
`, dumps, public, w.hook.URL, nas, w.minio.Endpoint, w.versity.Endpoint, w.ssh.Host, w.ssh.Port, w.ssh.User, w.ssh.HostKey)
	}
	w.write("/etc/offsite/offsite.yaml", w.config+shore, 0o644)
}

// dump lays a dump into the watched directory, which only root may read.
func (w *world) dump(name, text string) {
	w.t.Helper()
	w.write(filepath.Join(dumps, name), text, 0o600)
}

// pid is the service's process, as the machine numbers it.
func (w *world) pid() string { return w.property("offsite.service", "MainPID") }

// as runs a shell script with the rights of the service: in its view of the host, or (host) in that of the machine.
func (w *world) as(host bool, script string) (string, error) {
	enter := []string{"nsenter", "-t", w.pid(), "-m", "--root", "--wd", "--"}
	if host {
		enter = nil
	}
	return w.try(append(enter, "/usr/bin/setpriv", "--reuid=offsite", "--regid=offsite", "--clear-groups", "--inh-caps=-all,+dac_read_search,+lease", "--ambient-caps=-all,+dac_read_search,+lease",
		"--bounding-set=-all,+dac_read_search,+lease", "--no-new-privs", "/bin/sh", "-c", script)...)
}

// delivered waits until the service has brought a dump to every target.
func (w *world) delivered(name string) {
	w.t.Helper()
	for _, target := range targets {
		line := regexp.MustCompile(`msg=delivered target=` + target + ` .*` + regexp.QuoteMeta(name))
		w.eventually(name+" on "+target, func() bool { return line.MatchString(w.journal("offsite.service")) })
	}
}

// ships lays a dump into the watched directory, and waits until the service has brought it everywhere.
func (w *world) ships(name string) {
	w.t.Helper()
	w.dump(name, whole)
	w.delivered(name)
}
