package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	named   = regexp.MustCompile(`\b(?:docs|configs|test|agent|crypto|providers|cmd)/[A-Za-z0-9_./-]+\.(?:md|sh|py|go|yaml|json|txtar)\b`)
)

// documents are all texts of the repository, by their path below its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := os.DirFS("../..")
	must(t, fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			var text []byte
			text, err = fs.ReadFile(root, path)
			all[path] = string(text)
		}
		return err
	}))
	if len(all) < 15 || all["README.md"] == "" {
		t.Fatalf("only %d documents", len(all))
	}
	return all
}

// Links between the documents lead to a file, and to a heading that it has. So does every file that is named without a link.
func TestLinksResolve(t *testing.T) {
	all := documents(t)
	links := 0
	for path, text := range all {
		text = fence.ReplaceAllString(text, "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %s: %v", path, m[1], err)
				continue
			}
			if u.Scheme != "" {
				if u.Scheme != "https" || u.Host == "" {
					t.Errorf("%s: %s", path, m[1])
				}
				continue
			}
			links++
			to := path
			if u.Path != "" {
				to = filepath.Join(filepath.Dir(path), u.Path)
			}
			if _, err := os.Stat(filepath.Join("../..", to)); err != nil {
				t.Errorf("%s: %s leads nowhere", path, m[1])
			} else if u.Fragment != "" && !slices.Contains(anchors(all[to]), u.Fragment) {
				t.Errorf("%s: %s: there is no such heading; there are %q", path, m[1], anchors(all[to]))
			}
		}
		for _, name := range named.FindAllString(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
				t.Errorf("%s: %s is not there", path, name)
			}
		}
	}
	if links < 40 {
		t.Errorf("only %d links", links)
	}
}

// anchors are the names that GitHub and its like give to headings.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("-_", r) || 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1])))
	}
	return all
}

// Every document can be found: something links to it.
func TestEveryDocumentIsLinkedTo(t *testing.T) {
	all := documents(t)
	found := map[string]bool{"README.md": true, "CHANGELOG.md": true}
	for path, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to, _, _ := strings.Cut(m[1], "#")
			if joined := filepath.Join(filepath.Dir(path), to); joined != path {
				found[joined] = true
			}
		}
	}
	for path := range all {
		if !found[path] && strings.HasPrefix(path, "docs/") {
			t.Errorf("nothing links to %s", path)
		}
	}
}
