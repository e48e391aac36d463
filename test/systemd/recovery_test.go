package systemd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

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
	w.write("/etc/systemd/system/offsite.service.d/90-test.conf", "[Service]\nWatchdogSec=6s\nRestartSec=100ms\n[Unit]\nStartLimitBurst=10000\n", 0o644)
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
	w.watchesNoStandIn()
	w.sh("rm /etc/systemd/system/offsite.service.d/90-test.conf; systemctl daemon-reload; systemctl restart offsite.service")
	w.ships("later_20261001_030000.sql")
}

// watchesNoStandIn: the sandbox keeps the directories on which something was bound. Such a one, empty, is not taken for that of the host, which
// is gone, or for a parent that the configuration has come to name; and what is there again is watched.
func (w *world) watchesNoStandIn() {
	w.t.Helper()
	w.sh("mv %s %[1]s.away", dumps)
	w.hears("offsite.service", "watch[0].path: "+dumps, 1)
	w.sh("mv %s.away %[1]s", dumps)
	w.ships("back_20261001_030000.sql")
	w.config = strings.Replace(w.config, "{path: "+dumps+"}", "{path: "+filepath.Dir(dumps)+"}", 1)
	w.configure("")
	if out, err := w.try("systemctl", "reload", "offsite.service"); err == nil {
		w.t.Errorf("a directory that is not bound was taken: %s", out)
	}
	w.config = strings.Replace(w.config, "{path: "+filepath.Dir(dumps)+"}", "{path: "+dumps+"}", 1)
	w.configure("")
}

// isGivenUp by systemd: that is told, tried again after a while and told again, until what was wrong is mended.
func (w *world) isGivenUp() {
	w.t.Helper()
	w.write("/etc/systemd/system/offsite.service.d/90-test.conf", "[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=100ms\n", 0o644)
	w.write("/etc/systemd/system/offsite-again.timer.d/90-test.conf", "[Timer]\nOnActiveSec=\nOnActiveSec=1s\nAccuracySec=100ms\n", 0o644)
	w.configure("keeps: {\n") // no YAML, which is no reason not to tell
	w.sh("systemctl daemon-reload; mv /etc/offsite/credentials/lan-access /root/; systemctl restart offsite.service || true")
	w.hears("offsite-alarm@offsite.service.service", "hook: ok", 3) // the first one is of tellsOfTrouble
	w.configure("")
	w.sh("mv /root/lan-access /etc/offsite/credentials/")
	w.eventually("the service again", func() bool { return w.property("offsite.service", "ActiveState") == "active" })
	w.sh("rm /etc/systemd/system/offsite*.d/90-test.conf; systemctl daemon-reload; systemctl reset-failed; systemctl restart offsite.service")
	w.ships("mended_20261001_030000.sql")
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
	w.goesOn("big_20261001_030000.dat", func() {
		before := w.leader
		w.run("systemctl", "reboot")
		w.eventually("another boot", func() bool {
			_, err := os.Stat(fmt.Sprintf("/proc/%d", before))
			return err != nil
		})
		w.leader = 0
		w.up()
	})
}

// goesOn interrupts an upload in its middle, and looks whether it goes on where it was. The configuration must limit it till then.
func (w *world) goesOn(name string, interrupt func()) {
	w.t.Helper()
	big := make([]byte, 96<<20)
	rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%32s", name)))).Read(big)
	w.dump(name, string(big))
	w.eventually("half of an upload", func() bool { return w.partial() > 44<<20 })
	w.configure("") // as fast as it can, from the next start on
	interrupt()
	var found []string
	said := ""
	w.eventually("the dump on the server", func() bool {
		said = w.journal("offsite.service")
		found = regexp.MustCompile(`msg=delivered target=shore .*` + name + `.* bytes=(\d+) sent=(\d+)`).FindStringSubmatch(said)
		return found != nil
	})
	if !strings.Contains(said, "was begun before: sends what the target lacks") {
		w.t.Errorf("the upload was not interrupted, or began anew: %s", said)
	}
	bytes, _ := strconv.Atoi(found[1])
	if sent, _ := strconv.Atoi(found[2]); sent > bytes-8<<20 {
		w.t.Errorf("%d bytes of %d were sent again", sent, bytes)
	}
	w.sh("rm %s/%s", dumps, name) // the machine's disk is memory
}
