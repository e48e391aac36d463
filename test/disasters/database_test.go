package disasters_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"offsite/test/servers"
)

// database is the name of the user's database.
const database = "crypto-ai-agent"

// schema is an application's: what is hard to dump is in it, and a line for each minute in the ledger, so that what is lost can be told in time.
const schema = `
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, born date, settings jsonb);
INSERT INTO users SELECT i, E'Zoë "Ö" \\ ''' || i, CASE WHEN i % 3 = 0 THEN NULL ELSE date '1970-01-01' + i END, jsonb_build_object('theme', i % 4, 'tags', ARRAY['a', E'b\n\t']) FROM generate_series(1, 3000) i;
CREATE TABLE messages (id bigserial PRIMARY KEY, user_id int NOT NULL REFERENCES users, body text, raw bytea);
INSERT INTO messages (user_id, body, raw) SELECT 1 + i % 3000, repeat(md5(i::text), 1 + i % 5), decode(md5(i::text), 'hex') FROM generate_series(1, 20000) i;
CREATE TABLE ledger (id bigserial PRIMARY KEY, at timestamptz NOT NULL, amount numeric(14, 2) NOT NULL);
CREATE INDEX ON ledger (at);
CREATE SCHEMA audit;
CREATE TABLE audit."Odd Name" (what text, at timestamptz DEFAULT '2026-01-01 00:00:00.123456+00');
INSERT INTO audit."Odd Name" (what) VALUES (NULL), (''), (E'\\.'), (E'-- PostgreSQL database dump complete');
CREATE VIEW rich AS SELECT * FROM ledger WHERE amount > 400;
`

// dayBefore is how long ago the last dump was made: disasters strike when it hurts most, a few minutes before the next one.
const dayBefore = 24*time.Hour - 5*time.Minute

// fill makes the user's database as it was when the last dump was made, on a volume of which each host gets a copy.
func (w *world) fill(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "volume")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.volume = filepath.Join(dir, "pgdata")
	pg := servers.StartContainer(t, w.volume)
	pg.Run(t, nil, "createdb", database)
	pg.Run(t, []byte(schema), "psql", "-Xqv", "ON_ERROR_STOP=1", database)
	dumped := time.Now().Add(-dayBefore).Truncate(time.Minute)
	work(t, pg, dumped.Add(-24*time.Hour), dumped)
	w.was = look(t, pg, database)
	pg.Stop(syscall.SIGINT)
}

// work is what the application writes: a row each minute after from, up to until.
func work(t *testing.T, pg *servers.Postgres, from, until time.Time) {
	t.Helper()
	pg.Run(t, fmt.Appendf(nil, "INSERT INTO ledger (at, amount) SELECT at, extract(epoch FROM at)::bigint %% 997 FROM generate_series(to_timestamp(%d) + interval '1 minute', to_timestamp(%d), interval '1 minute') at",
		from.Unix(), until.Unix()), "psql", "-Xqv", "ON_ERROR_STOP=1", database)
}

// contents are all that is in a database.
type contents struct {
	sums   string // each table, with the number of its rows and a sum over all of them
	rows   int
	newest time.Time // the last line of the ledger
}

// look reads every row of every table, in any order.
func look(t *testing.T, pg *servers.Postgres, name string) (c contents) {
	t.Helper()
	ask := func(query string) string {
		t.Helper()
		return strings.TrimSpace(pg.Run(t, []byte(query), "psql", "-XAtqv", "ON_ERROR_STOP=1", name))
	}
	var queries []string
	for table := range strings.Lines(ask("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1")) {
		table = strings.TrimSpace(table)
		queries = append(queries, fmt.Sprintf("SELECT '%s', count(*), md5(string_agg(sum, '' ORDER BY sum)) FROM (SELECT md5(t::text) AS sum FROM %s t) s", table, table))
	}
	c.sums = ask(strings.Join(queries, " UNION ALL ") + " ORDER BY 1")
	for line := range strings.Lines(c.sums) {
		if fields := strings.Split(line, "|"); len(fields) == 3 {
			var n int
			fmt.Sscan(fields[1], &n)
			c.rows += n
		}
	}
	if behind := ask("SELECT 'ledger' FROM ledger_id_seq WHERE last_value < (SELECT max(id) FROM ledger) UNION ALL SELECT 'messages' FROM messages_id_seq WHERE last_value < (SELECT max(id) FROM messages)"); behind != "" {
		t.Errorf("the next row cannot be written: the sequence is behind in %s", behind) // ahead it is after each crash of PostgreSQL
	}
	var unix int64
	fmt.Sscan(ask("SELECT extract(epoch FROM max(at))::bigint FROM ledger"), &unix)
	c.newest = time.Unix(unix, 0)
	if len(queries) != 4 || c.rows < 24000 || unix == 0 {
		t.Fatalf("%d tables with %d rows, the last of %s:\n%s", len(queries), c.rows, c.newest, c.sums)
	}
	return c
}

// copyVolume gives a host its own copy of the database.
func (w *world) copyVolume(t *testing.T, to string) {
	t.Helper()
	must(t, exec.Command("cp", "-a", w.volume, to))
}
