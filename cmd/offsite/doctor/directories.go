package doctor

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"offsite/configs"
)

// reached is what the agent's user can get at, if that could be found out.
type reached struct {
	answer
	err error
}

// quiet is a settle time that is long enough where the kernel does not tell when a file is finished.
const quiet = 30 * time.Second

func (p *Patient) directories(as account, r reached) Group {
	g := Group{Title: "directories"}
	if r.err != nil {
		remedy := "run `offsite doctor` as root, on the host of the agent"
		if as.err != nil {
			remedy = "make that user, or name the right one with --user"
		}
		g.warning("user", remedy, "it cannot be seen what %s, whom the agent runs as, may read (%v): what follows is as %s sees it", as, r.err, self())
	}
	for i, w := range p.Config.Watch {
		if info, err := os.Stat(w.Path); err == nil && info.IsDir() { // else the configuration's findings have it
			p.watched(&g, i, r.Dirs[i], as)
		}
	}
	p.state(&g, as, r)
	for _, path := range slices.Sorted(maps.Keys(r.Unreadable)) {
		why := r.Unreadable[path]
		g.problem("readable", "chown "+as.String()+" "+path+", and let that user into its directory", "%s cannot read %s (%s)", as, path, why)
	}
	for _, path := range slices.Sorted(maps.Keys(r.Unwritable)) {
		if as.other { // else the target's own probe has it
			g.problem("writable", p.hand(as, path), "%s cannot write to the target's directory %s (%s)", as, path, r.Unwritable[path])
		}
	}
	return g
}

// hand is how to let the agent's user write to a target's directory, without a change to what other hosts have there.
func (p *Patient) hand(as account, path string) string {
	if !slices.ContainsFunc(p.Config.Targets, func(t configs.Target) bool { return t.Dir != nil && t.Dir.Path == path }) {
		return "chown -R " + as.String() + " " + path
	}
	own := filepath.Join(path, p.Config.Host)
	return "mkdir -m 700 " + own + " && chown " + as.String() + " " + own + " (as `offsite install` does)"
}

func (p *Patient) watched(g *Group, i int, d dirAnswer, as account) {
	w := p.Config.Watch[i]
	if real, err := filepath.EvalSymlinks(w.Path); err == nil && real != filepath.Clean(w.Path) {
		g.ok("link", "%s leads to %s: an agent watches what it led to when it was started, and must be restarted when it is switched", w.Path, real)
	}
	switch {
	case d.Unreadable > 0:
		remedy := "let " + as.String() + " read them: by a group and `umask 027` for the job that writes them, or `setfacl -R -m u:" + as.String() + ":rX -m d:u:" + as.String() + ":rX " + w.Path + "`"
		if as.name == "root" || as.uid == 0 {
			remedy = "look at the file system: root may read everything on a healthy one"
		}
		g.problem("watch", remedy, "%s: %s cannot read %s there, such as %s", w.Path, as, count(d.Unreadable, "entry", "entries"), d.Why)
	case d.Files == 0:
		g.warning("watch", "is it the right directory, and do include and exclude fit? The job that writes the dumps may not have run yet", "%s holds no dump", w.Path)
	default:
		g.ok("watch", "%s: %s can be read, in %s", w.Path, count(d.Files, "dump", "dumps"), count(d.Directories, "directory", "directories"))
	}
	switch {
	case d.NoLease == "":
		if d.Files > 0 && d.Unreadable == 0 {
			g.ok("lease", "%s: the kernel tells when a dump is finished (leases)", w.Path)
		}
	case w.Settle >= quiet:
		g.ok("lease", "%s: no leases here (%s); a dump is finished when it is quiet for %s", w.Path, d.NoLease, w.Settle)
	default:
		g.warning("lease", "write `settle: 30s` for it, or more than the longest pause of the job that writes there; a job that writes aside and renames needs nothing", "%s: the kernel does not tell when a dump is finished (%s): only the quiet time does", w.Path, d.NoLease)
	}
	p.room(g, w.Path)
}

// room is whether the next dump has a place.
func (p *Patient) room(g *Group, path string) {
	free, ok := space(path)
	switch {
	case !ok || p.Need == 0:
	case free < p.Need:
		g.problem("free", "remove old dumps, or make the disk larger", "%s: %s are free, and the newest dumps take %s: the next ones do not fit", path, bytesOf(free), bytesOf(p.Need))
	case free < 2*p.Need:
		g.warning("free", "remove old dumps, or make the disk larger", "%s: %s are free, and the newest dumps take %s", path, bytesOf(free), bytesOf(p.Need))
	default:
		g.ok("free", "%s: %s are free", path, bytesOf(free))
	}
}

func bytesOf(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// space is what is left on the file system of path.
func space(path string) (free int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// The journal is small; without room for it nothing is shipped.
const (
	stateFull = 16 << 20
	stateLow  = 128 << 20
)

func (p *Patient) state(g *Group, as account, r reached) {
	path := p.Config.State
	info, err := os.Stat(path)
	switch {
	case err != nil:
		g.problem("state", "`offsite init` makes it", "the state directory %s: %s", path, cause(err))
		return
	case !info.IsDir():
		g.problem("state", "move it away; `offsite init` makes the directory", "the state directory %s is a file", path)
		return
	case r.State != "" && r.err == nil:
		g.problem("state", "chown "+as.String()+" "+path+"; if its disk is mounted read-only, find out why", "%s cannot write to the state directory %s (%s): nothing is shipped", as, path, r.State)
	case info.Mode().Perm()&0o077 != 0:
		g.problem("state", "chmod 700 "+path, "others have a way into the state directory %s (mode %s), which holds keys of dumps that are under way", path, octal(info.Mode()))
	default:
		g.ok("state", "the state directory %s can be written, by its owner alone", path)
	}
	free, ok := space(path)
	switch {
	case !ok:
	case free < stateFull:
		g.problem("state-free", "make room on the disk of "+path, "%s are free in the state directory %s: on a full disk nothing is shipped", bytesOf(free), path)
	case free < stateLow:
		g.warning("state-free", "make room on the disk of "+path, "%s are free in the state directory %s", bytesOf(free), path)
	default:
		g.ok("state-free", "%s are free in the state directory", bytesOf(free))
	}
}

// beside is a name in the directory of the configuration.
func (p *Patient) beside(name string) string { return filepath.Join(filepath.Dir(p.Path), name) }

func (p *Patient) reached(ctx context.Context, as account) reached {
	a, err := p.reach(ctx, as)
	return reached{a, err}
}
