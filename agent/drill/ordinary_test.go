package drill_test

import (
	"bytes"
	"strings"
	"testing"

	"offsite/agent/drill"
	"offsite/agent/dump"
)

// shared is what all databases of a server have in common: a drill must leave every row as it was.
func (s *server) shared() string {
	var sql strings.Builder
	for _, table := range []string{"pg_database", "pg_authid", "pg_roles", "pg_auth_members", "pg_db_role_setting", "pg_shdescription", "pg_tablespace",
		"pg_subscription", "pg_parameter_acl", "pg_shseclabel", "pg_replication_slots", "pg_shdepend", "pg_replication_origin"} {
		sql.WriteString("SELECT '" + table + "', to_jsonb(t) - 'datfrozenxid' - 'datminmxid' FROM " + table + " t ORDER BY 2;\n")
	}
	return s.sql("postgres", sql.String()+"SELECT pg_read_file('postgresql.auto.conf')")
}

// unchanged runs something, and says what it has changed in the server.
func (s *server) unchanged(t *testing.T, run func()) {
	t.Helper()
	before := s.shared()
	run()
	if after := s.shared(); after != before {
		was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
		for i := range min(len(was), len(is)) {
			if was[i] != is[i] {
				t.Fatalf("the server is changed:\n%s\nwas\n%s", is[i], was[i])
			}
		}
		t.Fatal("the server is changed")
	}
}

// as is a drill by a role.
func (s *server) as(t *testing.T, role string, checks ...drill.Check) *drill.Postgres {
	p := s.drill(t, checks...)
	p.DSN = "postgres://" + role + "@/postgres?host=" + s.Socket
	return p
}

// application is a database with what applications have and a role without rights has trouble with.
const application = `CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgcrypto; CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere'); CREATE USER MAPPING FOR postgres SERVER elsewhere;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere; COMMENT ON FOREIGN TABLE far IS 'far';
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), name text CHECK (name ~ '^\w+$'), digest bytea DEFAULT digest('x', 'sha256'));
INSERT INTO users (name) VALUES ('Zoë'), ('Jürgen'), ('Ævar');
CREATE TABLE by_name (name text) PARTITION BY RANGE (name);
CREATE TABLE by_name_1 PARTITION OF by_name FOR VALUES FROM (MINVALUE) TO ('n'); CREATE TABLE by_name_2 PARTITION OF by_name FOR VALUES FROM ('n') TO (MAXVALUE);
INSERT INTO by_name SELECT chr(g) FROM generate_series(65, 122) g WHERE g NOT BETWEEN 91 AND 96;
CREATE TABLE log (what text); CREATE VIEW names AS SELECT name FROM users;
CREATE RULE r AS ON INSERT TO names DO INSTEAD (INSERT INTO log VALUES (NEW.name); DELETE FROM log WHERE what IS NULL; UPDATE log SET what = NEW.name WHERE what = ';'; );
CREATE FUNCTION two(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN n > 0 THEN 2 ELSE 3 END; END;
CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$; CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION et(); ALTER EVENT TRIGGER e DISABLE;
CREATE POLICY p ON users TO owner USING (true); ALTER TABLE users ENABLE ROW LEVEL SECURITY; ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE PUBLICATION pub FOR ALL TABLES; ALTER TABLE users OWNER TO owner; GRANT SELECT ON users TO drill; COMMENT ON SCHEMA public IS 'ours'; COMMENT ON EXTENSION pgcrypto IS 'x';
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON TABLES TO drill; CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM users;
SELECT lo_from_bytea(4711, 'a large object'); ALTER LARGE OBJECT 4711 OWNER TO owner; COMMENT ON LARGE OBJECT 4711 IS 'odd';
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN d AS text CHECK (VALUE <> ';'); CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $a$ BEGIN RETURN NEW; END $a$; CREATE TRIGGER t BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION trg();
CREATE STATISTICS st ON id, name FROM users; CREATE COLLATION co (provider = icu, locale = 'de'); CREATE TEXT SEARCH CONFIGURATION ts (COPY = simple);`

