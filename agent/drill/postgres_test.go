package drill_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"offsite/agent/drill"
	"offsite/agent/dump"
	"offsite/test/servers"
)

func TestMain(m *testing.M) {
	if os.Getenv("OFFSITE_DRILL_CHILD") != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

// server is a PostgreSQL with a database to be dumped, and a role for drills that may create databases and nothing else.
type server struct {
	*servers.Postgres
	t testing.TB
}

func newServer(t testing.TB) *server {
	s := &server{servers.StartPostgres(t), t}
	s.sql("postgres", `CREATE ROLE drill LOGIN CREATEDB; CREATE ROLE owner; CREATE DATABASE shop OWNER owner;`)
	s.sql("shop", `CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users SELECT g, E'it''s \\ odd\n\\! touch /tmp/pwned ' || g FROM generate_series(1, 1000) g;
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT '
\connect postgres
DROP DATABASE shop;
'::text $_$;
CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE VIEW v AS SELECT count(*) FROM users; CREATE SEQUENCE s; ALTER TABLE users OWNER TO owner; ALTER FUNCTION f OWNER TO owner; GRANT SELECT ON users TO drill;
CREATE POLICY p ON users TO owner USING (true); ALTER TABLE users ENABLE ROW LEVEL SECURITY; ALTER TABLE users FORCE ROW LEVEL SECURITY;
COMMENT ON POLICY p ON users IS 'it''s; here'; CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION et(); COMMENT ON DATABASE shop IS 'the shop';
CREATE SCHEMA more; CREATE TABLE more.orders (id int, paid numeric); INSERT INTO more.orders SELECT g, g FROM generate_series(1, 50) g; CREATE INDEX ON more.orders (paid);`)
	return s
}

func (s *server) sql(database, text string) string {
	return strings.TrimSpace(s.Run(s.t, []byte(text), "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database))
}

// databases are all of them, which a drill must leave as they were.
func (s *server) databases() string {
	return s.sql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
}

func (s *server) drill(t testing.TB, checks ...drill.Check) *drill.Postgres {
	// The clients that the test found are those on the path of the server, too.
	for _, v := range s.Env() {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			t.Setenv("PATH", path)
		}
	}
	return &drill.Postgres{DSN: "postgres://drill@/postgres?host=" + s.Socket, Checks: checks, Owner: "test", State: t.TempDir(), Now: time.Now}
}

func check(t testing.TB, sql, expect string) drill.Check {
	e, err := drill.ParseExpect(expect)
	if err != nil {
		t.Fatal(err)
	}
	return drill.Check{SQL: sql, Expect: e}
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// directory is what pg_dump -Fd wrote, in a tar file.
func (s *server) directory(database string) []byte {
	dir := filepath.Join(s.t.TempDir(), "dir")
	s.Run(s.t, nil, "pg_dump", "-Fd", "-f", dir, database)
	b, err := exec.Command("tar", "-C", filepath.Dir(dir), "-c", "dir").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func TestGoodDumpsPass(t *testing.T) {
	s := newServer(t)
	before := s.databases()
	pgDump := func(args ...string) []byte { return []byte(s.Run(t, nil, "pg_dump", append(args, "shop")...)) }
	for _, c := range []struct {
		name string
		kind dump.Kind
		b    []byte
	}{
		{"plain", dump.PostgresPlain, pgDump()},
		{"plain, packed", dump.PostgresPlain, packed(pgDump())},
		{"plain with the database's creation", dump.PostgresPlain, pgDump("-C", "-c")},
		{"plain, which cleans first", dump.PostgresPlain, pgDump("-c")},
		{"plain, which cleans what exists", dump.PostgresPlain, pgDump("-c", "--if-exists")},
		{"plain as inserts", dump.PostgresPlain, pgDump("--inserts")},
		{"cluster", dump.PostgresCluster, []byte(s.Run(t, nil, "pg_dumpall"))},
		{"custom", dump.PostgresCustom, pgDump("-Fc")},
		{"custom, packed", dump.PostgresCustom, packed(pgDump("-Fc", "-Z0"))},
		{"tar", dump.PostgresTar, pgDump("-Ft")},
		{"directory in a tar", dump.PostgresTar, s.directory("shop")},
	} {
		t.Run(c.name, func(t *testing.T) {
			users, orders := check(t, "SELECT count(*) FROM users", "= 1000"), check(t, "SELECT sum(paid) FROM more.orders", "> 1000")
			text := check(t, `SELECT name FROM users WHERE id = 7`, "= it's \\ odd\n\\! touch /tmp/pwned 7")
			users.Database, orders.Database, text.Database = "shop", "shop", "shop"
			p := s.drill(t, users, orders, text)
			r := p.Run(t.Context(), drill.Dump{Kind: c.kind}, bytes.NewReader(c.b))
			if !r.Passed() || r.Tables != 2 || r.Rows != 1050 || len(r.Checks) != 3 || r.Bytes == 0 {
				t.Errorf("%+v", r)
			}
			if after := s.databases(); after != before {
				t.Errorf("there are %s, were %s", after, before)
			}
			if left, _ := os.ReadDir(p.State); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestWhatFailsADrill(t *testing.T) {
	s := newServer(t)
	before := s.databases()
	plain := []byte(s.Run(t, nil, "pg_dump", "shop"))
	custom := []byte(s.Run(t, nil, "pg_dump", "-Fc", "shop"))
	hurt := filepath.Join(t.TempDir(), "hurt")
	half := len(plain) / 2
	few := check(t, "SELECT count(*) FROM users", "> 5000")
	less := check(t, "SELECT count(*) FROM users", ">= 90% of last")
	for _, c := range []struct {
		name   string
		change func(p *drill.Postgres)
		kind   dump.Kind
		r      io.Reader
		want   string
	}{
		{"a broken statement in the middle", nil, dump.PostgresPlain, strings.NewReader(strings.Replace(string(plain), "CREATE VIEW", "CREATE VEIW", 1)), `syntax error at or near "VEIW"`},
		{"too few rows", func(p *drill.Postgres) { p.Checks = []drill.Check{few} }, dump.PostgresPlain, bytes.NewReader(plain), `gives "1000", expected is > 5000`},
		{"less than the last time", func(p *drill.Postgres) {
			p.Checks, p.Last = []drill.Check{less}, map[drill.Asked]string{{SQL: less.SQL}: "2000"}
		}, dump.PostgresPlain, bytes.NewReader(plain), "of last, which was 2000"},
		{"a check that is wrong", func(p *drill.Postgres) { p.Checks = []drill.Check{check(t, "SELECT count(*) FROM usres", "> 0")} }, dump.PostgresPlain, bytes.NewReader(plain), `relation "usres" does not exist`},
		{"a server that is down", func(p *drill.Postgres) { p.DSN = "postgres://drill@/postgres?host=/nowhere" }, dump.PostgresPlain, bytes.NewReader(plain), "No such file or directory"},
		{"a dump that is cut off", nil, dump.PostgresPlain, bytes.NewReader(plain[:half]), "in the middle of"},
		{"an archive that is cut off", nil, dump.PostgresCustom, bytes.NewReader(custom[:len(custom)-400]), "pg_restore: "},
		{"a backup that breaks off", nil, dump.PostgresPlain, io.MultiReader(bytes.NewReader(plain[:half]), iotest.ErrReader(errors.New("block 7 is damaged"))), "the backup cannot be read: block 7 is damaged"},
		{"an archive that breaks off", nil, dump.PostgresCustom, io.MultiReader(bytes.NewReader(custom[:200]), iotest.ErrReader(errors.New("block 7 is damaged"))), "the backup cannot be read: block 7 is damaged"},
		{"nothing in it", nil, dump.PostgresPlain, strings.NewReader("--\n-- PostgreSQL database dump\n--\nSELECT 1;\n"), "there is no table"},
		{"another kind", nil, dump.MySQL, strings.NewReader("x"), `of the kind "mysql"`},
		{"an empty dump", nil, dump.PostgresPlain, strings.NewReader(""), "cannot be unpacked"},
		{"a time limit", func(p *drill.Postgres) { p.TimeLimit = 2 * time.Second }, dump.PostgresPlain, strings.NewReader(string(plain) + "SELECT pg_sleep(100);\n"), "took longer than 2s"},
		{"a shell", nil, dump.PostgresPlain, strings.NewReader(string(plain) + "\\! touch " + hurt + "\n"), "a command of psql"},
		{"a shell in the middle of a line", nil, dump.PostgresPlain, strings.NewReader(string(plain) + "SELECT 1 \\! touch " + hurt + "\n"), "a command of psql"},
		{"a program of the server", nil, dump.PostgresPlain, strings.NewReader(string(plain) + "COPY public.users TO PROGRAM 'touch " + hurt + "';\n"), "COPY from or to a file or program"},
		{"a trick with strings", nil, dump.PostgresPlain, strings.NewReader(string(plain) + "SET standard_conforming_strings = off;\nSELECT '\\'\n\\! touch " + hurt + "\n';\n"), ""},
		{"another database", nil, dump.PostgresPlain, strings.NewReader(string(plain) + "DO $$ BEGIN PERFORM 1; END $$; DROP DATABASE shop;\n"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.drill(t)
			if c.change != nil {
				c.change(p)
			}
			r := p.Run(t.Context(), drill.Dump{Kind: c.kind}, c.r)
			if r.Passed() && c.want != "" || !strings.Contains(r.Reason, c.want) {
				t.Errorf("%q, want %q", r.Reason, c.want)
			}
			if after := s.databases(); after != before {
				t.Errorf("there are %s, were %s", after, before)
			}
			if _, err := os.Stat(hurt); err == nil {
				t.Error("the dump ran a program")
			}
		})
	}
	t.Run("a person who ends it", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := s.drill(t).Run(ctx, drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(string(plain)+"SELECT pg_sleep(100);\n"))
		if r.Passed() || s.databases() != before {
			t.Errorf("%+v, %s", r, s.databases())
		}
	})
}

func TestADrillWarnsOfASuperuser(t *testing.T) {
	s := newServer(t)
	p := s.drill(t)
	p.DSN = "postgres://postgres:secret@/postgres?host=" + s.Socket
	r := p.Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(s.Run(t, nil, "pg_dump", "shop")))
	if !r.Passed() || len(r.Warnings) != 2 || !strings.Contains(r.Warnings[0], "superuser") || !strings.Contains(r.Warnings[1], "event triggers (1), policies (1)") {
		t.Errorf("%+v", r)
	}
}

// What a killed drill left is dropped by the next of its owner; what another owner is using, and what has no mark, is not.
func TestAKilledDrill(t *testing.T) {
	s := newServer(t)
	before := s.databases()
	start := func(owner, state string) *exec.Cmd {
		return startChild(t, "postgres://drill@/postgres?host="+s.Socket, owner, state, "")
	}
	waitFor := func(sql, want string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); s.sql("postgres", sql) != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is never %s", sql, want)
			}
		}
	}
	p := s.drill(t)
	sleeping := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND pid <> pg_backend_pid()"
	ours := start("test", p.State)
	waitFor(sleeping, "1")
	theirs := start("somebody-else", t.TempDir())
	waitFor(sleeping, "2")
	s.sql("postgres", "CREATE DATABASE offsite_drill_0123456789abcdef OWNER drill")
	s.sql("postgres", "CREATE DATABASE offsite_drill_fedcba9876543210 OWNER drill; ")
	s.sql("postgres", "COMMENT ON DATABASE offsite_drill_fedcba9876543210 IS 'somebody''s own'")
	syscall.Kill(ours.Process.Pid, syscall.SIGKILL)
	ours.Wait()
	r := p.Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(s.Run(t, nil, "pg_dump", "shop")))
	if !r.Passed() || len(r.Warnings) == 0 {
		t.Errorf("%+v", r)
	}
	if n := s.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'offsite_drill_%'"); n != "3" {
		t.Errorf("%s scratch databases are left, want that of the other owner and the two without a mark: %s", n, s.databases())
	}
	syscall.Kill(theirs.Process.Pid, syscall.SIGKILL)
	theirs.Wait()
	later := *p
	later.Now = func() time.Time { return time.Now().Add(7 * time.Hour) }
	later.Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader("SELECT 1;\n"))
	s.sql("postgres", "DROP DATABASE offsite_drill_0123456789abcdef")
	s.sql("postgres", "DROP DATABASE offsite_drill_fedcba9876543210")
	if after := s.databases(); after != before {
		t.Errorf("there are %s, were %s", after, before)
	}
}

