package docs

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"offsite/test/servers"
)

var update = flag.Bool("update", false, "write what the commands print into the documents, where it has changed")

// program is the offsite that the documents speak of, as make build makes it.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "docs")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the reader of the documents is not root
	}
	program = filepath.Join(dir, "offsite")
	if err == nil {
		build := exec.Command("go", "build", "-o", program, "offsite/cmd/offsite")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// reader is somebody who types what a document tells, at one shell, into which all of its commands go.
type reader struct {
	t     *testing.T
	home  string
	shell int // process, and group of all that it starts
	in    *os.File
	out   *bufio.Reader
	names map[string]string // what is called otherwise in the documents: paths and ports of this test
}

// end is printed after each command, with its status.
const end = "-- end of a command, status "

// sit gives a reader a home that is empty, a shell, and the programs of the documents. Nobody is root: PostgreSQL refuses to be.
// More of the environment can be given as NAME=VALUE.
func sit(t *testing.T, env ...string) *reader {
	t.Helper()
	home, err := os.MkdirTemp("/tmp", "doc") // not t.TempDir: the path of a socket may have 107 bytes only
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	r := &reader{t: t, home: home, names: map[string]string{home: "/home/you"}}
	shell := exec.Command("dash")
	shell.Dir = home
	shell.SysProcAttr = nobodySpecial(t, home)
	paths := []string{filepath.Dir(program), filepath.Dir(servers.Binary(t, "age"))}
	if postgres, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(postgres) > 0 {
		paths = append(paths, postgres[len(postgres)-1])
	}
	shell.Env = append([]string{
		"HOME=" + home, "PATH=" + strings.Join(append(paths, "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ":"),
		"LANG=C.UTF-8", "TZ=UTC", "TERM=dumb", "USER=you",
	}, env...)
	in, input, err := os.Pipe()
	must(t, err)
	output, out, err := os.Pipe()
	must(t, err)
	shell.Stdin, shell.Stdout, shell.Stderr = in, out, out
	must(t, shell.Start())
	in.Close()
	out.Close()
	r.shell, r.in, r.out = shell.Process.Pid, input, bufio.NewReader(output)
	t.Cleanup(func() {
		input.Close()
		syscall.Kill(-r.shell, syscall.SIGKILL) // servers that a document started
		output.Close()
		shell.Wait()
	})
	return r
}

// nobodySpecial is the user postgres if the test runs as root, to whom dir is given.
func nobodySpecial(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return attr
	}
	u, err := user.Lookup("postgres")
	must(t, err)
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	must(t, os.Chown(dir, uid, gid))
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr
}

// types runs a command, and gives what it printed, with the names that the documents use. It must succeed.
func (r *reader) types(command string) string {
	r.t.Helper()
	file := filepath.Join(filepath.Dir(program), filepath.Base(r.home)+".sh") // not at home, where `ls` would show it
	must(r.t, os.WriteFile(file, []byte(command+"\n"), 0o644))
	fmt.Fprintf(r.in, ". %s </dev/null\ntyped=$?; echo; echo \"%s$typed\"\n", file, end)
	late := time.AfterFunc(5*time.Minute, func() {
		r.t.Errorf("it takes longer than five minutes: %s", command)
		syscall.Kill(-r.shell, syscall.SIGKILL) // which ends what is read below
	})
	defer late.Stop()
	var said strings.Builder
	for {
		line, err := r.out.ReadString('\n')
		if err != nil {
			r.t.Fatalf("$ %s\n%s\nthe shell ended: %v", command, &said, err)
		}
		if status, ok := strings.CutPrefix(line, end); ok {
			text := strings.TrimRight(said.String(), "\n")
			if status != "0\n" {
				r.t.Fatalf("$ %s\n%s\nexit status %s", command, text, status)
			}
			for _, name := range slices.SortedFunc(maps.Keys(r.names), func(a, b string) int { return len(b) - len(a) }) {
				text = strings.ReplaceAll(text, name, r.names[name])
			}
			return text
		}
		said.WriteString(line)
	}
}

// block is a fence of a document: ```console, commands after "$ " (further lines after "> "), and what they print.
var block = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// routine is what howtos leave out of what is printed: the log of what went well.
var routine = regexp.MustCompile(`(?m)^time=\S+ level=INFO .*\n`)

// follows types all commands of a document, whose path is below the root of the repository. What they print must be what the document
// shows, but for what differs each time.
func (r *reader) follows(path string) {
	r.t.Helper()
	path = filepath.Join("../..", path)
	text, err := os.ReadFile(path)
	must(r.t, err)
	commands, differ := 0, 0
	result := block.ReplaceAllStringFunc(string(text), func(fence string) string {
		var b strings.Builder
		b.WriteString("```console\n")
		for _, c := range parse(block.FindStringSubmatch(fence)[1]) {
			commands++
			got := r.types(r.real(c.text))
			if !shows(c.output, got) {
				differ++
				if !*update {
					r.t.Errorf("%s: $ %s\nprints\n%s\nand not\n%s\n(go test ./test/docs -update writes it into the document)", path, c.text, got, c.output)
				}
				c.output = got
				if strings.Contains(path, "howto") {
					c.output = routine.ReplaceAllString(got+"\n", "")
				}
				c.output = strings.TrimRight(c.output, "\n")
			}
			b.WriteString("$ " + strings.ReplaceAll(c.text, "\n", "\n> ") + "\n")
			if c.output != "" {
				b.WriteString(c.output + "\n")
			}
		}
		return b.String() + "```"
	})
	if commands == 0 {
		r.t.Fatalf("%s has no commands", path)
	}
	if *update && differ > 0 {
		must(r.t, os.WriteFile(path, []byte(result), 0o644))
	}
}

// real is a command with the paths and ports of this test in the place of those of the document.
func (r *reader) real(command string) string {
	for real, shown := range r.names {
		if real != r.home {
			command = strings.ReplaceAll(command, shown, real)
		}
	}
	return command
}

type command struct{ text, output string }

func parse(fence string) (all []command) {
	for line := range strings.Lines(fence) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, command{text: text})
			continue
		}
		last := &all[len(all)-1]
		if more, ok := strings.CutPrefix(line, ">"); ok && last.output == "" {
			last.text += "\n" + strings.TrimPrefix(more, " ")
			continue
		}
		last.output = strings.TrimPrefix(last.output+"\n"+line, "\n")
	}
	return all
}

