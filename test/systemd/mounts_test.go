package systemd

import "strings"

// seesLateMounts: a target that is mounted, unmounted and mounted again while the agent runs.
func (w *world) seesLateMounts() {
	w.t.Helper()
	w.sh("mkdir /srv/disk && mount -t tmpfs -o mode=0755 tmpfs /srv/disk && cp %s/.offsite-target /srv/disk/ && install -d -m 0700 -o offsite -g offsite /srv/disk/db-server", nas)
	pid := w.pid()
	for _, step := range []struct{ do, series, there string }{
		{"mount --bind /srv/disk " + nas, "mounted", "/srv/disk"},
		{"umount " + nas, "unmounted", nas},
		{"mount --bind /srv/disk " + nas, "remounted", "/srv/disk"},
	} {
		w.sh("%s", step.do)
		w.ships(step.series + "_20261001_030000.sql")
		if found := w.sh("ls %s/db-server/%s", step.there, step.series); !strings.Contains(found, ".manifest") {
			w.t.Errorf("after %s, there is %q", step.do, found)
		}
	}
	w.sh("umount %s", nas)
	if now := w.pid(); now != pid {
		w.t.Errorf("the process was %s, and is %s", pid, now)
	}
}

// sharesWithRoot: what root's commands make on a target and of the state, the service must write to afterwards.
func (w *world) sharesWithRoot() {
	w.t.Helper()
	w.write("/root/pushed_20261001_030000.sql", whole, 0o600)
	w.run("offsite", "push", "/root/pushed_20261001_030000.sql")
	w.ships("pushed_20261002_030000.sql")

	w.run("systemctl", "stop", "offsite-status.socket", "offsite-page.socket", "offsite.service") // a socket would start it again
	w.sh("rm -rf /var/lib/offsite/*")
	w.dump("byhand_20261001_030000.sql", whole)
	w.run("offsite", "agent", "--once")
	w.run("offsite", "drill")
	w.run("systemctl", "start", "offsite-status.socket", "offsite-page.socket", "offsite.service", "offsite-drill.service")
	w.ships("byhand_20261002_030000.sql")
	if found := w.sh("find /var/lib/offsite %s/db-server ! -user offsite", nas); found != "" {
		w.t.Errorf("these are not the service's:\n%s", found)
	}
}
