package dump_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"offsite/agent/dump"
	"offsite/test/servers"
)

// A program that is killed stops anywhere, in the middle of lines too, and a loop over databases goes on with the next one: whatever
// was cut off, what follows makes it no whole dump. The file may be one stream, or a gzip member for each dump.
func TestACutDumpBeforeAnother(t *testing.T) {
	pg, db := nastyPostgres(t), nastyMaria(t)
	pgDump := func(args ...string) []byte { return []byte(pg.Run(t, nil, "pg_dump", args...)) }
	plain, inserts, blog := pgDump("shop"), pgDump("--inserts", "--rows-per-insert=3", "shop"), pgDump("blog")
	cluster := []byte(pg.Run(t, nil, "pg_dumpall"))
	globals := []byte(pg.Run(t, nil, "pg_dumpall", "--globals-only"))
	maria := []byte(db.Run(t, nil, "mariadb-dump", "-uroot", "--routines", "--events", "shop"))
	mysql := asMySQL(maria)
	other := []byte(db.Run(t, nil, "mariadb-dump", "-uroot", "--skip-extended-insert", "blog"))
	older := withoutRestrict(plain)
	for _, c := range []struct {
		name       string
		cut, whole []byte
	}{
		{"pg_dump", plain, plain},
		{"pg_dump before one without functions", plain, blog},
		{"pg_dump before one of the schema", plain, pgDump("--schema-only", "shop")},
		{"pg_dump before inserts", plain, inserts},
		{"pg_dump before a cluster", plain, globals},
		{"pg_dump of an older version", older, older},
		{"pg_dump of an older version before one without functions", older, withoutRestrict(blog)},
		{"inserts of an older version before one without functions", withoutRestrict(inserts), withoutRestrict(blog)},
		{"pg_dump --inserts", inserts, inserts},
		{"pg_dump --inserts before one without functions", inserts, blog},
		{"pg_dumpall", cluster, cluster},
		{"pg_dumpall --globals-only", globals, globals},
		{"mariadb-dump", maria, maria},
		{"mariadb-dump before one without routines", maria, other},
		{"mysqldump", mysql, mysql},
		{"mysqldump of many inserts", asMySQL(other), mysql},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cut = append(bytes.TrimRight(c.cut, "\n"), '\n') // no more blank lines
			cuts(t, c.cut, c.whole)
		})
	}
}

// cuts tries all positions near the end and many others, not so many before another kind of dump; what begins with no more than a few hyphens is nothing yet.
func cuts(t *testing.T, cut, whole []byte) {
	t.Helper()
	expect := func(b []byte, health, what string) bool {
		r, err := dump.Examine(bytes.NewReader(b), int64(len(b)), dump.Limits{})
		if err != nil || r.Health != health || health != dump.OK && r.Reason == "" {
			t.Errorf("%s: health %q kind %q reason %q, %v", what, r.Health, r.Kind, r.Reason, err)
			return false
		}
		return true
	}
	if !expect(append(bytes.Clone(cut), whole...), dump.OK, "whole") || !expect(cut, dump.OK, "alone") {
		return
	}
	packed := gzipped(t, whole)
	random := rand.New(rand.NewPCG(4, 2))
	step := 1
	if !bytes.Equal(cut, whole) {
		step = 9
	}
	for i := 0; i < 2200; i += step {
		at := len(cut) - 1 - i
		if i >= 2000 || at < 10 {
			at = 10 + random.IntN(len(cut)-11)
		}
		if !expect(append(bytes.Clone(cut[:at]), whole...), dump.Suspect, fmt.Sprintf("cut at %d of %d, after %q", at, len(cut), cut[max(0, at-60):at])) {
			return
		}
		if i%10 == 0 && !expect(append(gzipped(t, cut[:at]), packed...), dump.Suspect, fmt.Sprintf("gzip, cut at %d", at)) {
			return
		}
	}
}

// gzipped packs fast: what is packed is of no interest here.
func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// quotedDump is a whole dump as somebody may keep it in a database, with the messages of programs.
const quotedDump = `--
-- PostgreSQL database dump
--

-- Dumped from database version 15.18
-- Dumped by pg_dump version 15.18

SET client_encoding = 'UTF8';
pg_dump: error: not really
pg_dump: reading schemas
mysqldump: Got error: 1045: not really
COPY public.users (id, name) FROM stdin;
1	user
\.

--
-- PostgreSQL database dump complete
--

-- MySQL dump 10.13  Distrib 8.0.35, for Linux (x86_64)
--
-- Host: localhost    Database: shop
-- Dump completed on 2026-11-22  3:00:01
-- PostgreSQL database cluster dump
-- PostgreSQL database cluster dump complete
`

