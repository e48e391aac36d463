package systemd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a booted system. It shares this host's network, and so its servers, and nothing that it writes reaches this host.
type machine struct {
	t      *testing.T
	log    *bytes.Buffer
	script *exec.Cmd
	ended  chan struct{}
	leader int // its first process, as this host numbers it
}

// bootScript lays memory over this machine's root, and boots that. $0 is a name, $1 a directory with what is to be there besides, and
// the rest are options. A service that this machine may have itself is not there.
const bootScript = `set -e
mount -t tmpfs -o size=1g tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
cp -a "$1"/. /mnt/upper/
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
rm -rf /mnt/root/usr/bin/offsite /mnt/root/usr/lib/systemd/system/offsite* /mnt/root/usr/lib/*.d/offsite.conf /mnt/root/var/lib/offsite
rm -f /mnt/root/var/lib/man-db/auto-update # an index of all pages of this machine is none of ours
rm -f /mnt/root/usr/sbin/policy-rc.d # which in a container keeps packages from starting services
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/"$0"
echo $$ > /sys/fs/cgroup/"$0"/cgroup.procs
until systemd-nspawn --directory=/mnt/root -M "$0" --boot --register=no --keep-unit --link-journal=no --console=pipe \
	--capability=all --system-call-filter=bpf "${@:2}"
do
	test $? = 133 # a reboot
done
`

// boot boots a machine, over whose files are those of a directory, and waits until all of it runs. It ends with the test.
func boot(t *testing.T, over string, options ...string) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("to boot systemd takes root: run the tests as root")
	}
	if _, err := exec.LookPath("systemd-nspawn"); err != nil {
		t.Fatalf("systemd-nspawn is missing: make packages (%v)", err)
	}
	m := &machine{t: t, log: &bytes.Buffer{}, ended: make(chan struct{})}
	name := fmt.Sprintf("offsite-test-%d", os.Getpid())
	m.script = exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "bash", "-c", bootScript, name, over}, options...)...)
	m.script.Stdout, m.script.Stderr = m.log, m.log
	if err := m.script.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { m.script.Wait(); close(m.ended) }()
	t.Cleanup(m.off)
	m.up()
	return m
}

// up waits until the system has booted.
func (m *machine) up() {
	m.t.Helper()
	m.eventually("a booted system", func() bool {
		select {
		case <-m.ended:
			m.t.Fatalf("the system ended while it booted:\n%s", m.log)
		default:
		}
		m.leader = child(child(m.script.Process.Pid, "systemd-nspawn"), "systemd")
		out, _ := m.try("systemctl", "is-system-running")
		state := strings.TrimSpace(out)
		return state == "running" || state == "degraded"
	})
}

// child is the child of a process with that name; 0: it has none.
func child(of int, name string) int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", of))
	for _, pid := range strings.Fields(string(children)) {
		if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.TrimSpace(string(comm)) == name {
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	return 0
}

// halt is SIGRTMIN+3, by which systemd(1) halts.
const halt = syscall.Signal(34 + 3)

// off ends the machine.
func (m *machine) off() {
	if m.t.Failed() {
		said, _ := m.try("journalctl", "--no-pager", "-u", "offsite*", "-n", "60")
		status, _ := m.try("offsite", "status")
		m.t.Logf("the journal:\n%s\nthe status:\n%s", said, status)
	}
	if m.leader != 0 {
		syscall.Kill(m.leader, halt)
	}
	select {
	case <-m.ended:
	case <-time.After(20 * time.Second):
		if m.leader != 0 {
			syscall.Kill(m.leader, syscall.SIGKILL)
		}
		m.script.Process.Kill()
		<-m.ended
	}
}

// try runs a program in the machine.
func (m *machine) try(argv ...string) (string, error) {
	if m.leader == 0 {
		return "", os.ErrProcessDone
	}
	cmd := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.leader), "-m", "-u", "-i", "-p", "-C", "--"}, argv...)...)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a program in the machine that must succeed.
func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := m.try(argv...)
	if err != nil {
		m.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return strings.TrimSpace(out)
}

// sh runs a shell script in the machine.
func (m *machine) sh(format string, args ...any) string {
	m.t.Helper()
	return m.run("bash", "-ec", fmt.Sprintf(format, args...))
}

// write writes a file in the machine.
func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	full := filepath.Join(fmt.Sprintf("/proc/%d/root", m.leader), path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Chmod(full, mode); err != nil {
		m.t.Fatal(err)
	}
}

// eventually waits for something that a busy machine may take long for.
func (m *machine) eventually(what string, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s never came", what)
		}
	}
}

// journal is what a unit has said since the boot.
func (m *machine) journal(unit string) string {
	m.t.Helper()
	return m.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)
}

// hears waits until a unit has said something so often.
func (m *machine) hears(unit, words string, times int) {
	m.t.Helper()
	m.eventually(fmt.Sprintf("%q (%d times) of %s", words, times, unit), func() bool { return strings.Count(m.journal(unit), words) >= times })
}

// property is one of a unit.
func (m *machine) property(unit, name string) string {
	m.t.Helper()
	return m.run("systemctl", "show", "-P", name, unit)
}