// differs each time that a command runs: instants, ids, keys, sizes, durations, and the columns that are as wide as they are.
var differs = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`20\d\d-?\d\d-?\d\d[T_ ]\d\d:?\d\d:?\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?`), "TIME"},
	{regexp.MustCompile(`20\d\d-?\d\d-?\d\d([ ,]+\d\d:\d\d)?`), "DAY"},
	{regexp.MustCompile(`(year|month|week|day|hour)(ly)? 20\d\d(-W?\d\d)?`), "PERIOD"},
	{regexp.MustCompile(`TIME_[0-9a-f]{8}_`), "TIME_ID_"},
	{regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]+`), "SECRET KEY"},
	{regexp.MustCompile(`age1[0-9a-z]{58}`), "PUBLIC KEY"},
	{regexp.MustCompile(`\+[0-9a-f]{8}(\+[A-Za-z0-9+/=]{40,})?`), "+KEY"},
	{regexp.MustCompile(`drill_?[0-9a-z_]{8,}`), "DRILL"},
	{regexp.MustCompile(`SHA256:[A-Za-z0-9+/]{43}`), "FINGERPRINT"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SUM"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?([kKMG]i?B|B|bytes)\b(/s)?|\b(bytes|sent)=\d+`), "SIZE"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?(µs|ms|seconds?|s)\b|\b(\d+[hms])+\b`), "SOON"},
	{regexp.MustCompile(`now|just now|SOON ago`), "NOW"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// shows says whether a document shows what was printed. Lines of a log come in any order, and those that it leaves out are left out.
func shows(shown, printed string) bool {
	shownLog, shown := split(settled(shown))
	printedLog, printed := split(settled(printed))
	for _, line := range shownLog {
		if !slices.Contains(printedLog, line) {
			return false
		}
	}
	return shown == printed
}

func split(text string) (log []string, rest string) {
	for line := range strings.Lines(text + "\n") {
		if strings.HasPrefix(line, "time=") {
			log = append(log, line)
		} else {
			rest += line
		}
	}
	return log, rest
}

func settled(output string) string {
	for _, d := range differs {
		output = d.pattern.ReplaceAllString(output, d.name)
	}
	return strings.TrimSpace(output)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
