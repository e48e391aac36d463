package drill_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"offsite/agent/drill"
	"offsite/agent/dump"
)

// never is a reader that gives nothing, for ever.
type never struct{}

func (never) Read([]byte) (int, error) { select {} }

// child is a drill in a process of its own, which waits in the middle until it is killed.
func child() {
	state := os.Getenv("OFFSITE_DRILL_STATE")
	go func() {
		for { // or else Go would say that all goroutines are asleep
			time.Sleep(time.Hour)
		}
	}()
	var r drill.Result
	switch mode := os.Getenv("OFFSITE_DRILL_MODE"); {
	case mode == "command":
		cmd := &drill.Command{Argv: []string{"sh", "-c", os.Getenv("OFFSITE_DRILL_CHILD")}, State: state, Now: time.Now}
		r = cmd.Run(context.Background(), drill.Dump{}, never{})
	default:
		d, in := drill.Dump{Kind: dump.PostgresPlain}, io.Reader(strings.NewReader("CREATE TABLE a (b int);\nSELECT pg_sleep(1000);\n"))
		if mode != "" { // a file with a directory of pg_dump in a tar file
			f, err := os.Open(mode)
			if err != nil {
				panic(err)
			}
			info, _ := f.Stat()
			d.Kind, in = dump.PostgresTar, io.MultiReader(io.LimitReader(f, info.Size()-2048), never{})
		}
		p := &drill.Postgres{DSN: os.Getenv("OFFSITE_DRILL_CHILD"), Owner: os.Getenv("OFFSITE_DRILL_OWNER"), State: state, Now: time.Now}
		r = p.Run(context.Background(), d, in)
	}
	fmt.Println(r.Reason)
}

// startChild starts a child, which the test has to kill.
func startChild(t *testing.T, what, owner, state, mode string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "OFFSITE_DRILL_CHILD="+what, "OFFSITE_DRILL_OWNER="+owner, "OFFSITE_DRILL_STATE="+state, "OFFSITE_DRILL_MODE="+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill() // itself alone, as the kernel does when memory is short
	cmd.Wait()
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never comes: " + what)
		}
	}
}

// running says whether a program with that among its arguments is there.
func running(argument string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if b, err := os.ReadFile(path); err == nil && bytes.HasPrefix(b, []byte("sleep\x00"+argument+"\x00")) {
			return true
		}
	}
	return false
}

