package systemd

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
	dumps = "/home/statex/database-server/backups"
	nas   = "/mnt/nas/backups"
	whole = "--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n"
)

// targets are the kinds of targets, each with a real server.
var targets = []string{"nas", "lan", "aws", "shore"}

// newWorld starts the servers, and boots a machine that has the program, and nothing of the service.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{ssh: servers.StartOpenSSH(t), minio: servers.MinIO(t, false), versity: servers.VersityGW(t), pg: servers.StartPostgres(t), hook: listenForAlarms(t)}
	over := t.TempDir()
	program := exec.Command("go", "build", "-o", filepath.Join(over, "root/offsite"), "offsite/cmd/offsite")
	program.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := program.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
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

// install makes the service of the program: the way of those without the package.
func (w *world) install() {
	w.t.Helper()
	said := w.sh("/root/offsite init && /root/offsite install")
	for _, words := range []string{"copies this program", "writes /etc/systemd/system/offsite.service", "enable --now offsite.service", "The service runs"} {
		if !strings.Contains(said, words) {
			w.t.Errorf("install says nothing of %q:\n%s", words, said)
		}
	}
}

// uninstall takes the service away again.
func (w *world) uninstall() {
	w.t.Helper()
	w.run("/usr/local/bin/offsite", "install", "--undo")
	if left := w.sh("ls /etc/systemd/system/offsite* /etc/*.d/offsite.conf /usr/local/bin/offsite /run/offsite* 2>/dev/null || true"); left != "" {
		w.t.Errorf("it left %s", left)
	}
	if state := w.property("offsite.service", "LoadState"); state != "not-found" {
		w.t.Errorf("the unit is %s", state)
	}
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

// The service as a machine has it, from its installation to its removal, under the systemd that runs the machine.
func TestTheServiceUnderSystemd(t *testing.T) {
	w := newWorld(t)
	w.sh("mkdir -p %s %s; echo secret > /home/statex/secret; echo secret > /root/secret", dumps, nas)
	w.configure("")
	w.install()
	t.Log("installed")
	w.shipsToEveryTarget()
	w.drills()
	w.showsItself()
	w.tellsOfTrouble()
	w.seesNothingElse()
	t.Log("every feature works in the sandbox")
	w.reloads()
	w.isKilled()
	t.Log("recovers")
	w.reboots()
	t.Log("goes on after a reboot")
	begin := time.Now()
	w.run("systemctl", "stop", "offsite.service")
	if took, result := time.Since(begin), w.property("offsite.service", "Result"); took > 30*time.Second || result != "success" {
		t.Errorf("the stop took %v, with the result %s", took, result)
	}
	w.uninstall()
}

// delivered waits until so many dumps are on every target.
func (w *world) delivered(dumps int) {
	w.t.Helper()
	for _, target := range targets {
		w.hears("offsite.service", "msg=delivered target="+target, dumps)
	}
}

func (w *world) shipsToEveryTarget() {
	w.t.Helper()
	w.pg.Run(w.t, []byte("CREATE ROLE drill LOGIN CREATEDB; CREATE DATABASE shop"), "psql", "-XAtq", "-d", "postgres")
	w.pg.Run(w.t, []byte("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g"), "psql", "-XAtq", "-d", "shop")
	w.dump("shop_20261001_030000.sql", w.pg.Run(w.t, nil, "pg_dump", "shop"))
	w.delivered(1)
	if found, _ := filepath.Glob(filepath.Join(w.ssh.Data, "db/db-server/shop/*.manifest")); len(found) != 1 {
		w.t.Errorf("the server has the manifests %q", found)
	}
}

// showsItself asks by the sockets, as root and as a member of the group.
func (w *world) showsItself() {
	w.t.Helper()
	w.eventually("the status line", func() bool { return w.property("offsite.service", "StatusText") == "db-server: everything is safe" })
	var host struct {
		Host, Level string
	}
	if err := json.Unmarshal([]byte(w.sh("setpriv --reuid=65534 --regid=offsite --clear-groups /usr/local/bin/offsite status --json")), &host); err != nil || host.Host != "db-server" {
		w.t.Errorf("the status: %+v, %v", host, err)
	}
	if text := w.run("curl", "-sS", "--unix-socket", "/run/offsite/page.sock", "http://page/"); !strings.Contains(text, "Everything is safe") {
		w.t.Errorf("the page: %.300s", text)
	}
	if text := w.run("curl", "-sS", "--unix-socket", "/run/offsite/page.sock", "http://page/metrics"); !strings.Contains(text, `offsite_last_backup_timestamp_seconds{series="shop"`) {
		w.t.Errorf("the metrics: %.300s", text)
	}
	if out, err := w.try("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", "/run/offsite/page.sock", "http://page/"); err == nil {
		w.t.Errorf("a stranger sees the page: %.300s", out)
	}
}

// tellsOfTrouble: by the agent, and by the unit for when there is none.
func (w *world) tellsOfTrouble() {
	w.t.Helper()
	w.dump("cut_20261001_030000.sql", whole[:50])
	w.eventually("the alarm of a dump that is cut off", func() bool { return w.hook.heard("suspect/cut") })
	w.run("systemctl", "start", "offsite-alarm@offsite.service.service")
	if !w.hook.heard("unit/offsite.service") {
		w.t.Errorf("the unit of alarms did not tell: %s", w.hook.all)
	}
}

// drills restores into a real server, with a key that the agent has not.
func (w *world) drills() {
	w.t.Helper()
	w.run("systemctl", "start", "offsite-drill.service")
	if said := w.journal("offsite-drill.service"); !regexp.MustCompile(`shop +shop .* passed`).MatchString(said) {
		w.t.Errorf("the drill: %s", said)
	}
}

// seesNothingElse reads and writes with the rights of the service.
func (w *world) seesNothingElse() {
	w.t.Helper()
	for _, path := range []string{dumps + "/shop_20261001_030000.sql", "/etc/offsite/signing.key", "/var/lib/offsite/journal.db", nas + "/.offsite-target"} {
		if out, err := w.as(false, "head -c 1 "+path); err != nil {
			w.t.Errorf("it must read %s: %v: %s", path, err, out)
		}
	}
	for _, path := range []string{
		"/home/statex/secret", "/root/secret", "/etc/shadow", "/etc/ssh/sshd_config", "/etc/offsite/credentials/drill-identity", "/etc/offsite/credentials/shore-key",
		"/var/lib/dpkg/status", "/var/log/dpkg.log", "/run/systemd/journal/socket", "/work", "/proc/1/environ", "/proc/1/root/root/secret", "/boot", "/opt", "/srv", "/dev/mem", "/dev/vda",
	} {
		if _, err := w.try("test", "-e", path); err != nil {
			continue // this machine has none
		}
		if out, err := w.as(false, "head -c 1 "+path+" || ls "+path); err == nil {
			w.t.Errorf("it can read %s: %s", path, out)
		}
	}
	for _, path := range []string{"/home/statex/secret", "/etc/shadow", "/etc/offsite/credentials/drill-identity"} { // or the sandbox would not be what keeps it from that
		if out, err := w.as(true, "head -c 1 "+path); err != nil {
			w.t.Errorf("with its rights, outside of the sandbox, %s cannot be read, and the test proves nothing: %v %s", path, err, out)
		}
	}
	for _, dir := range []string{dumps, "/etc/offsite", "/usr/bin", "/etc", "/", nas} {
		if out, err := w.as(false, "touch "+dir+"/x"); err == nil {
			w.t.Errorf("it can write to %s: %s", dir, out)
		}
	}
	for _, dir := range []string{"/var/lib/offsite", "/run/offsite", nas + "/db-server"} {
		if out, err := w.as(false, "touch "+dir+"/x && rm "+dir+"/x"); err != nil {
			w.t.Errorf("it cannot write to %s: %v: %s", dir, err, out)
		}
	}
}

func (w *world) reloads() {
	w.t.Helper()
	pid := w.pid()
	w.configure("\nhosts: x\n")
	if out, err := w.try("systemctl", "reload", "offsite.service"); err == nil {
		w.t.Errorf("a wrong configuration was taken: %s", out)
	}
	w.hears("offsite.service", "hosts: is not a key here", 1)
	w.configure("    limit: 8MB/s\n")
	w.run("systemctl", "reload", "offsite.service")
	w.hears("offsite.service", "the configuration was read again", 1)
	w.eventually("the end of the reload", func() bool { return w.property("offsite.service", "SubState") == "running" })
	if now := w.pid(); now != pid {
		w.t.Errorf("the process was %s and is %s", pid, now)
	}
}

// isKilled: by the watchdog when it stands still, and by somebody; and it ends itself when it no longer sees the host's directory.
func (w *world) isKilled() {
	w.t.Helper()
	w.write("/etc/systemd/system/offsite.service.d/90-test.conf", "[Service]\nWatchdogSec=6s\nRestartSec=100ms\n", 0o644)
	w.sh("systemctl daemon-reload; systemctl restart offsite.service")
	restarts := func(n int) func() bool {
		return func() bool {
			return w.property("offsite.service", "NRestarts") == strconv.Itoa(n) && w.property("offsite.service", "ActiveState") == "active"
		}
	}
	time.Sleep(7 * time.Second) // longer than the watchdog waits: an agent that has nothing to do lives
	if !restarts(0)() {
		w.t.Fatal("the watchdog has ended an agent that lives")
	}
	w.sh("kill -STOP %s", w.pid())
	w.eventually("a restart by the watchdog", restarts(1))
	w.hears("offsite.service", "Watchdog timeout", 1)
	w.sh("kill -KILL %s", w.pid())
	w.eventually("a restart after a kill", restarts(2))
	w.sh("rm -r %s; mkdir %s", dumps, dumps)
	w.eventually("a restart for a watched directory that is another one", restarts(3))
	w.sh("rm /etc/systemd/system/offsite.service.d/90-test.conf; systemctl daemon-reload; systemctl restart offsite.service")
	w.dump("later_20261001_030000.sql", whole)
	w.eventually("a dump after it", func() bool {
		return strings.Count(w.journal("offsite.service"), "later_20261001_030000.sql.age") >= len(targets)
	})
}

// partial is how much of an upload lies on the SSH server.
func (w *world) partial() (size int64) {
	found, _ := filepath.Glob(filepath.Join(w.ssh.Data, "db/db-server/big*/.offsite-*.partial"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			size = max(size, info.Size())
		}
	}
	return size
}

// reboots in the middle of an upload, which goes on where it was.
func (w *world) reboots() {
	w.t.Helper()
	big := make([]byte, 96<<20)
	rand.NewChaCha8([32]byte{1}).Read(big)
	w.dump("big_20261001_030000.dat", string(big))
	w.eventually("half of an upload", func() bool { return w.partial() > 44<<20 })
	w.configure("") // as fast as it can, from the next start on
	before := w.leader
	w.run("systemctl", "reboot")
	w.eventually("another boot", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", before))
		return err != nil
	})
	w.leader = 0
	w.up()
	var found []string
	said := ""
	w.eventually("the dump on the server", func() bool {
		said = w.journal("offsite.service")
		found = regexp.MustCompile(`msg=delivered target=shore .*big_20261001.* bytes=(\d+) sent=(\d+)`).FindStringSubmatch(said)
		return found != nil
	})
	if !strings.Contains(said, "was begun before: sends what the target lacks") {
		w.t.Errorf("the upload was not interrupted, or began anew: %s", said)
	}
	bytes, _ := strconv.Atoi(found[1])
	if sent, _ := strconv.Atoi(found[2]); sent > bytes-8<<20 {
		w.t.Errorf("%d bytes of %d were sent again", sent, bytes)
	}
}
