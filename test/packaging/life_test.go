package packaging

import (
	"path/filepath"
	"strings"
	"testing"
)

// checkInstalled looks at a host on which the package was just installed for the first time.
func (h *host) checkInstalled(out string) {
	h.t.Helper()
	h.says(out, "offsite is installed and does nothing yet")
	h.wants("offsite version", "offsite v"+version)
	h.wants("getent passwd offsite | cut -d: -f6,7", "/var/lib/offsite:/usr/sbin/nologin")
	h.wants("stat -c '%a %U:%G' /etc/offsite", "750 root:offsite")
	h.wants("find /etc/offsite /var/lib/offsite ! -type d 2>/dev/null || true", "")
	if told := h.told(); strings.Contains(told, "start") || !strings.Contains(told, "daemon-reload") {
		h.t.Errorf("at the first installation, systemd is told:\n%s", told)
	}
}

// The life of an installation. What is the user's is never touched but by a purge that was told so.
func lifeOfDeb(t *testing.T, deb, upgrade string) {
	t.Parallel()
	h := newHost(t)
	h.copyIn(deb)
	h.copyIn(upgrade)
	install, up := "dpkg -i /run/"+filepath.Base(deb), "dpkg -i /run/"+filepath.Base(upgrade)
	h.checkInstalled(h.does(install))

	h.setUp()
	before := h.does(owned)
	h.does("chmod 0755 /etc/offsite")
	h.told()
	h.does(up)
	h.wants("dpkg-query -W -f '${Version}' offsite", newer)
	h.wants(owned, strings.TrimSpace(before))
	h.wants("stat -c %a /etc/offsite", "755") // the administrator's
	if told := h.told(); !strings.Contains(told, "restart offsite.service") || strings.Contains(told, "stop") {
		t.Errorf("at an upgrade, systemd is told:\n%s", told)
	}

	h.does("rm /run/active/offsite.service && dpkg -i /run/" + filepath.Base(upgrade))
	if told := h.told(); strings.Contains(told, "start ") {
		t.Errorf("at an upgrade of a service that does not run, systemd is told:\n%s", told)
	}

	h.does("touch /run/active/offsite.service && dpkg -r offsite")
	h.wants(owned, strings.TrimSpace(before))
	h.wants("ls /usr/bin/offsite /usr/lib/systemd/system/offsite.service 2>/dev/null || true", "")
	told := h.told()
	h.says(told, "stop offsite.service")
	h.says(told, "stop offsite-page.socket")
	if strings.Index(told, "stop offsite-page.socket") > strings.Index(told, "stop offsite.service") {
		t.Errorf("a socket that is stopped after its service starts it again:\n%s", told)
	}

	h.does("rm /run/active/offsite.service") // as it was told
	h.does(up)
	if told := h.told(); !strings.Contains(told, " start offsite.service") {
		t.Errorf("installed again after a removal, it was enabled, and systemd is told:\n%s", told)
	}

	said := h.does("dpkg -P offsite")
	h.says(said, "/etc/offsite/signing.key")
	h.wants(owned, strings.TrimSpace(before))
	h.wants("ls -d /etc/systemd/system/multi-user.target.wants/offsite.service /etc/systemd/system/offsite.service.d 2>/dev/null || true", "")
	h.wants("dpkg-query -W -f '${Status}' offsite 2>/dev/null || echo none", "none")
}

