package systemd

import "strings"

// livesWithoutPackage: the program alone makes itself a service, and takes that back.
func (w *world) livesWithoutPackage() {
	w.t.Helper()
	said := w.sh("/root/offsite init && /root/offsite install")
	for _, words := range []string{"copies this program", "writes /etc/systemd/system/offsite.service", "enable --now offsite.service", "The service runs"} {
		if !strings.Contains(said, words) {
			w.t.Errorf("install says nothing of %q:\n%s", words, said)
		}
	}
	w.ships("bare_20261001_030000.sql")
	w.run("/usr/local/bin/offsite", "install", "--undo")
	if left := w.sh("ls /etc/systemd/system/offsite* /etc/*.d/offsite.conf /usr/local/bin/offsite /run/offsite* 2>/dev/null || true"); left != "" {
		w.t.Errorf("it left %s", left)
	}
	if state := w.property("offsite.service", "LoadState"); state != "not-found" {
		w.t.Errorf("the unit is %s", state)
	}
}

// isRoots makes the machine one on which the program ran by hand alone: the user is gone, and what there is belongs to root.
func (w *world) isRoots() {
	w.t.Helper()
	w.sh("userdel offsite; rm -rf %s; mkdir -p %[1]s; chown -R root:root /var/lib/offsite %s", dumps, nas)
}
