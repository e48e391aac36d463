package drill_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offsite/agent/drill"
	"offsite/agent/dump"
)

// placeholder is in the definition of a table: archives have those as text that can be changed, if its length stays.
var placeholder = strings.Repeat("p", 200)

// hostile is a database whose restore runs a function that tries what a superuser could do. It does so in scratch databases alone.
func (s *server) hostile(hurt string) {
	s.sql("postgres", "CREATE DATABASE hostile")
	var tries strings.Builder
	for _, sql := range []string{
		"RESET ROLE", "SET ROLE NONE", "SET ROLE postgres", "SET SESSION AUTHORIZATION DEFAULT", "SET SESSION AUTHORIZATION postgres", "RESET SESSION AUTHORIZATION",
		"COPY (SELECT 1) TO PROGRAM 'touch " + hurt + "'", "COPY (SELECT 1) TO '" + hurt + "'", "CREATE ROLE hacker SUPERUSER", "ALTER ROLE postgres PASSWORD 'x'", "ALTER ROLE owner CREATEDB",
		"UPDATE pg_database SET datistemplate = true WHERE datname = 'shop'", "ALTER DATABASE shop RENAME TO gone", "ALTER DATABASE shop SET work_mem = '64kB'", "COMMENT ON DATABASE shop IS 'x'",
		"CREATE EXTENSION dblink", "CREATE EXTENSION file_fdw", "CREATE EXTENSION adminpack", "SELECT pg_file_write('" + hurt + "', 'x', false)", "SELECT lo_export(lo_from_bytea(0, 'x'), '" + hurt + "')",
		"SELECT pg_create_physical_replication_slot('slot')", "SELECT pg_reload_conf()", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' AND datname = 'postgres'",
		"GRANT postgres TO PUBLIC", "CREATE TABLESPACE t LOCATION '/tmp'", "CREATE SUBSCRIPTION s CONNECTION 'dbname=shop' PUBLICATION p", "CREATE FUNCTION c() RETURNS int LANGUAGE c AS '/tmp/x.so'",
		"ALTER SYSTEM SET work_mem = '64kB'", "DROP ROLE owner", "DROP OWNED BY owner", "SECURITY LABEL ON ROLE owner IS 'x'", "GRANT SET ON PARAMETER log_statement TO owner",
		"SELECT set_config('role', 'postgres', false)", "SELECT set_config('session_authorization', 'postgres', false)", "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION et()",
	} {
		tries.WriteString("BEGIN EXECUTE '" + strings.ReplaceAll(sql, "'", "''") + "'; EXCEPTION WHEN OTHERS THEN END;\n")
	}
	s.sql("hostile", `CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION evil(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $evil$ BEGIN IF current_database() LIKE 'offsite_drill%' THEN
`+tries.String()+`END IF; RETURN 1; END $evil$;
CREATE TABLE victim (id int CHECK (public.evil(id) = 1)); INSERT INTO victim VALUES (1); CREATE INDEX ON victim (public.evil(id)); CREATE MATERIALIZED VIEW m AS SELECT public.evil(1);
CREATE TABLE placeholder (t text DEFAULT '`+placeholder+`');`)
}

// Whatever a dump does, in text or as an archive, and whatever rights the role of the drill has: the server is as it was.
func TestHostileDumpsChangeNothing(t *testing.T) {
	s := newServer(t)
	hurt := filepath.Join(t.TempDir(), "hurt")
	os.Chmod(filepath.Dir(hurt), 0o777)
	for dir := filepath.Dir(hurt); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o777)
	}
	s.hostile(hurt)
	s.sql("postgres", "CREATE ROLE maker LOGIN CREATEDB CREATEROLE")
	plain, custom := s.Run(t, nil, "pg_dump", "hostile"), s.Run(t, nil, "pg_dump", "-Fc", "hostile")
	type attack struct {
		kind dump.Kind
		text string
	}
	attacks := map[string]attack{"functions": {dump.PostgresPlain, plain}, "functions in an archive": {dump.PostgresCustom, custom}}
	for name, sql := range map[string]string{
		"a shell": "\n\\! touch " + hurt + "\n", "COPY": "/**/COPY victim TO PROGRAM 'touch " + hurt + "';",
		"a database": "/**/DROP DATABASE shop;", "the server": "/**/ALTER SYSTEM SET work_mem='64kB';",
		"a role": "RESET ROLE;SET SESSION AUTHORIZATION DEFAULT;CREATE ROLE hacker SUPERUSER;", "a catalog": "/**/UPDATE pg_database SET datistemplate=true;",
		"another database": "\\connect shop\nDROP TABLE users;", "a way out of a string": "SELECT E'a'\n'\\'\n\\! touch " + hurt + "\n';",
	} {
		sql = "');" + sql + "SELECT ('"
		attacks[name+" in a definition"] = attack{dump.PostgresCustom, strings.Replace(custom, placeholder, sql+strings.Repeat(" ", len(placeholder)-len(sql)), 1)}
		attacks[name] = attack{dump.PostgresPlain, strings.Replace(plain, placeholder, sql, 1)}
	}
	for name, a := range attacks {
		for _, role := range []string{"postgres", "maker", "drill"} {
			isText := a.kind == dump.PostgresPlain
			if !strings.HasPrefix(name, "functions") && (isText && role != "postgres" || !isText && role != "drill") {
				continue // to keep it short
			}
			t.Run(name+" by "+role, func(t *testing.T) {
				var r drill.Result
				s.unchanged(t, func() { r = s.as(t, role).Run(t.Context(), drill.Dump{Kind: a.kind}, bytes.NewReader([]byte(a.text))) })
				if strings.HasPrefix(name, "functions") && (!r.Passed() || r.Rows != 1) {
					t.Errorf("%+v", r)
				}
				if _, err := os.Stat(hurt); err == nil {
					t.Error("the dump ran a program")
					os.Remove(hurt)
				}
			})
		}
	}
}

