package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// module is one that the program contains code of.
type module struct {
	Path, Version string // of the standard library: std, and Go's version; the program itself has none
	Main          bool
	Licences      []licence
}

// ids are the SPDX names of its licences.
func (m module) ids() (ids []string) {
	for _, l := range m.Licences {
		if l.ID != "" {
			ids = append(ids, l.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// listedPackage is what go list says of a package.
type listedPackage struct {
	ImportPath, Dir string
	Standard        bool
	Module          *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// linked are the modules of ./cmd/offsite, on whatever of the architectures, by their paths. The program itself comes first, and the standard
// library second.
func linked(architectures []string) ([]module, error) {
	const program, std = "", " "
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return nil, err
	}
	found := map[string]*module{}
	for _, arch := range architectures {
		packages, err := list(arch)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			key, m, top := std, module{Path: "std", Version: strings.TrimPrefix(runtime.Version(), "go")}, goroot
			if !p.Standard {
				key, m, top = p.Module.Path, module{Path: p.Module.Path, Version: p.Module.Version, Main: p.Module.Main}, p.Module.Dir
			}
			if m.Main {
				key = program
			}
			if found[key] == nil {
				found[key] = &m
			}
			licences, err := licencesAbove(p.Dir, top)
			if err != nil {
				return nil, err
			}
			found[key].add(licences)
		}
	}
	var all []module
	for _, m := range found {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b module) int {
		return strings.Compare(order(a)+a.Path, order(b)+b.Path)
	})
	return all, unlicensed(all)
}

// unlicensed names the modules of which nothing says what others may do with them, or nothing that is known here.
func unlicensed(modules []module) error {
	var unknown []error
	for _, m := range modules {
		if len(m.ids()) == 0 && !m.Main {
			unknown = append(unknown, fmt.Errorf("%s %s: no file says which licence it has, or none that is known: read it, and add it to licence.go", m.Path, m.Version))
		}
	}
	return errors.Join(unknown...)
}

func order(m module) string {
	switch {
	case m.Main:
		return "0"
	case m.Path == "std":
		return "1"
	}
	return "2"
}

func (m *module) add(more []licence) {
	for _, l := range more {
		if !slices.ContainsFunc(m.Licences, func(had licence) bool { return had.Name == l.Name }) {
			m.Licences = append(m.Licences, l)
		}
	}
	slices.SortFunc(m.Licences, func(a, b licence) int { return strings.Compare(a.Name, b.Name) })
}

func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func list(arch string) (all []listedPackage, err error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Standard,Module", "offsite/cmd/offsite")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if p.Dir != "" { // unsafe has none
			all = append(all, p)
		}
	}
}

// licenceFile is how files are called that say what others may do.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|unlicense)([-._].*)?$`)

// licencesAbove reads those in dir and above it, up to top. Code that a module has from elsewhere has its own beside it.
func licencesAbove(dir, top string) (all []licence, err error) {
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(top, filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			all = append(all, licence{Name: filepath.ToSlash(name), Text: string(text), ID: identify(string(text))})
		}
		if dir == top || len(dir) <= len(top) {
			return all, nil
		}
		dir = filepath.Dir(dir)
	}
}
