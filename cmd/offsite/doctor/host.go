package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what the host says of itself. The zero Machine is the real one.
type Machine struct {
	// Root stands for / where files of the kernel and of systemd are read.
	Root string
	// Show asks systemd for the properties of the service; nil: systemctl is asked, and without it the unit's files are read.
	Show func(ctx context.Context) (map[string]string, error)
	// Synced says whether the clock is kept right by others, and known is false where nobody can tell; nil: the kernel is asked.
	Synced func() (synced, known bool)
}

func (m Machine) path(p string) string { return filepath.Join("/", m.Root, p) }

// synced asks systemd-timesyncd's mark and the kernel (adjtimex(2)), which every other time service tells.
func (m Machine) synced() (synced, known bool) {
	if m.Synced != nil {
		return m.Synced()
	}
	if _, err := os.Stat(m.path("/run/systemd/timesync/synchronized")); err == nil {
		return true, true
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, false
	}
	return t.Status&unix.STA_UNSYNC == 0, true
}

func (p *Patient) host(r reached) Group {
	g := Group{Title: "host"}
	directories, remote := 0, false
	for _, d := range r.Dirs {
		directories += d.Directories
		remote = remote || d.Remote
	}
	p.inotify(&g, directories)
	p.hardLinks(&g)
	if remote {
		g.ok("remote", "a watched directory is on a network file system: it is scanned every 10 seconds, since events do not come from there")
	}
	switch synced, known := p.Machine.synced(); {
	case !known:
	case synced:
		g.ok("ntp", "the clock is kept right by a time service")
	default:
		g.warning("ntp", "timedatectl set-ntp true, or install chrony", "no time service keeps the clock right: stores refuse a host whose clock is wrong, and retention goes by it")
	}
	return g
}

// hardLinks says that whoever may write to a watched directory can link files of others into it.
func (p *Patient) hardLinks(g *Group) {
	b, err := os.ReadFile(p.Machine.path("/proc/sys/fs/protected_hardlinks"))
	if err == nil && strings.TrimSpace(string(b)) == "0" {
		g.warning("hardlinks", "sysctl fs.protected_hardlinks=1, and the same in /etc/sysctl.d/ to keep it", "fs.protected_hardlinks is 0: everybody can link files into a watched directory that they may not read; "+
			"of dumps in directories to which others than their owner may write none is shipped")
	}
}

// inotify compares what the watcher needs, one watch for each directory, with what a user may have in all.
func (p *Patient) inotify(g *Group, directories int) {
	for _, limit := range []struct {
		name string
		need int
	}{{"max_user_watches", directories}, {"max_user_instances", 1}} {
		path := "/proc/sys/fs/inotify/" + limit.name
		b, err := os.ReadFile(p.Machine.path(path))
		if err != nil {
			continue
		}
		most, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			continue
		}
		key := "fs.inotify." + limit.name
		remedy := "sysctl " + key + "=" + itoa(max(8192, 4*limit.need)) + ", and the same in /etc/sysctl.d/ to keep it"
		switch {
		case most < limit.need:
			g.problem("inotify", remedy, "%s is %d, and the watched directories are %d: dumps in some are found by the scans alone, a minute late", key, most, limit.need)
		case most < 2*limit.need:
			g.warning("inotify", remedy, "%s is %d, for all programs of the user, and the watched directories alone are %d", key, most, limit.need)
		case limit.name == "max_user_watches":
			g.ok("inotify", "%s is %d, for %s", key, most, count(limit.need, "directory", "directories"))
		}
	}
}