// A role that could do harm, and for which none without rights can be made, is refused: nothing of the dump is run.
func TestRolesWithRightsAreRefused(t *testing.T) {
	s := newServer(t)
	s.sql("postgres", `CREATE ROLE files LOGIN CREATEDB; GRANT pg_write_server_files TO files; CREATE ROLE keeper LOGIN CREATEDB; CREATE DATABASE kept OWNER keeper;
CREATE ROLE copier LOGIN CREATEDB REPLICATION; CREATE ROLE tuner LOGIN CREATEDB; GRANT ALTER SYSTEM ON PARAMETER work_mem TO tuner`)
	text := s.Run(t, nil, "pg_dump", "shop")
	for role, want := range map[string]string{"files": "is a member of pg_write_server_files", "keeper": "owns database kept", "copier": "has REPLICATION", "tuner": "may set parameters of the server"} {
		s.unchanged(t, func() {
			r := s.as(t, role).Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(text))
			if r.Passed() || !r.Setup || !strings.Contains(r.Reason, want) || !strings.Contains(r.Reason, "CREATE ROLE drill LOGIN CREATEDB") || r.Bytes > 0 {
				t.Errorf("%s: %+v", role, r)
			}
		})
	}
}

// A role may change its own settings: a dump that does is found out, and they are set back.
func TestADumpThatSetsItsRole(t *testing.T) {
	s := newServer(t)
	s.sql("postgres", `ALTER ROLE drill SET search_path = "$user", public, "odd, one"; ALTER ROLE drill SET work_mem = '5MB'; ALTER ROLE drill IN DATABASE shop SET application_name = 'it''s'`)
	text := `CREATE TABLE a (b int); DO $$ BEGIN ALTER ROLE CURRENT_USER RESET ALL; ALTER ROLE CURRENT_USER SET work_mem = '64kB'; ALTER ROLE CURRENT_USER SET default_transaction_read_only = on;
ALTER ROLE CURRENT_USER IN DATABASE shop RESET ALL; ALTER ROLE CURRENT_USER IN DATABASE postgres SET search_path = nowhere; END $$;
`
	s.unchanged(t, func() {
		r := s.as(t, "drill").Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(text))
		if r.Passed() || !strings.Contains(r.Reason, "changed the settings of the role") {
			t.Errorf("%+v", r)
		}
	})
}

// The scratch role of a superuser's drill logs in by its password; where it is not let in, nothing of the dump is run.
func TestTheScratchRoleLogsIn(t *testing.T) {
	s := newServer(t)
	text := s.Run(t, nil, "pg_dump", "shop")
	hba := s.sql("postgres", "SHOW hba_file")
	for method, want := range map[string]string{"scram-sha-256": "", "md5": "", "password": "", "reject": "a scratch role without rights is not let in"} {
		if err := os.WriteFile(hba, []byte("local all postgres trust\nlocal all all "+method+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded := "SELECT pg_conf_load_time()" // as the server has it that made the session
		before := s.sql("postgres", loaded)
		s.sql("postgres", "SELECT pg_reload_conf()")
		eventually(t, "a server with the new rules", func() bool { return s.sql("postgres", loaded) != before })
		s.unchanged(t, func() {
			r := s.as(t, "postgres").Run(t.Context(), drill.Dump{Kind: dump.PostgresPlain}, strings.NewReader(text))
			if r.Passed() != (want == "") || r.Setup != (want != "") || !strings.Contains(r.Reason, want) {
				t.Errorf("%s: %+v", method, r)
			}
		})
	}
}
