package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"offsite/providers"
)

// validator notes what is wrong with values that are well formed.
type validator struct {
	*decoder
	checks Checks
}

var (
	hostName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,49}$`)
)

// maxSocket is how long the path of a unix socket may be (unix(7)).
const maxSocket = 107

func (v *validator) wrong(key, format string, args ...any) {
	v.note(v.line(key), key, fmt.Sprintf(format, args...))
}

func (v *validator) config(c *Config) {
	if c.Host == "" {
		v.wrong("host", "is missing; write the name under which this host's backups are to lie, such as db-server")
	} else if !hostName.MatchString(c.Host) {
		v.wrong("host", "%q should be 1 to 100 letters, digits, dots, underscores and hyphens", c.Host)
	}
	if _, err := time.LoadLocation(c.Zone); err != nil || c.Zone == "" || c.Zone == "Local" {
		v.wrong("zone", "%q is not a zone; write one such as Europe/Prague or UTC", c.Zone)
	}
	if !filepath.IsAbs(c.State) {
		v.wrong("state", "%q is not absolute; begin it with /", c.State)
	}
	if c.Socket != "" && !filepath.IsAbs(c.Socket) {
		v.wrong("socket", "%q is not absolute; begin it with /", c.Socket)
	} else if len(c.Socket) > maxSocket {
		v.wrong("socket", "has more than %d bytes, and the system takes no more", maxSocket)
	}
	if c.SigningKey != "" && !filepath.IsAbs(c.SigningKey) {
		v.wrong("signing_key", "%q is not absolute; begin it with /", c.SigningKey)
	}
	v.each("trust", c.Trust, v.checks.Verifier)
	v.watches(c)
	if len(c.Recipients) == 0 {
		v.wrong("recipients", "are missing: nobody could open the backups; write at least one public key, age1..., as `offsite keygen` prints it")
	}
	v.each("recipients", c.Recipients, v.checks.Recipient)
	v.targets(c)
	v.keeps(c)
	v.drills(c)
	v.alarms(&c.Alarms)
	v.listens(c)
	v.fleet(c)
	v.sizes(c)
}

func (v *validator) each(key string, values []string, check Check) {
	for i, value := range values {
		if check == nil {
			return
		}
		if err := check(value); err != nil {
			v.wrong(fmt.Sprintf("%s[%d]", key, i), "%v", err)
		}
	}
}

func (v *validator) sizes(c *Config) {
	if b := c.BlockSize; b != 0 && (b < 5<<20 || b > 4<<30 || b&(b-1) != 0) {
		v.wrong("block_size", "should be a power of two from 8MiB to 4GiB, such as 16MiB")
	}
	if n := c.Health.MaxCPU; n < 1 || n > 64 {
		v.wrong("health.max_cpu", "should be a number of processors from 1 to 64")
	}
	if block := min(max(c.BlockSize, 16<<20), 32<<20); c.Memory < block { // larger ones are not held
		v.wrong("memory", "is less than one block; write %dMiB or more", block>>20)
	}
}

func (v *validator) watches(c *Config) {
	if len(c.Watch) == 0 {
		v.wrong("watch", "is missing; write the directories with the dumps, each as `- path: /directory`")
	}
	names := map[string]int{}
	for i, w := range c.Watch {
		key := fmt.Sprintf("watch[%d]", i)
		v.watchPath(c, i)
		switch {
		case len(c.Watch) > 1 && w.Name == "":
			v.wrong(key, "needs a name, since there are several directories: two databases must never become one series")
		case w.Name != "" && !hostName.MatchString(w.Name):
			v.wrong(key+".name", "%q should be letters, digits, dots, underscores and hyphens", w.Name)
		case names[w.Name] > 0:
			v.wrong(key+".name", "%q is taken by another directory", w.Name)
		}
		names[w.Name]++
		for _, list := range []struct {
			key   string
			globs []string
		}{{"include", w.Include}, {"exclude", w.Exclude}} {
			for n, glob := range list.globs {
				if _, err := path.Match(glob, ""); err != nil {
					v.wrong(fmt.Sprintf("%s.%s[%d]", key, list.key, n), "%q is not a pattern; write one such as *.sql.gz", glob)
				}
			}
		}
		if w.Series != "" && v.checks.Pattern != nil {
			if err := v.checks.Pattern(w.Series); err != nil {
				v.wrong(key+".series", "%q %v; write one such as {series}_{time}.sql.gz", w.Series, err)
			}
		}
	}
}

func (v *validator) watchPath(c *Config, i int) {
	key, p := fmt.Sprintf("watch[%d].path", i), c.Watch[i].Path
	switch {
	case p == "":
		v.wrong(key, "is missing; write the directory with the dumps")
		return
	case !filepath.IsAbs(p):
		v.wrong(key, "%q is not absolute; begin it with /", p)
		return
	}
	if v.checks.Root != "" || v.checks.Reading {
		return
	}
	if info, err := os.Stat(p); err != nil {
		v.wrong(key, "%s cannot be read (%v); make the directory, or name the right one", p, cause(err))
	} else if !info.IsDir() {
		v.wrong(key, "%s is not a directory", p)
	}
	for j, other := range c.Watch[:i] {
		if inside(p, other.Path) || inside(other.Path, p) {
			v.wrong(key, "%s and watch[%d] overlap; each dump should be in one directory only", p, j)
		}
	}
	if inside(c.State, p) {
		v.wrong(key, "the state directory %s lies in it; put it elsewhere", c.State)
	}
}

// cause is an error of the system without the path, which is said already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// inside says whether p is dir or below it, links followed as far as both are there.
func inside(p, dir string) bool {
	rel, err := filepath.Rel(real(dir), real(p))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func (v *validator) targets(c *Config) {
	if len(c.Targets) == 0 {
		v.wrong("targets", "are missing; write at least one place for the backups, as example.yaml shows")
	}
	for i, t := range c.Targets {
		key := "targets." + t.Name
		if !targetName.MatchString(t.Name) {
			v.wrong(key, "a target's name should be lower-case letters, digits and hyphens")
		}
		kinds := t.kinds()
		if len(kinds) != 1 {
			v.wrong(key, "has %d kinds; write exactly one of %s", len(kinds), strings.Join(kindNames(), ", "))
			continue
		}
		for name, kind := range kinds {
			resolveFiles(kind, v.checks.Root, func(file, path string) {
				v.wrong(key+"."+name+"."+file, "%q is relative, which means systemd's credentials directory, and there is none here; write the whole path", path)
			})
			for _, e := range providers.FieldErrors(kind.Validate()) {
				v.wrong(key+"."+name+"."+e.Key, "%s", strings.TrimPrefix(e.Error(), e.Key+": "))
			}
		}
		for _, other := range c.Targets[:i] {
			if v.samePlace(t, other) {
				v.wrong(key, "lies at the same place as target %s, or one lies in the other: that would be one copy that looks like two; "+
					"give each a directory, bucket or prefix of its own", other.Name)
			}
		}
		if t.Dir != nil {
			for _, w := range c.Watch {
				if t.Dir.Path != "" && w.Path != "" && (inside(t.Dir.Path, w.Path) || inside(w.Path, t.Dir.Path)) {
					v.wrong(key+".dir.path", "%s and the watched directory %s overlap; backups would be taken for dumps", t.Dir.Path, w.Path)
				}
			}
		}
	}
}

// samePlace says whether two targets share a place, as far as their configurations show it.
func (v *validator) samePlace(a, b Target) bool {
	store, path := a.place()
	other, otherPath := b.place()
	if path == "" || store != other {
		return false
	}
	if a.Dir != nil && v.checks.Root == "" {
		path, otherPath = real(path), real(otherPath)
	}
	return path == otherPath || strings.HasPrefix(path, strings.TrimSuffix(otherPath, "/")+"/") || strings.HasPrefix(otherPath, strings.TrimSuffix(path, "/")+"/")
}

// real is a path without symbolic links, as far as it is there.
func real(p string) string {
	if r, err := filepath.EvalSymlinks(p); err == nil {
		return r
	}
	return p
}
