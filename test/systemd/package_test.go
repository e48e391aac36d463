package systemd

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// packages runs apt-get, or the quicker dpkg, with nobody to ask.
func (w *world) packages(command string) string {
	w.t.Helper()
	return w.sh("DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 %s 2>&1", command)
}

// isInstalled goes the way of the README: the package, the configuration, one run by hand, the service.
func (w *world) isInstalled() {
	w.t.Helper()
	w.packages("apt-get install -y --no-install-recommends /root/offsite.deb")
	if state := w.sh("systemctl is-active 'offsite*' || true"); state != "" && state != "inactive" {
		w.t.Errorf("before it is configured, units of it are %s", state)
	}
	w.dump("first_20261001_030000.sql", whole)
	said := w.sh("offsite init && offsite agent --once && offsite list first 2>&1 && offsite install")
	for _, words := range []string{"nas: 1 delivered", "shore: 1 delivered", "first_20261001_030000.sql", "writes /etc/systemd/system/offsite.service.d/50-offsite-install.conf", "The service runs"} {
		if !strings.Contains(said, words) {
			w.t.Errorf("the way of the README says nothing of %q:\n%s", words, said)
		}
	}
	if strings.Contains(said, "writes /etc/systemd/system/offsite.service\n") {
		w.t.Errorf("with the package, the units are written once more:\n%s", said)
	}
	if from := w.property("offsite.service", "FragmentPath"); !strings.HasSuffix(from, "/lib/systemd/system/offsite.service") {
		w.t.Errorf("the unit is %s", from)
	}
	w.ships("first_20261002_030000.sql")
}

// mostExposed is what `systemd-analyze security` may give a service of ours, of 10.
const mostExposed = 1.5

// isTight asks systemd what it has to say of the units, with what install has written for them.
func (w *world) isTight() {
	w.t.Helper()
	if said := w.sh("systemd-analyze verify /usr/lib/systemd/system/offsite* 2>&1"); said != "" {
		w.t.Errorf("systemd-analyze verify: %s", said)
	}
	for _, unit := range []string{"offsite.service", "offsite-drill.service", "offsite-alarm@offsite.service.service"} {
		said := w.run("systemd-analyze", "security", "--no-pager", unit)
		found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(said)
		if found == nil {
			w.t.Fatalf("%s: no exposure in %s", unit, said)
		}
		if exposure, err := strconv.ParseFloat(found[1], 64); err != nil || exposure > mostExposed {
			w.t.Errorf("%s: the exposure is %s, and may be %v:\n%s", unit, found[1], mostExposed, said)
		}
		w.t.Logf("exposure of %s: %s", unit, found[1])
	}
}

// owned is what of the user's is there, but for what changes as the service runs.
const owned = "sha256sum /etc/offsite/offsite.yaml /etc/offsite/signing.key /etc/offsite/credentials/*; ls /var/lib/offsite/journal.db; id offsite"

// isUpgraded while an upload is under way.
func (w *world) isUpgraded() {
	w.t.Helper()
	w.configure("    limit: 8MB/s\n")
	w.run("systemctl", "reload", "offsite.service")
	before, pid := "", w.pid()
	w.goesOn("big_20261002_030000.dat", func() {
		before = w.sh(owned)
		w.packages("apt-get install -y --no-install-recommends /root/newer.deb")
	})
	if now := w.sh(owned); now != before {
		w.t.Errorf("the upgrade has changed\n%s\ninto\n%s", before, now)
	}
	if now := w.pid(); now == pid || now == "0" {
		w.t.Errorf("the process was %s, and is %s", pid, now)
	}
	w.hears("offsite.service", "version=v"+newer, 1)
	if said := w.sh("/proc/%s/exe version", w.pid()); said != "offsite v"+newer {
		w.t.Errorf("what runs is %s", said)
	}
	w.ships("upgraded_20261001_030000.sql")
}

// stops within its limit.
func (w *world) stops() {
	w.t.Helper()
	begin := time.Now()
	w.run("systemctl", "stop", "offsite.service")
	if took, result := time.Since(begin), w.property("offsite.service", "Result"); took > 30*time.Second || result != "success" {
		w.t.Errorf("the stop took %v, with the result %s", took, result)
	}
	w.run("systemctl", "start", "offsite.service")
}

// isRemoved, and installed again: it goes on.
func (w *world) isRemoved() {
	w.t.Helper()
	before := w.sh(owned)
	w.packages("dpkg -r offsite")
	if now := w.sh(owned); now != before {
		w.t.Errorf("the removal has changed\n%s\ninto\n%s", before, now)
	}
	w.nothingRuns()
	w.packages("dpkg -i /root/newer.deb")
	w.eventually("the service again", func() bool { return w.property("offsite.service", "ActiveState") == "active" })
	w.ships("again_20261001_030000.sql")
}

// nothingRuns of it, and systemd has nothing of it but perhaps that it was enabled.
func (w *world) nothingRuns() {
	w.t.Helper()
	if left := w.sh("systemctl list-units --all --plain --no-legend 'offsite*' | grep -v 'not-found inactive dead' || true; pgrep -u offsite || true; ls -d /usr/bin/offsite /usr/lib/*/*/offsite* 2>/dev/null || true"); left != "" {
		w.t.Errorf("there is still\n%s", left)
	}
}

// isPurged, twice. With nobody to ask, all that is the user's stays; after a yes, what holds a secret key of age.
func (w *world) isPurged() {
	w.t.Helper()
	before := w.sh(owned)
	said := w.packages("dpkg -P offsite")
	if now := w.sh(owned); now != before || !strings.Contains(said, "/etc/offsite/signing.key") {
		w.t.Errorf("with nobody to ask, the purge has changed\n%s\ninto\n%s\nand said\n%s", before, now, said)
	}
	w.nothingRuns()
	if left := w.sh("find /etc/systemd/system -name 'offsite*' -o -lname '*offsite*'; ls -d /run/offsite* 2>/dev/null || true"); left != "" {
		w.t.Errorf("the purge has left\n%s", left)
	}

	w.packages("dpkg -i /root/newer.deb")
	w.sh("offsite install")
	w.ships("last_20261001_030000.sql")
	w.sh("echo offsite offsite/purge-data boolean true | debconf-set-selections")
	said = w.packages("dpkg -P offsite")
	if left := w.sh("find /etc/offsite /var/lib/offsite ! -type d 2>/dev/null | sort || true"); left != "/etc/offsite/credentials/drill-identity.cred\n/etc/offsite/identity.txt" || !strings.Contains(said, "/etc/offsite/identity.txt") {
		w.t.Errorf("after a yes, there are\n%s\nand the purge has said\n%s", left, said)
	}
	w.nothingRuns()
	if found := w.sh("find %s -name 'last_*.manifest' -o -name '*last_*.manifest'", nas); found == "" {
		w.t.Error("the backups are gone")
	}
}
