package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath, Doc, Name string
	Imports, Deps         []string
}

func list(t *testing.T, args ...string) (all []pkg) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Doc,Name,Imports,Deps"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// arrows says what each package may import of this repository, longest prefix first. Whatever else is imported points
// up or sideways.
var arrows = []struct {
	from string
	to   []string
}{
	{"offsite/agent/drill", []string{"offsite/agent/dump", "offsite/agent/statefile"}},
	{"offsite/agent/journal", []string{"offsite/agent/statefile"}},
	{"offsite/agent/fleet", []string{"offsite/agent/status", "offsite/agent/vault", "offsite/crypto", "offsite/providers"}},
	{"offsite/agent/alarm", []string{"offsite/agent/statefile", "offsite/agent/status"}},
	{"offsite/agent/", []string{"offsite/crypto", "offsite/providers"}},
	{"offsite/agent", []string{
		"offsite/agent/alarm", "offsite/agent/rhythm", "offsite/agent/statefile", "offsite/agent/status", "offsite/agent/watch", "offsite/agent/drill",
		"offsite/agent/dump", "offsite/agent/journal", "offsite/agent/limit", "offsite/agent/vault", "offsite/agent/retention",
		"offsite/crypto", "offsite/providers",
	}},
	{"offsite/providers/s3", []string{"offsite/providers", "offsite/providers/multipart"}},
	{"offsite/providers/minio", []string{"offsite/providers", "offsite/providers/multipart"}},
	{"offsite/providers/dir", []string{"offsite/providers", "offsite/providers/files"}},
	{"offsite/providers/sftp", []string{"offsite/providers", "offsite/providers/files"}},
	{"offsite/providers/targettest", []string{"offsite/providers", "offsite/test/servers"}},
	{"offsite/providers/", []string{"offsite/providers"}},
	{"offsite/configs", []string{
		"offsite/providers", "offsite/providers/dir", "offsite/providers/s3", "offsite/providers/minio", "offsite/providers/sftp",
	}},
	{"offsite/cmd/offsite/doctor", []string{
		"offsite/agent", "offsite/agent/drill", "offsite/agent/status", "offsite/agent/vault", "offsite/agent/watch",
		"offsite/configs", "offsite/crypto", "offsite/providers",
	}},
	{"offsite/cmd/offsite/manual", nil},
	{"offsite/cmd/offsite/metrics", []string{"offsite/agent/status"}},
	{"offsite/cmd/offsite/notify", []string{"offsite/agent/alarm", "offsite/agent/status"}},
	{"offsite/cmd/offsite/page", []string{"offsite/agent/status"}},
	{"offsite/cmd/offsite", []string{
		"offsite/cmd/offsite/doctor", "offsite/cmd/offsite/manual", "offsite/cmd/offsite/metrics", "offsite/cmd/offsite/notify",
		"offsite/cmd/offsite/page", "offsite/agent", "offsite/agent/alarm", "offsite/agent/fleet", "offsite/agent/status",
		"offsite/agent/watch", "offsite/agent/drill", "offsite/agent/dump", "offsite/agent/journal", "offsite/agent/limit",
		"offsite/agent/vault", "offsite/agent/retention", "offsite/configs", "offsite/crypto", "offsite/systemd",
		"offsite/providers", "offsite/providers/dir", "offsite/providers/s3", "offsite/providers/minio", "offsite/providers/sftp",
	}},
	{"offsite/", nil},
}

func TestArrowsPointDown(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, a := range arrows {
			if p.ImportPath != a.from && !(strings.HasSuffix(a.from, "/") && strings.HasPrefix(p.ImportPath, a.from)) {
				continue
			}
			for _, i := range p.Imports {
				if strings.HasPrefix(i, "offsite/") && !slices.Contains(a.to, i) {
					t.Errorf("%s must not import %s", p.ImportPath, i)
				}
			}
			break
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "misc"}, p.Name) {
			t.Errorf("%s: a package is named for what it is about", p.ImportPath)
		}
	}
}

// The contract and the agent know no vendor and no YAML.
func TestTheCoreKnowsNoVendor(t *testing.T) {
	for _, p := range list(t, "./providers", "./crypto", "./agent/...") {
		for _, d := range p.Deps {
			for _, vendor := range []string{"aws-sdk", "minio", "pkg/sftp", "yaml", "shoutrrr", "go-mail"} {
				if strings.Contains(d, vendor) {
					t.Errorf("%s depends on %s", p.ImportPath, d)
				}
			}
		}
	}
	for _, d := range list(t, "./providers")[0].Deps {
		if strings.Contains(strings.SplitN(d, "/", 2)[0], ".") {
			t.Errorf("the contract depends on %s: it should need the standard library only", d)
		}
	}
}

func TestTestsStayOutOfTheBinary(t *testing.T) {
	for _, d := range list(t, "./cmd/offsite")[0].Deps {
		for _, bad := range []string{
			"testing", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/rogpeppe/go-internal", "github.com/chromedp", "github.com/creack/pty",
			"github.com/emersion", "github.com/standard-webhooks", "github.com/onsi", "offsite/test", "offsite/providers/targettest", "offsite/providers/mem",
		} {
			if d == bad || strings.HasPrefix(d, bad+"/") {
				t.Errorf("the binary contains %s", d)
			}
		}
	}
}
