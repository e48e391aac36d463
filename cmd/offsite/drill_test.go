package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"offsite/test/servers"
)

// drills writes the drills of the configuration, beside what it has.
func (in *installation) drills(text string) {
	in.t.Helper()
	path := filepath.Join(in.dir, "offsite.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		in.t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(b), "\ndrills:\n")
	if err := os.WriteFile(path, []byte(before+"\ndrills:\n"+text), 0o600); err != nil {
		in.t.Fatal(err)
	}
}

// A database is dumped, shipped to four targets, and restored from each in turn into a scratch database of a real server; what
// is wrong with it, with the key or with the server is told; and whatever comes, the server has no database more than before.
func TestADrill(t *testing.T) {
	pg := servers.StartPostgres(t)
	in := install(t, fourTargets...)
	for _, v := range pg.Env() {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			t.Setenv("PATH", path)
		}
	}
	sql := func(database, text string) string {
		return strings.TrimSpace(pg.Run(t, []byte(text), "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database))
	}
	databases := func() string {
		return sql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
	}
	sql("postgres", "CREATE ROLE drill LOGIN CREATEDB; CREATE DATABASE shop")
	sql("shop", "CREATE TABLE users AS SELECT g AS id, repeat('x', 100) AS name FROM generate_series(1, 2000) g")
	before := databases()
	day := 0
	ship := func(dump string) {
		day++
		name := fmt.Sprintf("shop_202611%02d_030000.sql", day)
		if err := os.WriteFile(filepath.Join(in.dumps, name), []byte(dump), 0o600); err != nil {
			t.Fatal(err)
		}
		in.run(0, "agent", "--once")
	}
	good := pg.Run(t, nil, "pg_dump", "shop")
	ship(good)
	text := `  shop:
    series: shop
    every: 30d
    identity_file: ` + in.identity + `
    postgres:
      dsn: postgres://drill@/postgres?host=` + pg.Socket + `
      checks:
        - {sql: SELECT count(*) FROM users, expect: "> 100"}
        - {sql: SELECT count(*) FROM users, expect: ">= 90% of last"}
`
	in.drills(text)
	last := func(out string) (r drilled) {
		t.Helper()
		var all []drilled
		if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
			t.Fatalf("%v: %s", err, out)
		}
		return all[0]
	}
	for _, target := range append(fourTargets, fourTargets[0]) {
		out, _ := in.run(0, "drill", "--json")
		if r := last(out); !r.Passed() || r.Target != target || r.Rows != 2000 || r.Bytes != int64(len(good)) {
			t.Errorf("%s: %+v", target, r)
		}
	}
	if _, said := in.run(0, "drill", "--due"); !strings.Contains(said, "no drill is due") {
		t.Error(said)
	}
	out, said := in.run(0, "drill", "shop", "--target", fourTargets[1])
	if !strings.Contains(out, "passed") || !strings.Contains(said, "SELECT count(*) FROM users gives 2000") {
		t.Error(out, said)
	}

	fails := func(reason string, args ...string) {
		t.Helper()
		out, _ := in.run(1, append([]string{"drill", "--json"}, args...)...)
		if r := last(out); r.Passed() || !strings.Contains(r.Reason, reason) {
			t.Errorf("%+v, want %q", r, reason)
		}
		if after := databases(); after != before {
			t.Errorf("there are %s, were %s", after, before)
		}
	}
	ship(strings.Replace(good, "1000\t", "a thousand\t", 1)) // whole, and wrong
	fails("invalid input syntax for type integer")
	if _, said := in.run(0, "agent", "--once"); !strings.Contains(said, "drill shop has failed: ") {
		t.Error(said)
	}
	sql("shop", "DELETE FROM users WHERE id > 1500")
	ship(pg.Run(t, nil, "pg_dump", "shop"))
	fails("expected is >= 90% of last, which was 2000")
	other := filepath.Join(in.dir, "other.txt")
	key, _ := in.run(0, "keygen")
	if err := os.WriteFile(other, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("none of the identities opens this file", "--identity", other)
	in.drills(strings.Replace(text, "host="+pg.Socket, "host=/nowhere", 1))
	fails("No such file or directory")
	in.drills(text)

	t.Run("killed in the middle", func(t *testing.T) {
		ship(good + "SELECT pg_sleep(1000);\n--\n-- PostgreSQL database dump complete\n--\n")
		cmd := in.command(t.Context(), "drill")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); databases() == before; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no drill begins")
			}
		}
		syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		ship(good)
		out, said := in.run(0, "drill")
		if !strings.Contains(said, "dropped what an interrupted drill had left") {
			t.Error(out, said)
		}
		if after := databases(); after != before {
			t.Errorf("there are %s, were %s", after, before)
		}
	})

	in.drills("  hand:\n    series: sh*\n    identity_file: " + in.identity + "\n    command: [sh, -c, 'grep -c INSERT || [ $OFFSITE_SERIES = shop ]']\n")
	if out, _ := in.run(0, "drill"); !strings.Contains(out, "passed") {
		t.Error(out)
	}
	in.run(2, "drill", "nobody")
	in.run(4, "drill", "--target", "elsewhere")
}

// What was done before a person ends it is told and remembered; what was under way says nothing. What a drill needs is told from the backup.
func TestADrillThatIsEnded(t *testing.T) {
	in := install(t, "nas")
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261101_030000.sql"), []byte("-- PostgreSQL database dump\nSELECT 1;\n-- PostgreSQL database dump complete\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in.run(0, "agent", "--once")
	series := in.list()[0].Series
	began := filepath.Join(in.dir, "began")
	in.drills("  a:\n    series: " + series + "\n    identity_file: " + in.identity + "\n    command: [sh, -c, 'cat']\n" +
		"  b:\n    series: " + series + "\n    identity_file: " + in.identity + "\n    command: [sh, -c, 'touch " + began + "; sleep 98.2']\n" +
		"  c:\n    series: " + series + "\n    identity_file: " + in.identity + "\n    command: [sh, -c, 'cat']\n")
	for _, args := range [][]string{{"drill"}, {"drill", "--json"}} {
		os.Remove(began)
		cmd := in.command(t.Context(), args...)
		var out, said strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(began); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("no drill begins")
			}
		}
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(out.String(), "passed") && !strings.Contains(out.String(), `"drill": "a"`) || strings.Contains(out.String(), "sleep") {
			t.Errorf("%d: %s%s", code, out.String(), said.String())
		}
	}
	in.drills("  a:\n    series: " + series + "\n    every: 30d\n    identity_file: /nowhere/identity\n    command: [sh, -c, 'cat']\n")
	if out, _ := in.run(1, "drill"); !strings.Contains(out, "NOT RUN: ") || !strings.Contains(out, "/nowhere/identity") {
		t.Error(out)
	}
	if _, said := in.run(0, "agent", "--once"); !strings.Contains(said, "could not be run, which says nothing of the backup") {
		t.Error(said)
	}
}
