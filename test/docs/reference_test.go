package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const made = "<!-- made by go test ./test/docs -run Reference -update -->\n"

// The reference is what the program and the example configuration say of themselves.
func TestReferenceIsUpToDate(t *testing.T) {
	example, err := os.ReadFile("../../configs/example.yaml")
	must(t, err)
	for name, want := range map[string]string{"commands": commands(t), "configuration": configuration(string(example))} {
		path := filepath.Join("../../docs/reference", name+".md")
		if *update {
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(want), 0o644))
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is out of date: go test ./test/docs -run Reference -update (%v)", path, err)
		}
	}
}

// machineOwn are defaults that each machine has its own of.
var machineOwn = regexp.MustCompile(`(--(?:host|zone) string .*)\(default ".*"\)`)

var subcommand = regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)

func commands(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Commands\n\n" + made + "\nThis is what `offsite COMMAND --help` prints. [Operations](../operations.md) explains what they are for.\n")
	var help func(args ...string)
	help = func(args ...string) {
		cmd := exec.Command(program, append(args, "--help")...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		out, err := cmd.Output()
		must(t, err)
		text := machineOwn.ReplaceAllString(string(out), "$1(default: as the machine has it)")
		fmt.Fprintf(&b, "\n## %s\n\n```text\n%s```\n", strings.Join(append([]string{"offsite"}, args...), " "), text)
		_, list, _ := strings.Cut(string(out), "Available Commands:\n")
		list, _, _ = strings.Cut(list, "\n\n")
		for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
			if m[1] != "help" && m[1] != "completion" {
				help(append(append([]string{}, args...), m[1])...)
			}
		}
	}
	help()
	return b.String()
}

var (
	// hidden is a line of YAML that is commented out: its text begins right after the sign, or two or more spaces after it.
	hidden = regexp.MustCompile(`^( *)#(\S.*|  +.*)$`)
	prose  = regexp.MustCompile(`^ *# ?(.*)$`)
	key    = regexp.MustCompile(`^( *)((?:- )?)([a-z_0-9]+):(?: +(.*))?$`)
)

// configuration is a table of all keys of the example, in its order, each with the comment that stands before it.
func configuration(example string) string {
	var b strings.Builder
	b.WriteString("# Configuration\n\n" + made + "\nThe keys of [configs/example.yaml](../../configs/example.yaml), where they stand in their places. " +
		"What depends on the names that you give (targets, drills, ways) is shown by an example.\n\n| key | such as | |\n|---|---|---|\n")
	type level struct {
		indent int
		name   string
	}
	var path []level
	var said []string
	for line := range strings.Lines(example) {
		line = strings.TrimRight(line, "\n")
		for m := hidden.FindStringSubmatch(line); m != nil; m = hidden.FindStringSubmatch(line) { // what is hidden may have more of it
			line = m[1] + m[2]
		}
		if m := prose.FindStringSubmatch(line); m != nil {
			said = append(said, m[1])
			continue
		}
		m := key.FindStringSubmatch(line)
		if m == nil {
			said = nil
			continue
		}
		indent := len(m[1]) + len(m[2])
		for len(path) > 0 && path[len(path)-1].indent >= indent {
			path = path[:len(path)-1]
		}
		path = append(path, level{indent, m[3]})
		var names []string
		for _, l := range path {
			names = append(names, l.name)
		}
		such := ""
		if m[4] != "" {
			such = "`" + strings.ReplaceAll(m[4], "|", `\|`) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.Join(names, "."), such, strings.ReplaceAll(strings.Join(said, " "), "|", `\|`))
		said = nil
	}
	return b.String()
}
