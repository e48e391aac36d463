package manual_test

import (
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"offsite/cmd/offsite/manual"
	"offsite/configs"
)

// keysOf walks a type of the configuration, and gives the path of each of its keys as the page writes them. What keep may hold is said once.
func keysOf(t reflect.Type, path string) (keys []string) {
	switch t.Kind() {
	case reflect.Pointer:
		return keysOf(t.Elem(), path)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			if f, ok := t.Elem().FieldByName("Name"); ok && f.Tag.Get("yaml") == "-" {
				path += ".NAME"
			}
		}
		return keysOf(t.Elem(), path)
	case reflect.Struct:
		for i := range t.NumField() {
			name := t.Field(i).Tag.Get("yaml")
			if name == "" || name == "-" {
				continue
			}
			key := strings.TrimPrefix(path+"."+name, ".")
			keys = append(keys, key)
			if name != "keep" || path == "" {
				keys = append(keys, keysOf(t.Field(i).Type, key)...)
			}
		}
	}
	return keys
}

// The page cannot drift from the program: it has every key that the configuration has, under its path, and no other.
func TestTheConfigurationsPageHasEveryKeyAndNoOther(t *testing.T) {
	known := keysOf(reflect.TypeFor[configs.Config](), "")
	if len(known) < 100 || !slices.Contains(known, "targets.NAME.minio.endpoint") || !slices.Contains(known, "drills.NAME.postgres.checks.sql") {
		t.Fatalf("the walk found %d keys: %q", len(known), known)
	}
	shown := map[string]string{}
	for _, k := range manual.Keys(configs.Example) {
		shown[k.Path] += k.Value
		if !slices.Contains(known, k.Path) && !strings.HasSuffix(k.Path, ".NAME") {
			t.Errorf("the page has %s, which the configuration does not know", k.Path)
		}
	}
	for _, key := range known {
		above, name := key[:max(0, strings.LastIndex(key, "."))], key[strings.LastIndex(key, ".")+1:]
		if _, ok := shown[key]; !ok && !strings.Contains(shown[above], name+":") {
			t.Errorf("the page lacks %s: give it a line with a comment in configs/example.yaml", key)
		}
	}
}

func TestWhatIsSaidOfKeys(t *testing.T) {
	keys := manual.Keys([]byte(`# of the file

# A list.
things:
  - path: /a
    # Its name.
    #name: x
    #more: {a: 1}
# Those with names.
targets:
  one:
    # A kind.
    dir:
      path: /b
  # Another one.
  #two:
  #  s3:
  #    # Where.
  #    #region: r
#pings:
#  # Of a run.
#  - {run: 1}
#  # That it lives.
#  - {alive: 5m}
`))
	var got []string
	for _, k := range keys {
		got = append(got, fmt.Sprintf("%s=%s|%s", k.Path, k.Value, k.Says))
	}
	want := []string{
		"things=|A list.", "things.path=/a|", "things.name=x|Its name.", "things.more={a: 1}|",
		"targets=|Those with names.", "targets.NAME=|", "targets.NAME.dir=|A kind.", "targets.NAME.dir.path=/b|",
		"targets.NAME.s3=|Another one.", "targets.NAME.s3.region=r|Where.",
		"pings=|", "pings={run: 1}|Of a run.", "pings={alive: 5m}|That it lives.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What people read is what was said, whatever letters roff takes for its own.
func TestPagesSayWhatWasSaid(t *testing.T) {
	said := `Run \fBthis\fP on ~/dumps; it isn't ^ "hard".
.SH is no section
'quoted' at the start, and ` + "`offsite list --json`" + ` typed.`
	root := &cobra.Command{Use: "tool THING", Short: "Do -- it", Long: said, Run: func(*cobra.Command, []string) {}}
	root.Flags().String("out-file", "a-b", "the `FILE` that gets it")
	pages := manual.Commands(root, manual.Source{Version: "1-2", Date: time.Unix(0, 0)}, nil)
	if len(pages) != 1 || pages[0].Name != "tool.1" {
		t.Fatalf("pages: %v", pages)
	}
	cmd := exec.Command("man", "-l", "-")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=200")
	cmd.Stdin = strings.NewReader(string(pages[0].Text))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("man: %v\n%s", err, out)
	}
	shown := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"tool - do -- it", "tool THING [flags]", strings.Join(strings.Fields(strings.ReplaceAll(said, "`", "")), " "),
		"--out-file FILE the FILE that gets it (default: a-b)", "1970-01-01",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page lacks %q:\n%s", want, out)
		}
	}
}
