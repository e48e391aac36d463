package systemd

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
)

func (w *world) shipsToEveryTarget() {
	w.t.Helper()
	w.pg.Run(w.t, []byte("CREATE ROLE drill LOGIN CREATEDB; CREATE DATABASE shop"), "psql", "-XAtq", "-d", "postgres")
	w.pg.Run(w.t, []byte("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g"), "psql", "-XAtq", "-d", "shop")
	w.dump("shop_20261001_030000.sql", w.pg.Run(w.t, nil, "pg_dump", "shop"))
	w.delivered("shop_20261001_030000.sql")
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
	if err := json.Unmarshal([]byte(w.sh("setpriv --reuid=65534 --regid=offsite --clear-groups offsite status --json")), &host); err != nil || host.Host != "db-server" {
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

// drillsWithASealedKey: one that only this machine opens.
func (w *world) drillsWithASealedKey() {
	w.t.Helper()
	w.sh(`cd /etc/offsite/credentials
systemd-creds encrypt --name=drill-identity drill-identity drill-identity.cred
mv drill-identity /etc/offsite/identity.txt
rm /var/lib/offsite/drills.json # so that one is due
offsite install`)
	w.run("systemctl", "start", "offsite-drill.service")
	if n := strings.Count(w.journal("offsite-drill.service"), " passed"); n != 2 {
		w.t.Errorf("%d drills have passed:\n%s", n, w.journal("offsite-drill.service"))
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
