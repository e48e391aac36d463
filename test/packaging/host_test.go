package packaging

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// host is this machine's own root with a layer over it, which takes all that is changed and goes with the test. No systemd runs in it: a
// program in its place writes down what it is told, and answers that offsite.service runs, or is enabled, when a file says so.
type host struct {
	t   *testing.T
	dir string // of the host's root, as the host itself sees its mounts
	pid string
}

// layer mounts the root over itself, in a mount namespace that ends with the program.
const layer = `set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
mount --rbind /dev "$1/root/dev"
mount --rbind /proc "$1/root/proc"
mount -t tmpfs tmpfs "$1/root/run"
mount -t tmpfs tmpfs "$1/root/tmp"
mkdir -p "$1/root/run/systemd/system" "$1/root/srv/dumps" "$1/root/srv/nas"
rm "$1/root/usr/bin/systemctl"
cat >"$1/root/usr/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >>/run/told
last=
for last; do :; done
case $* in
*is-active*) test -e "/run/active/$last" ;;
*is-enabled*) if test -L "/etc/systemd/system/multi-user.target.wants/$last"; then echo enabled; else echo disabled; exit 1; fi ;;
esac
END
chmod +x "$1/root/usr/bin/systemctl"
printf '#!/bin/sh\nexit 0\n' >"$1/root/usr/sbin/policy-rc.d" # it may start services
chmod +x "$1/root/usr/sbin/policy-rc.d"
rm -rf "$1/root/etc/offsite" "$1/root/var/lib/offsite"
rm -f "$1"/root/etc/dpkg/dpkg.cfg.d/* # a container's may leave out documents
rm -f "$1/root/var/lib/man-db/auto-update" # an index of all pages of this machine is none of ours
echo ready
exec cat`

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-c", layer, "layer", h.dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // cat ends, and all mounts with it
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the overlay: %q, %v", line, err)
	}
	h.pid = strconv.Itoa(cmd.Process.Pid)
	return h
}

// inside is a command line of the host, as root, with nobody at a terminal.
func (h *host) inside(script string) *exec.Cmd {
	cmd := exec.Command("nsenter", "-t", h.pid, "-m", "chroot", filepath.Join(h.dir, "root"), "bash", "-c", "cd /; "+script)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "HOME=/root"}
	return cmd
}

// does runs a command line, which must succeed.
func (h *host) does(script string) string {
	h.t.Helper()
	return run(h.t, h.inside(script))
}

// copyIn brings a file into /run of the host.
func (h *host) copyIn(path string) {
	h.t.Helper()
	run(h.t, exec.Command("nsenter", "-t", h.pid, "-m", "cp", path, filepath.Join(h.dir, "root/run/")))
}

// told is what systemctl was told since it was asked last.
func (h *host) told() string {
	h.t.Helper()
	return h.does("cat /run/told 2>/dev/null; rm -f /run/told")
}

// wants checks that a command line succeeds and prints what is wanted.
func (h *host) wants(script, want string) {
	h.t.Helper()
	if got := strings.TrimSpace(h.does(script)); got != want {
		h.t.Errorf("%s\nprints %q, want %q", script, got, want)
	}
}

// says checks that output has something, such as a word to the user or to systemd.
func (h *host) says(output, want string) {
	h.t.Helper()
	if !strings.Contains(output, want) {
		h.t.Errorf("it does not say %q:\n%s", want, output)
	}
}

// setUp makes the host one that ships: configuration, keys, recovery kit and state, and a service that is enabled and runs.
func (h *host) setUp() {
	h.t.Helper()
	h.does(`echo dump > /srv/dumps/shop_20261001_030000.sql
offsite init --yes --host h --zone UTC --watch /srv/dumps --target nas=/srv/nas && offsite agent --once
mkdir -p /run/active /etc/systemd/system/multi-user.target.wants /etc/systemd/system/offsite.service.d
ln -s /usr/lib/systemd/system/offsite.service /etc/systemd/system/multi-user.target.wants/
touch /run/active/offsite.service /etc/systemd/system/offsite.service.d/50-offsite-install.conf /etc/systemd/system/offsite.service.d/50-offsite-install.conf.offsite-old`)
}

// owned is what of the user's is there, with its contents.
const owned = "sha256sum /etc/offsite/offsite.yaml /etc/offsite/signing.key /etc/offsite/offsite-recovery-kit.txt /var/lib/offsite/journal.db"
