package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"offsite/configs"
)

// keyAge is how old keys of a target may be before somebody should think of new ones.
const keyAge = 365 * 24 * time.Hour

func (p *Patient) configuration() Group {
	g := Group{Title: "configuration", About: p.Path}
	for _, m := range p.Mistakes {
		at := m.Key
		if m.Line > 0 {
			at = strings.TrimSpace(at + " (line " + itoa(m.Line) + ")")
		}
		problem, remedy, _ := strings.Cut(m.Problem, "; ")
		if remedy == "" {
			remedy = "mend " + p.Path
		}
		g.problem("config", remedy, "%s: %s", at, problem)
	}
	if len(p.Mistakes) == 0 {
		g.ok("config", "it is well formed: %s, %s", count(len(p.Config.Watch), "watched directory", "watched directories"), count(len(p.Config.Targets), "target", "targets"))
	}
	p.configMode(&g)
	if p.Config != nil {
		p.credentialFiles(&g)
	}
	return g
}

// configMode says who may read and write the configuration, which decides where everything goes.
func (p *Patient) configMode(g *Group) {
	info, err := os.Stat(p.Path)
	if err != nil {
		return // it was read, or that it could not be is said
	}
	mode := info.Mode().Perm()
	secrets := p.Config != nil && p.Config.HoldsSecrets()
	switch {
	case mode&0o022 != 0:
		g.problem("config-mode", "chmod "+octal(mode&^0o022&modeFor(secrets))+" "+p.Path, "others may write it (mode %s): they decide where the dumps go, and who can read them", octal(mode))
	case secrets && mode&0o077 != 0:
		g.problem("config-mode", "chmod 600 "+p.Path+"; better, put the secrets into files of their own (*_file)", "it holds secrets, and others may read it (mode %s)", octal(mode))
	default:
		g.ok("config-mode", "only its owner may write it (mode %s)", octal(mode))
	}
	if dir, err := os.Stat(filepath.Dir(p.Path)); err == nil && dir.Mode().Perm()&0o022 != 0 && dir.Mode()&fs.ModeSticky == 0 {
		g.problem("config-dir-mode", "chmod go-w "+filepath.Dir(p.Path), "others may write to its directory (mode %s), and put another configuration and other keys there", octal(dir.Mode().Perm()))
	}
}

func modeFor(secrets bool) fs.FileMode {
	if secrets {
		return 0o600
	}
	return 0o777
}

// credentialFiles looks at the files with the keys of the targets. One that is missing is told with its target.
func (p *Patient) credentialFiles(g *Group) {
	seen := map[string]bool{}
	for _, t := range p.Config.Targets {
		for _, path := range t.SecretFiles() {
			info, err := os.Stat(path)
			if err != nil || seen[path] {
				continue
			}
			seen[path] = true
			if mode := info.Mode().Perm(); mode&0o077 != 0 && info.Mode().IsRegular() && !isCredential(path) {
				g.problem("secret-mode", "chmod 600 "+path, "others may read %s, a secret of target %s (mode %s)", path, t.Name, octal(mode))
			}
			if age := p.Now().Sub(info.ModTime()); age > keyAge {
				g.warning("secret-age", "make new keys for "+t.Name+", write them to that file, and withdraw the old ones", "%s, a secret of target %s, is %d days old", path, t.Name, int(age.Hours()/24))
			}
		}
	}
	if len(seen) > 0 && Level(g.Checks) == "ok" {
		g.ok("secrets", "the targets' secrets are their owner's alone, and younger than a year (%s)", count(len(seen), "file", "files"))
	}
}

// isCredential says whether systemd keeps the file from others.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(path) == filepath.Clean(dir)
}

// targets are those to look at.
func (p *Patient) targets() (some []configs.Target) {
	for _, t := range p.Config.Targets {
		if p.Target == "" || t.Name == p.Target {
			some = append(some, t)
		}
	}
	return some
}
