package dump_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"offsite/agent/dump"
	"offsite/test/servers"
)

// specimen is one dump of the corpus and what is to be said of it.
type specimen struct {
	name   string
	bytes  []byte
	health string
	kind   dump.Kind
	reason string // a part of it
}

// anyKind is for a packed dump of which perhaps nothing comes out.
const anyKind dump.Kind = "any"

// The corpus: dumps made by the real programs, whole and broken by hand in the ways in which cron breaks them. Every broken one
// is suspect, no whole one is, and each for its own reason.
func TestCorpus(t *testing.T) {
	var all []specimen
	all = append(all, postgresDumps(t)...)
	all = append(all, mariaDumps(t)...)
	all = append(all, sqliteDumps(t)...)
	all = append(all, redisDumps(t)...)
	all = append(all, mongoDumps()...)
	all = append(all, messages()...)
	if len(all) < 40 {
		t.Errorf("only %d specimens", len(all))
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) { s.check(t) })
	}
	t.Logf("%d specimens", len(all))
}

func (s specimen) check(t *testing.T) {
	t.Helper()
	r, err := dump.Examine(bytes.NewReader(s.bytes), int64(len(s.bytes)), dump.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Health != s.health || r.Kind != s.kind && s.kind != anyKind || !strings.Contains(r.Reason, s.reason) {
		t.Errorf("health %q kind %q reason %q, want %q %q %q", r.Health, r.Kind, r.Reason, s.health, s.kind, s.reason)
	}
	t.Logf("%s %s: %s", r.Health, r.Kind, r.Reason)
}

// sheet makes specimens of one kind.
type sheet struct {
	kind dump.Kind
	all  []specimen
}

func (s *sheet) whole(name string, b []byte) {
	s.all = append(s.all, specimen{name, b, dump.OK, s.kind, ""})
}

func (s *sheet) broken(name string, b []byte, reason string) {
	s.all = append(s.all, specimen{name, b, dump.Suspect, s.kind, reason})
}

func postgresDumps(t *testing.T) (all []specimen) {
	pg := servers.StartPostgres(t)
	pg.Run(t, nil, "createdb", "shop")
	pg.Run(t, []byte(`CREATE TABLE users (id int PRIMARY KEY, name text); CREATE TABLE "Odd ""name" (line text);
INSERT INTO users SELECT g, 'user ' || g || E'\n-- PostgreSQL database dump complete\npg_dump: error: not really' FROM generate_series(1, 20000) g;
INSERT INTO "Odd ""name" VALUES (E'--'), ('-- PostgreSQL database dump'), (E'\\.'), ('COPY x FROM stdin;');
CREATE VIEW grown AS SELECT * FROM users; SELECT lo_from_bytea(0, 'large'); SELECT lo_from_bytea(0, 'objects');`), "psql", "-q", "-v", "ON_ERROR_STOP=1", "shop")
	dumped := func(args ...string) []byte { return []byte(pg.Run(t, nil, "pg_dump", append(args, "shop")...)) }
	plain := dumped()
	p := &sheet{kind: dump.PostgresPlain}
	p.whole("pg plain", plain)
	p.whole("pg plain, --inserts", dumped("--inserts"))
	p.whole("pg plain, --clean --create", dumped("--clean", "--create", "--if-exists"))
	p.whole("pg plain, --schema-only", dumped("--schema-only"))
	p.whole("pg plain, gzip", packed(t, plain, "gzip"))
	p.whole("pg plain, zstd", packed(t, plain, "zstd", "-q"))
	p.whole("pg plain, zstd --long", packed(t, plain, "zstd", "-q", "--long=27"))
	p.whole("pg plain, bzip2", packed(t, plain, "bzip2"))
	p.whole("pg plain, xz", packed(t, plain, "xz"))
	p.whole("pg plain, xz -9 in blocks", packed(t, plain, "xz", "-9", "-T2", "--block-size=100000"))
	half := plain[:len(plain)/2]
	p.whole("pg plain, gzip of two members", append(packed(t, half, "gzip"), packed(t, plain[len(plain)/2:], "gzip")...))
	p.whole("pg plain, gzip and zeros of a tape", append(packed(t, plain, "gzip"), make([]byte, 10240)...))
	p.whole("pg plain, CRLF", bytes.ReplaceAll(dumped("--schema-only"), []byte("\n"), []byte("\r\n")))
	p.whole("pg plain, two in a row", append(bytes.Clone(plain), plain...))
	p.broken("pg plain, killed", half, "in the middle of table public.users without a completion line: pg_dump was probably killed")
	p.broken("pg plain, killed, gzip", packed(t, half, "gzip"), "in the middle of table public.users")
	p.broken("pg plain, killed before any data", plain[:bytes.Index(plain, []byte("COPY"))], "without a completion line")
	p.broken("pg plain, killed at its header", plain[:40], "without a completion line")
	p.broken("pg plain, killed, then another", append(bytes.Clone(half[:bytes.LastIndexByte(half, '\n')+1]), plain...), "another dump follows")
	gz := packed(t, plain, "gzip")
	p.broken("gzip cut in the middle", gz[:len(gz)/2], "its gzip stream is cut off, in table public.users")
	p.broken("gzip cut before its checksum", gz[:len(gz)-8], "its gzip stream is cut off")
	p.broken("gzip, disk full at a page", gz[:4096], "its gzip stream is cut off")
	p.broken("gzip, bad checksum", flipped(gz, len(gz)-6), "its gzip checksum is wrong")
	p.broken("gzip, a byte behind", append(bytes.Clone(gz), 'x'), "something that is not gzip follows its end")
	p.broken("gzip, the beginning of another behind", append(bytes.Clone(gz), gz[:5]...), "its gzip stream is cut off: ")
	p.broken("gzip, garbage behind", append(bytes.Clone(gz), "garbage, garbage"...), "something that is not gzip follows its end")
	for _, c := range []struct{ tool, reason string }{{"zstd", "zstd stream is cut off"}, {"bzip2", "bzip2 stream is cut off"}, {"xz", "xz stream is cut off"}} {
		b := packed(t, plain, c.tool)
		kind := dump.PostgresPlain
		if c.tool != "zstd" {
			kind = anyKind
		}
		p.all = append(p.all, specimen{c.tool + " cut in the middle", b[:len(b)*2/3], dump.Suspect, kind, c.reason},
			specimen{c.tool + ", flipped bit", flipped(b, len(b)/2), dump.Suspect, kind, "its " + c.tool})
	}
	p.broken("pg plain, error through the pipe", append(bytes.Clone(dumped("--schema-only")[:900]), "\npg_dump: error: Dumping the contents of table \"users\" failed: PQgetResult() failed.\n"...), "pg_dump: error: Dumping the contents")
	surrounded(t, p, pg, plain)
	end := bytes.LastIndex(plain, []byte("SELECT pg_catalog"))
	p.all = append(p.all, specimen{"pg plain, without its beginning", plain[end:], dump.Suspect, "", "has its end"})

	cluster := []byte(pg.Run(t, nil, "pg_dumpall"))
	c := &sheet{kind: dump.PostgresCluster}
	c.whole("pg_dumpall", cluster)
	c.whole("pg_dumpall --globals-only", []byte(pg.Run(t, nil, "pg_dumpall", "--globals-only")))
	inside := bytes.LastIndex(cluster, []byte("-- PostgreSQL database dump complete"))
	c.broken("pg_dumpall, killed between databases", cluster[:inside+40], "without a completion line: pg_dumpall")
	c.broken("pg_dumpall, killed in a table", cluster[:bytes.Index(cluster, []byte("user 500"))], "in the middle of table public.users")

	custom := dumped("-Fc")
	f := &sheet{kind: dump.PostgresCustom}
	f.whole("pg custom", custom)
	f.whole("pg custom, uncompressed", dumped("-Fc", "-Z0"))
	f.whole("pg custom, --schema-only", dumped("-Fc", "--schema-only"))
	f.whole("pg custom, gzip", packed(t, custom, "gzip"))
	toFile := filepath.Join(t.TempDir(), "x.dump")
	if err := os.WriteFile(toFile, dumped("-Fc"), 0o666); err != nil {
		t.Fatal(err)
	}
	f.broken("pg custom, killed in the data", custom[:len(custom)*2/3], "ends too early")
	f.broken("pg custom, killed in the contents", custom[:600], "its table of contents")
	f.broken("pg custom, killed in its header", custom[:8], "ends too early")
	f.broken("pg custom, something behind", append(bytes.Clone(custom), "garbage"...), "damaged")
	f.broken("pg custom, last table missing", withoutLastBlock(t, dumped("-Fc", "-Z0")), "is missing")

	tarred := dumped("-Ft")
	d := &sheet{kind: dump.PostgresTar}
	d.whole("pg tar", tarred)
	dir := filepath.Join(t.TempDir(), "shop")
	pg.Run(t, nil, "pg_dump", "-Fd", "-f", dir, "shop")
	d.whole("pg directory in a tar", shell(t, filepath.Dir(dir), nil, "tar", "-c", "shop"))
	d.whole("pg directory in a tar.gz", shell(t, filepath.Dir(dir), nil, "tar", "-cz", "shop"))
	d.broken("pg tar, killed", tarred[:len(tarred)/2], "ends too early")
	d.broken("pg tar, without an end", bytes.TrimRight(tarred, "\x00"), "")
	data, err := filepath.Glob(dir + "/*.dat.gz")
	if err != nil || len(data) == 0 {
		t.Fatal("no data in the directory", err)
	}
	if err := os.Remove(data[0]); err != nil {
		t.Fatal(err)
	}
	d.broken("pg directory in a tar, a table missing", shell(t, filepath.Dir(dir), nil, "tar", "-c", "shop"), "is missing")
	for _, s := range []*sheet{p, c, f, d} {
		all = append(all, s.all...)
	}
	return all
}

// surrounded are dumps with something before, behind or in the middle that is no part of them.
func surrounded(t *testing.T, p *sheet, pg *servers.Postgres, plain []byte) {
	for _, more := range []string{"INSERT INTO users VALUES (1);\n", "VACUUM ANALYZE;\n", "# finished, don't worry\n", "\\connect blog\n"} {
		p.whole("pg plain, more SQL behind: "+more, append(bytes.Clone(plain), more...))
		p.whole("pg plain, more SQL between two: "+more, slices.Concat(plain, []byte(more), plain))
	}
	for _, command := range []string{"pg_dump -v shop 2>&1", "pg_dumpall -v 2>&1"} {
		both := exec.Command("sh", "-c", command)
		both.Env = pg.Env()
		out, err := both.Output()
		if err != nil {
			t.Fatal(command, err)
		}
		p.all = append(p.all, specimen{command, out, dump.Suspect, anyKind, "holds a message of the program that should have written it: \"pg_dump"})
	}
	p.broken("pg plain, a warning in front", append([]byte("pg_dump: warning: could not find operator with OID 4711\n"), plain...), "could not find operator")
	p.broken("pg plain, a remark in the middle", bytes.Replace(plain, []byte("\nCREATE VIEW"), []byte("\npg_dump: creating VIEW \"grown\"\nCREATE VIEW"), 1), "creating VIEW")
	p.all = append(p.all, specimen{"pg_dump, a remark alone", []byte("pg_dump: hint: try again\n"), dump.Suspect, "", "try again"},
		specimen{"notes on pg_dump", []byte("How to make dumps\n\npg_dump: makes one, mysqldump: too\n"), dump.Unchecked, "", "not known"})
	p.broken("pg plain, a message behind", append(bytes.Clone(plain), "gzip: stdout: No space left on device\n"...), "No space left")
	p.broken("pg plain, the rest of a longer one behind", append(bytes.Clone(plain), plain[len(plain)/2:]...), "its end")
	p.broken("pg plain, the first line of another behind", append(bytes.Clone(plain), "--\n-- Postgre"...), "first line of a dump")
	p.whole("pg plain, as Windows marks it", append([]byte("\xef\xbb\xbf"), plain...))
}

// withoutLastBlock cuts a custom dump after its last but one piece of data.
func withoutLastBlock(t *testing.T, b []byte) []byte {
	t.Helper()
	at := bytes.Index(b, []byte("user 1\\n"))
	if at < 0 {
		t.Fatal("no data found")
	}
	at = bytes.LastIndex(b[:at], []byte{1, 0}) // the block's type, and the sign of its entry
	return b[:at]
}

func mariaDumps(t *testing.T) []specimen {
	db := servers.StartMariaDB(t)
	db.Run(t, []byte("CREATE DATABASE shop; CREATE TABLE shop.users (id int PRIMARY KEY, name text);\n"), "mariadb", "-uroot")
	insert := "INSERT INTO users VALUES (0, '-- Dump completed')"
	for i := range 5000 {
		insert += fmt.Sprintf(",(%d,'user %d\\n-- Dump completed\\n')", i+1, i)
	}
	db.Run(t, []byte(insert+";CREATE VIEW grown AS SELECT * FROM users;"), "mariadb", "-uroot", "shop")
	plain := []byte(db.Run(t, nil, "mariadb-dump", "-uroot", "shop"))
	s := &sheet{kind: dump.MariaDB}
	s.whole("mariadb", plain)
	s.whole("mariadb, gzip", packed(t, plain, "gzip"))
	s.whole("mariadb, --all-databases", []byte(db.Run(t, nil, "mariadb-dump", "-uroot", "--all-databases")))
	s.whole("mariadb, --skip-extended-insert --routines", []byte(db.Run(t, nil, "mariadb-dump", "-uroot", "--skip-extended-insert", "--routines", "shop")))
	s.whole("mariadb, two in a row", append(bytes.Clone(plain), plain...))
	s.broken("mariadb, killed in a table", plain[:len(plain)/2], "in the middle of table users without a completion line: mariadb-dump was probably killed")
	s.broken("mariadb, killed at its end", plain[:bytes.LastIndex(plain, []byte("-- Dump completed"))], "without a completion line")
	s.broken("mariadb, killed, then another", append(bytes.Clone(plain[:bytes.LastIndex(plain, []byte("-- Dump completed"))]), plain...), "another dump follows")
	s.broken("mariadb, warning in front", append([]byte("mysqldump: [Warning] Using a password on the command line interface can be insecure.\n"), plain...), "message of the program")
	s.broken("mariadb, another name for the program", append([]byte("/usr/bin/mysqldump: Deprecated program name. It will be removed in a future release, use '/usr/bin/mariadb-dump' instead\n"), plain...), "Deprecated")
	for _, more := range []string{"USE blog;\n", "FLUSH PRIVILEGES;\n", "-- Dump completed on 2026-11-22  3:00:01\n"} {
		s.whole("mariadb, more SQL behind: "+more, append(bytes.Clone(plain), more...))
		s.whole("mariadb, more SQL between two: "+more, slices.Concat(plain, []byte(more), plain))
	}
	s.broken("mariadb, the rest of a longer one behind", append(bytes.Clone(plain), plain[len(plain)/2:]...), "its end")
	s.broken("mariadb, error in the middle", append(bytes.Clone(plain[:1000]), "\nmariadb-dump: Error 2013: Lost connection to server during query when dumping table `users` at row: 0\n"...), "Lost connection")
	my := bytes.Replace(plain, []byte("-- MariaDB dump "), []byte("-- MySQL dump "), 1)
	s.all = append(s.all, specimen{"mysql", my, dump.OK, dump.MySQL, ""}, specimen{"mysql, killed", my[:len(my)/2], dump.Suspect, dump.MySQL, "mysqldump was probably killed"},
		specimen{"mariadb, --compact", []byte(db.Run(t, nil, "mariadb-dump", "-uroot", "--compact", "shop")), dump.Unchecked, "", ""})
	return s.all
}

func sqliteDumps(t *testing.T) []specimen {
	dir := t.TempDir()
	sql := "CREATE TABLE users (id integer primary key, name text);\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO users SELECT i, 'user ' || i FROM n;\n"
	shell(t, dir, []byte(sql), "sqlite3", "shop.db")
	file, err := os.ReadFile(filepath.Join(dir, "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	text := shell(t, dir, nil, "sqlite3", "shop.db", ".dump")
	b := &sheet{kind: dump.SQLite}
	b.whole("sqlite", file)
	b.whole("sqlite, xz", packed(t, file, "xz"))
	b.whole("sqlite, vacuumed into", func() []byte {
		shell(t, dir, nil, "sqlite3", "shop.db", "VACUUM INTO 'copy.db'")
		b, err := os.ReadFile(filepath.Join(dir, "copy.db"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}())
	b.broken("sqlite, cut between pages", file[:len(file)/4096/2*4096], "ends too early")
	b.broken("sqlite, cut in a page", file[:len(file)-100], "ends too early")
	b.broken("sqlite, something behind", append(bytes.Clone(file), "garbage"...), "something follows")
	// A program that has it open leaves the rows of its last transactions beside it.
	shell(t, dir, []byte("PRAGMA journal_mode=WAL;\n"+strings.ReplaceAll(sql, "users", "more")+".shell cp shop.db live.db\n.backup saved.db\nVACUUM INTO 'whole.db';\n"), "sqlite3", "shop.db")
	for name, health := range map[string]string{"live.db": dump.Unchecked, "saved.db": dump.Unchecked, "whole.db": dump.OK} {
		wal, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		reason := map[string]string{dump.Unchecked: "what its -wal file holds is not in it"}[health]
		b.all = append(b.all, specimen{"sqlite in WAL mode, " + name, wal, health, dump.SQLite, reason},
			specimen{"sqlite in WAL mode, cut, " + name, wal[:len(wal)-100], dump.Suspect, dump.SQLite, ""})
	}
	d := &sheet{kind: dump.SQLiteText}
	d.whole("sqlite .dump", text)
	d.broken("sqlite .dump, killed", text[:len(text)/2], "does not end in COMMIT")
	d.broken("sqlite .dump, errors", bytes.Replace(text, []byte("COMMIT;"), []byte("ROLLBACK; -- due to errors"), 1), "ROLLBACK")
	return append(b.all, d.all...)
}

func redisDumps(t *testing.T) []specimen {
	dir := t.TempDir()
	server := filepath.Join(dir, "redis-server") // one program that goes by its name
	if err := os.Symlink("/usr/bin/redis-check-rdb", server); err != nil {
		t.Fatal(err)
	}
	saved := func(options ...string) []byte {
		os.Remove(filepath.Join(dir, "dump.rdb"))
		var commands strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&commands, "SET key%d value%d\n", i, i)
		}
		cmd := exec.Command(server, append([]string{"--port", "0", "--unixsocket", filepath.Join(dir, "sock"), "--dir", dir, "--save", ""}, options...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		for range 500 {
			if exec.Command("redis-cli", "-s", filepath.Join(dir, "sock"), "ping").Run() == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		shell(t, dir, []byte(commands.String()+"SAVE\n"), "redis-cli", "-s", filepath.Join(dir, "sock"))
		exec.Command("redis-cli", "-s", filepath.Join(dir, "sock"), "SHUTDOWN", "NOSAVE").Run()
		b, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rdb := saved()
	s := &sheet{kind: dump.Redis}
	s.whole("redis", rdb)
	s.whole("redis, gzip", packed(t, rdb, "gzip"))
	s.whole("redis, without checksum", saved("--rdbchecksum", "no"))
	s.broken("redis, killed", rdb[:len(rdb)/2], "no end mark")
	s.broken("redis, killed at once", rdb[:8], "ends too early")
	s.broken("redis, flipped bit", flipped(rdb, len(rdb)/2), "checksum is wrong")
	return s.all
}

// mongoDumps are put together by hand as mongo-tools write them: no Debian package has mongodump.
func mongoDumps() []specimen {
	str := func(key, value string) []byte {
		return append(binary.LittleEndian.AppendUint32(append([]byte{2}, key+"\x00"...), uint32(len(value)+1)), value+"\x00"...)
	}
	document := func(fields ...[]byte) []byte {
		body := append(bytes.Join(fields, nil), 0)
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
	}
	header := func(collection string, over byte) []byte {
		return document(str("db", "shop"), str("collection", collection), []byte{8, 'E', 'O', 'F', 0, over}, append([]byte{18, 'C', 'R', 'C', 0}, make([]byte, 8)...))
	}
	end := []byte{0xff, 0xff, 0xff, 0xff}
	user := document(str("name", "user"))
	start := slices.Concat([]byte("\x6d\xe2\x99\x81"), document(str("version", "0.1")), document(str("db", "shop"), str("collection", "users")), end)
	whole := slices.Concat(start, header("users", 0), user, user, end, header("orders", 0), user, end, header("users", 0), user, end, header("users", 1), end, header("orders", 1), end)
	s := &sheet{kind: dump.MongoDB}
	s.whole("mongodump", whole)
	s.whole("mongodump of nothing", start)
	s.broken("mongodump, killed in a document", whole[:len(whole)/2], "ends too early")
	s.broken("mongodump, killed between blocks", whole[:len(whole)-len(header("orders", 1))-4], "the end of collection shop.orders is missing")
	s.broken("mongodump, something behind", append(bytes.Clone(whole), "\x01\x00\x00\x00"...), "damaged")
	return s.all
}

// messages are files with no dump in them.
func messages() (all []specimen) {
	for _, m := range []struct{ name, text, reason string }{
		{"empty", "", "it is empty"},
		{"blank", "\n\n  \n", "white space"},
		{"pg_dump, wrong password", "pg_dump: error: connection to server at \"localhost\" (::1), port 5432 failed: FATAL:  password authentication failed for user \"shop\"\n", "password authentication failed"},
		{"pg_dump with its path", "/usr/lib/postgresql/15/bin/pg_dump: error: server version: 16.1; pg_dump version: 15.5\npg_dump: detail: aborting because of server version mismatch\n", "server version"},
		{"mysqldump, wrong password", "mysqldump: Got error: 1045: \"Access denied for user 'root'@'localhost' (using password: YES)\" when trying to connect\n", "Access denied"},
		{"no such program", "/bin/sh: 1: pg_dump: not found\n", "pg_dump: not found"},
		{"no such container", "Error: No such container: database\n", "No such container"},
		{"docker", "docker: Error response from daemon: container 1234 is not running\n", "not running"},
		{"usage", "Usage: mysqldump [OPTIONS] database [tables]\nOR     mysqldump [OPTIONS] --databases [OPTIONS] DB1 [DB2 DB3...]\n", "Usage"},
	} {
		all = append(all, specimen{m.name, []byte(m.text), dump.Suspect, "", m.reason})
	}
	return append(all,
		specimen{"20 bytes of gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"), dump.Suspect, "", "nothing in it once it is unpacked"},
		specimen{"two bytes of gzip", []byte("\x1f\x8b"), dump.Suspect, "", "its gzip stream is cut off"},
		specimen{"SQL of its own", []byte("CREATE TABLE errors (id int);\nINSERT INTO errors VALUES (1);\n"), dump.Unchecked, "", "format is not known"},
		specimen{"a text", []byte("no such thing as an error, just notes\n"), dump.Unchecked, "", ""},
		specimen{"bytes", []byte{0, 1, 2, 3, 255, 254}, dump.Unchecked, "", ""},
		specimen{"an age file", []byte("age-encryption.org/v1\n-> X25519 abc\n"), dump.Unchecked, "", "it is encrypted"},
		specimen{"a PGP message", []byte("-----BEGIN PGP MESSAGE-----\n\nabcd\n"), dump.Unchecked, "", "it is encrypted"},
		specimen{"a certificate", []byte("-----BEGIN CERTIFICATE-----\nabcd\n"), dump.Unchecked, "", "not known"},
	)
}

// packed is what a program makes of b.
func packed(t *testing.T, b []byte, tool string, args ...string) []byte {
	t.Helper()
	return shell(t, "", b, tool, append(args, "-c")...)
}

func shell(t *testing.T, dir string, input []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, errs.String())
	}
	return out
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}