// In a container the programs run there; the password is not among the arguments.
func TestADrillInAContainer(t *testing.T) {
	s := newServer(t)
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	script := "#!/bin/sh\necho \"$@\" >> " + log + "\n[ \"$1 $2\" = 'exec -i' ] || exit 9\nshift 2\nwhile [ \"$1\" = -e ]; do shift 2; done\n[ \"$1\" = database-server ] || exit 8\nshift\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p := s.drill(t, check(t, "SELECT count(*) FROM users", "> 100"))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	p.Container, p.DSN = "database-server", strings.Replace(p.DSN, "drill@", "drill:hunter2@", 1)
	for kind, args := range map[dump.Kind][]string{dump.PostgresPlain: {"shop"}, dump.PostgresCustom: {"-Fc", "shop"}} {
		r := p.Run(t.Context(), drill.Dump{Kind: kind}, strings.NewReader(s.Run(t, nil, "pg_dump", args...)))
		if !r.Passed() {
			t.Errorf("%s: %+v", kind, r)
		}
	}
	said, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(said), "psql") || !strings.Contains(string(said), "pg_restore") || strings.Contains(string(said), "hunter2") {
		t.Errorf("%s %v", said, err)
	}
}

func TestACommand(t *testing.T) {
	d := drill.Dump{Series: "shop", Name: "shop.sql", Kind: dump.PostgresPlain, Size: 5, Taken: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)}
	for _, c := range []struct {
		name, script, want, output string
		limit                      time.Duration
	}{
		{"facts and dump", `[ "$OFFSITE_SERIES $OFFSITE_NAME $OFFSITE_SIZE $OFFSITE_TAKEN" = "shop shop.sql 5 2026-11-22T03:00:00Z" ] && [ "$(cat)" = hello ] && echo fine`, "", "fine\n", 0},
		{"what fails", "cat >/dev/null; echo it is broken >&2; exit 3", "it is broken", "it is broken\n", 0},
		{"what does not read", "exit 0", "", "", 0},
		{"what takes too long", "sleep 100 & sleep 100", "took longer than 1s", "", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := &drill.Command{Argv: []string{"sh", "-c", c.script}, TimeLimit: c.limit, Now: time.Now}
			r := cmd.Run(t.Context(), d, strings.NewReader("hello"))
			if r.Passed() != (c.want == "") || !strings.Contains(r.Reason, c.want) || r.Output != c.output {
				t.Errorf("%+v", r)
			}
		})
	}
	cmd := &drill.Command{Argv: []string{"sh", "-c", "exit 0"}, Now: time.Now}
	if r := cmd.Run(t.Context(), d, iotest.ErrReader(errors.New("block 7 is damaged"))); !strings.Contains(r.Reason, "block 7") {
		t.Errorf("%+v", r)
	}
	if r := (&drill.Command{Argv: []string{"/nowhere/x"}, Now: time.Now}).Run(t.Context(), d, strings.NewReader("x")); r.Passed() {
		t.Errorf("%+v", r)
	}
}
