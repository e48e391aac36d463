package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"offsite/agent"
)

// What a sandbox shows of the host's directories, and what it only seems to show.

// sandboxMounts are what systemd mounts in a sandbox of its own, and what holds them.
var sandboxMounts = []string{"", "/", "/home", "/root", "/run", "/run/user", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/proc", "/sys"}

// sandboxRoot is the name of the directory that our units have as their root.
const sandboxRoot = "offsite-root"

// bound says whether a path of the sandbox is one of the host, bound into it, or lies below one. What else is there belongs to the sandbox itself:
// systemd makes the directories on which it binds, and leaves them there, so that one that the host lacks now may seem to be there, empty for ever.
func bound(path string) (bool, error) {
	mounts, err := binds()
	if err != nil {
		return false, err
	}
	if root, known := mounts["/"]; known && filepath.Base(root) != sandboxRoot {
		return true, nil // a drop-in has given the service another root, such as the host's
	}
	at := "" // where the file system is mounted on which the path lies
	for mount := range mounts {
		if len(mount) > len(at) && below(path, []string{mount}) {
			at = mount
		}
	}
	return at == filepath.Clean(path) || !slices.Contains(sandboxMounts, at), nil
}

// seeEvery is how often it is looked whether the watched directories are still those of the host.
const seeEvery = 10 * time.Second

// seeing fails when a watched directory was removed or moved away on the host, and perhaps made anew: the sandbox has the one of before, into which
// nobody writes any more. Started again, the service sees what is there. Outside of a sandbox it has nothing to do.
func (s *service) seeing(ctx context.Context, a *agent.Agent) error {
	if !s.sandboxed {
		return nil
	}
	was, err := binds()
	if err != nil {
		return err
	}
	for pause(ctx, seeEvery) {
		is, err := binds()
		if err != nil {
			return err
		}
		for _, source := range a.Sources {
			if removed(source.Path) || is[source.Path] != was[source.Path] {
				return fmt.Errorf("the watched directory %s was removed on the host, or is another one there than the one that the service sees: it is started again", source.Path)
			}
		}
	}
	return nil
}

// binds are the mounts that this process sees, each with the directory of its file system that is mounted there. The kernel tells where that is
// now (proc_pid_mountinfo(5), root), so that it changes when somebody moves it.
func binds() (map[string]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 5 {
			all[unescaped.Replace(f[4])] = f[3]
		}
	}
	return all, nil
}

// unescaped reads a path as mountinfo writes it.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// removed says whether a directory is no more. One that was removed while it is bound can be opened all the same.
func removed(dir string) bool {
	f, err := os.Open(dir)
	if err == nil {
		_, err = f.Readdirnames(1)
		f.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}