// A drill that is killed while it restores a directory has its plaintext, its database, its role and its programs removed by the next.
func TestWhatAKilledDrillUnpackedIsRemoved(t *testing.T) {
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "dir.tar")
	if err := os.WriteFile(file, s.directory("shop"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"drill", "postgres"} {
		p := s.as(t, role)
		s.unchanged(t, func() {
			killed := startChild(t, p.DSN, p.Owner, p.State, file)
			unpacked := func() bool {
				left, _ := filepath.Glob(filepath.Join(p.State, "drill-*", "toc.dat"))
				return len(left) > 0
			}
			eventually(t, "a directory", unpacked)
			kill(killed)
			book, err := drill.OpenBook(p.State)
			if err != nil {
				t.Fatal(err)
			}
			defer book.Close()
			if said := strings.Join(book.Swept, " "); !strings.Contains(said, filepath.Join(p.State, "drill-")) || unpacked() {
				t.Errorf("%q", said)
			}
			if r := p.Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(s.Run(t, nil, "pg_dump", "shop"))); !r.Passed() {
				t.Errorf("%+v", r)
			}
		})
		if left, _ := filepath.Glob(filepath.Join(p.State, "[^d]*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		keep := filepath.Join(p.State, "drill-identity")
		os.WriteFile(keep, nil, 0o600)
		os.Mkdir(filepath.Join(p.State, "drill-notes"), 0o700)
		if b, err := drill.OpenBook(p.State); err != nil || len(b.Swept) > 0 {
			t.Errorf("%v %v", b.Swept, err)
		} else {
			b.Close()
		}
		if _, err := os.Stat(keep); err != nil {
			t.Error("what is no drill's is gone")
		}
	}
}

// A program that has ended leaves nothing running, in its group or out of it, and does not hold the drill up; one whose drill is killed neither.
func TestACommandLeavesNothingRunning(t *testing.T) {
	state := t.TempDir()
	began := time.Now()
	cmd := &drill.Command{Argv: []string{"sh", "-c", "head -c 100; sleep 98.171 & setsid sleep 98.172 & sleep 0.3; exit 0"}, TimeLimit: 80 * time.Second, State: state, Now: time.Now}
	r := cmd.Run(t.Context(), drill.Dump{}, strings.NewReader(strings.Repeat("x", 1<<20)))
	if !r.Passed() || len(r.Output) != 100 || r.Bytes != 1<<20 || time.Since(began) > time.Minute {
		t.Errorf("%+v", r)
	}
	gone := func() bool { return !running("98.171") && !running("98.172") && !running("98.173") }
	eventually(t, "the end of what it started", gone)
	killed := startChild(t, "setsid sleep 98.172 & sleep 98.171 & sleep 98.173", "", state, "command")
	eventually(t, "a program", func() bool { return running("98.171") && running("98.172") && running("98.173") })
	kill(killed)
	book, err := drill.OpenBook(state)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	eventually(t, "the end of what the killed drill had started", gone)
	if said := strings.Join(book.Swept, " "); !strings.Contains(said, "processes (") {
		t.Errorf("%q", said)
	}
}

// What a drill needs is told from what is wrong with the backup.
func TestSetupIsToldFromTheBackup(t *testing.T) {
	s := newServer(t)
	plain := s.Run(t, nil, "pg_dump", "shop")
	s.sql("postgres", "CREATE ROLE nothing LOGIN")
	for name, c := range map[string]struct {
		change func(p *drill.Postgres)
		text   string
		want   string
		setup  bool
	}{
		"a server that is down":          {func(p *drill.Postgres) { p.DSN = "postgres://drill@/postgres?host=/nowhere" }, plain, "No such file or directory", true},
		"a DSN that is none":             {func(p *drill.Postgres) { p.DSN = "mysql://x" }, plain, "the DSN should be an address", true},
		"a role that is not there":       {func(p *drill.Postgres) { p.DSN = strings.Replace(p.DSN, "drill@", "nobody@", 1) }, plain, `role "nobody" does not exist`, true},
		"a role without rights":          {func(p *drill.Postgres) { p.DSN = strings.Replace(p.DSN, "drill@", "nothing@", 1) }, plain, "permission denied to create database", true},
		"no psql":                        {func(*drill.Postgres) { t.Setenv("PATH", t.TempDir()) }, plain, "psql is not installed here", true},
		"an extension that is not there": {nil, "CREATE EXTENSION postgis;\n" + plain, "needs the extension postgis, which is not installed on the server", true},
		"a broken dump":                  {nil, strings.Replace(plain, "CREATE VIEW", "CREATE VEIW", 1), "syntax error", false},
		"what needs an extension":        {nil, "CREATE EXTENSION pg_stat_statements;\nCREATE VIEW w AS SELECT * FROM pg_stat_statements;\n", "left out was: extension pg_stat_statements", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.drill(t)
			if path := os.Getenv("PATH"); c.change != nil {
				defer os.Setenv("PATH", path)
				c.change(p)
			}
			r := p.Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(c.text))
			if r.Passed() || r.Setup != c.setup || !strings.Contains(r.Reason, c.want) {
				t.Errorf("%+v", r)
			}
		})
	}
	if r := (&drill.Command{Argv: []string{"no-such-program"}, Now: time.Now}).Run(t.Context(), drill.Dump{}, strings.NewReader("")); !r.Setup {
		t.Errorf("%+v", r)
	}
	if r := (&drill.Command{Argv: []string{"false"}, Now: time.Now}).Run(t.Context(), drill.Dump{}, strings.NewReader("")); r.Setup || r.Passed() {
		t.Errorf("%+v", r)
	}
}
