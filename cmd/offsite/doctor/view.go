package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// rootOf is / as a process sees it (proc(5)); only root and the process's user may look.
func rootOf(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid), "root") }

// view compares the directories as the running agent sees them, below root, with those of the host. A sandbox has what was there when it was
// made: what was mounted, unmounted or put in its place since may be seen on the host only.
func (p *Patient) view(g *Group, root string) {
	seen := 0
	look := func(path, what string) {
		host, err := os.Stat(path)
		if err != nil {
			return // other findings have that
		}
		there, err := os.Stat(filepath.Join(root, path))
		switch {
		case errors.Is(err, fs.ErrPermission):
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			g.warning("view", "run `offsite doctor` as root", "%s %s cannot be looked at as the agent sees it: %v", what, path, err)
		case err != nil || !os.SameFile(host, there):
			g.problem("view", "systemctl restart offsite", "%s %s is another one for the running agent, or none: it was mounted, unmounted or replaced since the agent was started", what, path)
		default:
			seen++
		}
	}
	for _, w := range p.Config.Watch {
		look(w.Path, "the watched directory")
	}
	for _, t := range p.targets() {
		if t.Dir != nil {
			look(t.Dir.Path, "target "+t.Name)
		}
	}
	if seen > 0 {
		g.ok("view", "the running agent sees %s as this host does", count(seen, "directory", "directories"))
	}
}