// nastyPostgres has the databases shop and blog. Wherever a database may hold text, that of shop holds the text of dumps.
func nastyPostgres(t *testing.T) *servers.Postgres {
	pg := servers.StartPostgres(t)
	pg.Run(t, nil, "createdb", "shop")
	pg.Run(t, nil, "createdb", "blog")
	text := "'" + strings.ReplaceAll(quotedDump, "'", "''") + "'"
	pg.Run(t, []byte(`CREATE TABLE users (id int PRIMARY KEY, name text, "it's ""odd""" text DEFAULT E'a\nb''c');
INSERT INTO users SELECT g, 'user ' || g || E'\n-- PostgreSQL database dump complete\n', '$$ -- /* '' "' FROM generate_series(1, 40) g;
CREATE TABLE lines AS SELECT line FROM regexp_split_to_table(`+text+`, E'\n') line;
CREATE TABLE notes AS SELECT g AS id, `+text+` || g AS note FROM generate_series(1, 5) g;
COMMENT ON TABLE users IS `+text+`; COMMENT ON TABLE notes IS 'it''s "one';
CREATE FUNCTION whole() RETURNS text LANGUAGE sql AS $f$SELECT `+text+`::text$f$;
CREATE FUNCTION texts(int) RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
-- don't
/*`+quotedDump+`*/
RETURN $1 || $a$it's$a$;
END$f$;
CREATE FUNCTION small() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW grown AS SELECT *, `+text+` AS text FROM users; SELECT lo_from_bytea(0, 'large');
CREATE RULE quiet AS ON DELETE TO notes DO INSTEAD NOTHING;`), "psql", "-q", "-v", "ON_ERROR_STOP=1", "shop")
	pg.Run(t, []byte("CREATE TABLE posts AS SELECT g AS id, 'post ' || g AS text FROM generate_series(1, 30) g"), "psql", "-q", "blog")
	return pg
}

// nastyMaria has the same databases.
func nastyMaria(t *testing.T) *servers.MariaDB {
	db := servers.StartMariaDB(t)
	text := "'" + strings.ReplaceAll(quotedDump, "'", "''") + "'"
	db.Run(t, []byte(`CREATE DATABASE shop; CREATE DATABASE blog; USE blog; CREATE TABLE posts (id int PRIMARY KEY, text text);
INSERT INTO posts SELECT seq, concat('post ', seq) FROM seq_1_to_50; USE shop;
CREATE TABLE users (id int PRIMARY KEY, name text DEFAULT 'it''s') COMMENT 'line\n-- Dump completed\n';
INSERT INTO users SELECT seq, concat('it''s user ', seq, '\n-- Dump completed on 2026-11-22  3:00:01\n') FROM seq_1_to_60;
CREATE TABLE notes (id int PRIMARY KEY, note text); INSERT INTO notes VALUES (1, `+text+`);
CREATE VIEW grown AS SELECT *, `+text+` AS text FROM users;
DELIMITER //
CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW BEGIN
-- don't
SET NEW.name = `+text+`;
END//
CREATE PROCEDURE p() BEGIN
/*`+quotedDump+`*/
SELECT `+text+`;
END//
CREATE PROCEDURE q() BEGIN
SELECT 1;
END//
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN
SELECT `+text+`;
END//
CREATE EVENT f ON SCHEDULE EVERY 1 DAY DO SELECT 1//
`), "mariadb", "-uroot", "--comments")
	return db
}

// asMySQL is a dump of MariaDB as MySQL begins it.
func asMySQL(b []byte) []byte {
	at := bytes.Index(b, []byte("-- MariaDB dump "))
	end := at + bytes.IndexByte(b[at:], '\n')
	return append([]byte("-- MySQL dump 10.13  Distrib 8.0.35, for Linux (x86_64)"), b[end:]...)
}

// withoutRestrict is a dump of PostgreSQL as versions before August 2025 wrote it.
func withoutRestrict(b []byte) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte(`\restrict `)) && !bytes.HasPrefix(line, []byte(`\unrestrict `)) {
			out = append(out, line...)
		}
	}
	return out
}