// ordinary makes the application in a database of that name.
func (s *server) ordinary(name string) {
	s.sql("postgres", `CREATE DATABASE "`+strings.ReplaceAll(name, `"`, `""`)+`" TEMPLATE template0 LC_CTYPE 'C.UTF-8'`)
	s.sql(name, application)
	s.sql(name, `COMMENT ON DATABASE "`+strings.ReplaceAll(name, `"`, `""`)+`" IS 'it''s ours'; ALTER DATABASE "`+strings.ReplaceAll(name, `"`, `""`)+`" SET search_path = public`)
}

// What an ordinary application has is restored by a role that may create databases alone, and by a superuser; what cannot be is said.
func TestDumpsOfApplicationsPass(t *testing.T) {
	s := newServer(t)
	s.sql("postgres", "DROP DATABASE shop")
	const name = `my-app's "odd" one`
	s.ordinary(name)
	run := func(program string, args ...string) []byte { return []byte(s.Run(t, nil, program, args...)) }
	for _, c := range []struct {
		name string
		kind dump.Kind
		b    []byte
	}{
		{"plain", dump.PostgresPlain, run("pg_dump", name)},
		{"plain, created", dump.PostgresPlain, run("pg_dump", "-C", name)},
		{"plain, cleaned", dump.PostgresPlain, run("pg_dump", "-c", name)},
		{"plain, cleaned if it exists, as inserts", dump.PostgresPlain, run("pg_dump", "-C", "-c", "--if-exists", "--inserts", "--rows-per-insert=2", name)},
		{"cluster", dump.PostgresCluster, run("pg_dumpall")},
		{"cluster, cleaned", dump.PostgresCluster, run("pg_dumpall", "-c", "--if-exists")},
		{"custom", dump.PostgresCustom, run("pg_dump", "-Fc", name)},
		{"tar", dump.PostgresTar, run("pg_dump", "-Ft", name)},
		{"directory", dump.PostgresTar, s.directory(name)},
	} {
		for _, role := range []string{"drill", "postgres"} {
			if role == "postgres" && c.name != "custom" && c.name != "cluster, cleaned" {
				continue // by what is left out, all are the same to it
			}
			t.Run(c.name+" by "+role, func(t *testing.T) {
				users, large := check(t, "SELECT string_agg(name, ' ' ORDER BY name) FROM users", "= Jürgen Zoë Ævar"), check(t, "SELECT convert_from(lo_get(4711), 'UTF8') || two(1)", "= a large object2")
				users.Database = name
				p := s.as(t, role, users, large)
				var r drill.Result
				s.unchanged(t, func() { r = p.Run(t.Context(), drill.Dump{Kind: c.kind}, bytes.NewReader(c.b)) })
				if !r.Passed() || r.Tables != 4 || r.Rows != 55 {
					t.Errorf("%+v", r)
				}
				said := strings.Join(r.Warnings, "\n")
				for _, want := range []string{"extension postgres_fdw", "event triggers (1)", "policies (1)", "foreign tables (1)", "publications (1)"} {
					if !strings.Contains(said, want) {
						t.Errorf("%q has no %q", said, want)
					}
				}
				if leftOut := role == "drill" || c.kind == dump.PostgresCluster; strings.Contains(said, "extension pg_stat_statements") != leftOut {
					t.Error(said)
				}
			})
		}
	}
}

// pg_dumpall -c makes template1 no template for a moment: that is not for the server of a drill.
func TestACleaningClusterDumpChangesNothing(t *testing.T) {
	s := newServer(t)
	text := s.Run(t, nil, "pg_dumpall", "-c", "--if-exists")
	if !strings.Contains(text, "UPDATE pg_catalog.pg_database SET datistemplate = false") {
		t.Fatal("this pg_dumpall is another one")
	}
	for _, role := range []string{"drill", "postgres"} {
		s.unchanged(t, func() {
			if r := s.as(t, role).Run(t.Context(), drill.Dump{Kind: dump.PostgresCluster}, strings.NewReader(text)); !r.Passed() || r.Rows != 1050 {
				t.Errorf("%s: %+v", role, r)
			}
		})
	}
}