// A purge removes what it was told to remove, and never a key that opens backups.
func purgeAsks(t *testing.T, deb string) {
	t.Parallel()
	h := newHost(t)
	h.copyIn(deb)
	install := "dpkg -i /run/" + filepath.Base(deb)

	h.does(install)
	if said := h.does("dpkg -P offsite"); strings.Contains(said, "kept") {
		t.Errorf("nothing was there, and the purge says:\n%s", said)
	}
	h.wants("ls -d /etc/offsite /var/lib/offsite 2>/dev/null || true", "")

	// Somebody is asked, and says no; then yes.
	for _, c := range []struct{ answer, left string }{
		{"no", "/etc/offsite/offsite-recovery-kit.html\n/etc/offsite/offsite-recovery-kit.txt\n/etc/offsite/offsite.yaml\n/etc/offsite/signing.key\n/var/lib/offsite/journal.db"},
		{"yes", "/etc/offsite/offsite-recovery-kit.html\n/etc/offsite/offsite-recovery-kit.txt"},
	} {
		h.does(install)
		if c.answer == "no" {
			h.setUp()
			h.does("mkdir -p /etc/offsite/credentials/former && echo a secret of a target > /etc/offsite/credentials/key")
			h.does("cp /etc/offsite/offsite-recovery-kit.txt /etc/offsite/credentials/former/drill-identity")
		}
		said := h.does("echo " + c.answer + " | DEBIAN_FRONTEND=teletype dpkg -P offsite")
		h.says(said, "Remove this host's signing key, configuration and state?")
		h.wants("ls -d /etc/offsite/*.* /var/lib/offsite/journal.db 2>/dev/null || true", c.left)
		h.says(said, "/etc/offsite/offsite-recovery-kit.txt") // it is told that it stays
		h.says(said, "/etc/offsite/credentials/former/drill-identity")
		if c.answer == "yes" {
			h.wants("ls -d /etc/offsite/credentials/key /var/lib/offsite 2>/dev/null || true", "")
			h.wants("grep -c AGE-SECRET-KEY- /etc/offsite/offsite-recovery-kit.txt", "1")
		}
	}

	// An answer that was given before is taken where nobody can be asked.
	h.does(install + " && mv /etc/offsite/offsite-recovery-kit.* /root/ && rm -r /etc/offsite/credentials")
	h.setUp()
	h.does("rm /etc/offsite/offsite-recovery-kit.* && echo offsite offsite/purge-data boolean true | debconf-set-selections && dpkg -P offsite")
	h.wants("ls -d /etc/offsite /var/lib/offsite 2>/dev/null || true", "")
}

func lifeOfRPM(t *testing.T, rpm, upgrade string) {
	t.Parallel()
	h := newHost(t)
	h.copyIn(rpm)
	h.copyIn(upgrade)
	const tool = "rpm --force-debian --nodeps "
	h.checkInstalled(h.does(tool + "-i /run/" + filepath.Base(rpm)))

	h.setUp()
	h.wants("stat -c '%a %U:%G' /etc/offsite", "750 root:offsite")
	h.does("chmod 0700 /etc/offsite && chgrp root /etc/offsite")
	h.does("mkdir /etc/systemd/system/offsite-drill.service.d && cd /etc/systemd/system/offsite-drill.service.d && touch 10-mine.conf 50-offsite-install.conf")
	before := h.does(owned)
	h.told()
	h.does(tool + "-U /run/" + filepath.Base(upgrade))
	h.wants("rpm -q --queryformat '%{VERSION}' offsite", newer)
	h.wants(owned, strings.TrimSpace(before))
	h.wants("stat -c '%a %U:%G' /etc/offsite", "700 root:root")
	h.wants("rpm --force-debian --nodeps -V offsite || true", "")
	h.wants("ls /etc/systemd/system/offsite-drill.service.d/", "10-mine.conf\n50-offsite-install.conf")
	if told := h.told(); !strings.Contains(told, "try-restart offsite.service") || strings.Contains(told, "disable") {
		t.Errorf("at an upgrade, systemd is told:\n%s", told)
	}

	said := h.does(tool + "-e offsite")
	h.says(said, "kept: /etc/offsite")
	h.wants(owned, strings.TrimSpace(before))
	h.says(h.told(), "disable --now offsite.service")
	h.wants("ls /usr/bin/offsite 2>/dev/null || true", "")
	h.wants("ls -d /etc/systemd/system/offsite* 2>/dev/null || true", "/etc/systemd/system/offsite-drill.service.d")
	h.wants("ls /etc/systemd/system/offsite-drill.service.d", "10-mine.conf") // somebody's own

	h.does("rm -r /etc/offsite && " + tool + "-i /run/" + filepath.Base(rpm) + " && " + tool + "-e offsite")
	h.wants("ls -d /etc/offsite 2>/dev/null || true", "") // nothing was in it
}
