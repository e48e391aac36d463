package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offsite/configs"
	"offsite/providers/dir"
)

// What the agent's sandbox shows of a directory is what the host has there, or doctor says so.
func TestView(t *testing.T) {
	host, sandbox := t.TempDir(), t.TempDir()
	dumps, nas := filepath.Join(host, "dumps"), filepath.Join(host, "nas")
	for _, d := range []string{dumps, nas, filepath.Join(sandbox, host)} {
		must(t, os.MkdirAll(d, 0o755))
	}
	p := &Patient{Config: &configs.Config{Watch: []configs.Watch{{Path: dumps}}, Targets: []configs.Target{{Name: "nas", Dir: &dir.Config{Path: nas}}}}}
	told := func() (text string) {
		g := &Group{}
		p.view(g, sandbox)
		for _, c := range g.Checks {
			text += string(c.Level) + " " + c.Text + "\n"
		}
		return text
	}
	for _, d := range []string{dumps, nas} { // bound, as far as a link can say
		must(t, os.Symlink(d, filepath.Join(sandbox, d)))
	}
	if got := told(); got != "ok the running agent sees 2 directories as this host does\n" {
		t.Error(got)
	}
	must(t, os.Remove(filepath.Join(sandbox, nas)))
	if got := told(); !strings.Contains(got, "problem target nas "+nas+" is another one for the running agent, or none") || !strings.Contains(got, "ok the running agent sees 1 directory") {
		t.Error(got)
	}
	must(t, os.Remove(filepath.Join(sandbox, dumps)))
	must(t, os.Mkdir(filepath.Join(sandbox, dumps), 0o755)) // a stand-in
	if got := told(); !strings.Contains(got, "problem the watched directory "+dumps+" is another one") {
		t.Error(got)
	}
	must(t, os.RemoveAll(dumps))
	must(t, os.RemoveAll(nas))
	if got := told(); got != "" {
		t.Error(got)
	}
}