// The same question to two databases of a cluster has two answers, each compared with its own; one to none says which there are.
func TestChecksOfSeveralDatabases(t *testing.T) {
	s := newServer(t)
	for name, rows := range map[string]string{"a1": "10", "b-1": "1000"} {
		s.sql("postgres", `CREATE DATABASE "`+name+`"`)
		s.sql(name, "CREATE TABLE users AS SELECT g FROM generate_series(1, "+rows+") g")
	}
	text := s.Run(t, nil, "pg_dumpall")
	of := func(database string) drill.Check {
		c := check(t, "SELECT count(*) FROM users", ">= 90% of last")
		c.Database = database
		return c
	}
	p := s.drill(t, of("a1"), of("b-1"))
	for range 2 {
		r := p.Run(t.Context(), drill.Dump{Kind: dump.PostgresCluster}, strings.NewReader(text))
		if !r.Passed() || r.Checks[0].Got != "10" || r.Checks[1].Got != "1000" {
			t.Errorf("%+v", r)
		}
		p.Last = drill.Values([]drill.Record{{Result: r}})
	}
	p.Checks = []drill.Check{of(""), of("c1")}
	r := p.Run(t.Context(), drill.Dump{Kind: dump.PostgresCluster}, strings.NewReader(text))
	if r.Passed() || !strings.Contains(r.Reason, "several databases (a1, b-1, shop)") || !strings.Contains(r.Reason, "no database c1; those with tables are a1, b-1, shop") {
		t.Errorf("%+v", r)
	}
}

// Texts whose order, or whose letters, the locale of the dump's database decides.
func TestTheLocaleIsThatOfTheDump(t *testing.T) {
	s := newServer(t)
	s.sql("postgres", `CREATE DATABASE german TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C.UTF-8'; CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII';`)
	s.sql("german", `CREATE TABLE a (t text CHECK (t > 'b' AND t ~ '^\w+$')); INSERT INTO a VALUES ('C'), ('Ö');`) // not so in C
	s.sql("bytes", `SET client_encoding = 'SQL_ASCII'; CREATE TABLE a (t text); INSERT INTO a VALUES (E'\377')`)
	for name, c := range map[string]struct {
		kind dump.Kind
		args []string
	}{
		"created": {dump.PostgresPlain, []string{"-C", "german"}}, "custom": {dump.PostgresCustom, []string{"-Fc", "german"}},
		"bytes": {dump.PostgresPlain, []string{"bytes"}}, "bytes, custom": {dump.PostgresCustom, []string{"-Fc", "bytes"}},
	} {
		r := s.drill(t).Run(t.Context(), drill.Dump{Kind: c.kind}, strings.NewReader(s.Run(t, nil, "pg_dump", c.args...)))
		if !r.Passed() || len(r.Warnings) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	nowhere := strings.Replace(s.Run(t, nil, "pg_dump", "-C", "shop"), "LOCALE = 'C'", "LOCALE = 'xx_XX.UTF-8'", 1)
	if r := s.drill(t).Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(nowhere)); !r.Passed() || !strings.Contains(strings.Join(r.Warnings, " "), "does not have the locale of the dump") {
		t.Errorf("%+v", r)
	}
}

// An extension that a superuser alone may make is made by one, if it cannot reach out of its database; a role without rights says which was left out.
func TestExtensionsOfASuperuser(t *testing.T) {
	s := newServer(t)
	s.sql("shop", `CREATE SCHEMA "Ext"; CREATE EXTENSION moddatetime SCHEMA "Ext"; CREATE EXTENSION cube SCHEMA more; CREATE EXTENSION earthdistance SCHEMA more; CREATE EXTENSION bloom;
CREATE TABLE places (at more.cube, changed timestamp); CREATE TRIGGER m BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION "Ext".moddatetime(changed);
CREATE INDEX ON more.orders USING bloom (id); INSERT INTO places (at) VALUES ('(1, 2, 3)');`)
	for kind, args := range map[dump.Kind][]string{dump.PostgresPlain: {"-C", "shop"}, dump.PostgresCustom: {"-Fc", "shop"}} {
		text := s.Run(t, nil, "pg_dump", args...)
		s.unchanged(t, func() {
			if r := s.as(t, "postgres").Run(t.Context(), drill.Dump{Kind: kind}, strings.NewReader(text)); !r.Passed() || r.Rows != 1051 {
				t.Errorf("%+v", r)
			}
			if r := s.as(t, "drill").Run(t.Context(), drill.Dump{Kind: kind}, strings.NewReader(text)); r.Passed() || !strings.Contains(r.Reason, "left out was: ") || !strings.Contains(r.Reason, "extension moddatetime") {
				t.Errorf("%+v", r)
			}
		})
	}
}
