package dump_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"offsite/agent/dump"
)

// benchSize is how many bytes a benchmark examines, unpacked: more than the caches nearest to a core hold.
const benchSize = 16 << 20

// BenchmarkExamine has the throughput of every kind of content in unpacked bytes, as it is and packed; cpu-MB/s is for each second
// of a core, whoever else uses it. A file of the real world: OFFSITE_BENCH_DUMP.
func BenchmarkExamine(b *testing.B) {
	for _, c := range []struct {
		name   string
		health string
		write  func(*writer)
	}{
		{"binary", dump.Unchecked, binaryBytes},
		{"noise", dump.Unchecked, noise},
		{"base64", dump.Unchecked, base64Lines},
		{"base64-line", dump.Unchecked, base64Line},
		{"prose", dump.Unchecked, prose},
		{"csv", dump.Unchecked, csvRows},
		{"tsv", dump.Unchecked, copyRows},
		{"jsonl", dump.Unchecked, jsonLines},
		{"log", dump.Unchecked, logLines},
		{"yaml", dump.Unchecked, yamlLines},
		{"own-sql", dump.Unchecked, singleInserts},
		{"pg-copy", dump.OK, postgres(copyRows)},
		{"pg-copy-narrow", dump.OK, postgres(narrowRows)},
		{"pg-inserts", dump.OK, postgres(singleInserts)},
		{"pg-inserts-many", dump.OK, postgres(manyRows)},
		{"pg-inserts-json", dump.OK, postgres(jsonInserts)},
		{"pg-inserts-text", dump.OK, postgres(textInserts)},
		{"pg-inserts-bytea", dump.OK, postgres(byteaInserts)},
		{"pg-functions", dump.OK, postgres(functions)},
		{"pg_dumpall", dump.OK, cluster},
		{"pg-and-more", dump.OK, behind(postgresEnd, singleInserts)},
		{"mysql", dump.OK, mysql("MySQL dump 10.13  Distrib 8.0.35, for Linux (x86_64)", extendedInserts)},
		{"mysql-single", dump.OK, mysql("MySQL dump 10.13  Distrib 8.0.35, for Linux (x86_64)", singleInserts)},
		{"mysql-16M-line", dump.OK, mysql("MySQL dump 10.13  Distrib 8.0.35, for Linux (x86_64)", oneInsert)},
		{"mariadb", dump.OK, mysql("MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)", manyRows)},
		{"sqlite-text", dump.OK, sqliteText},
		{"sqlite", dump.OK, sqliteFile},
		{"redis", dump.OK, redisFile},
		{"pg-custom", dump.OK, customArchive(false)},
		{"pg-custom-zlib", dump.OK, customArchive(true)},
		{"tar", dump.OK, tarFile},
	} {
		w := &writer{rand: rand.New(rand.NewPCG(4, 2))}
		for _, packing := range []string{"plain", "gzip", "zstd"} {
			var packed []byte
			b.Run(c.name+"/"+packing, func(b *testing.B) {
				if w.Len() == 0 {
					c.write(w)
				}
				if packed == nil {
					packed = pack(b, packing, w.Bytes())
				}
				examine(b, packed, benchSize, c.health)
			})
		}
	}
	if file, err := os.ReadFile(os.Getenv("OFFSITE_BENCH_DUMP")); err == nil {
		b.Run("file", func(b *testing.B) { examine(b, file, int64(len(file)), dump.OK) })
	}
}

func examine(b *testing.B, dumped []byte, size int64, health string) {
	b.SetBytes(size)
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		if r, err := dump.Examine(bytes.NewReader(dumped), int64(len(dumped)), dump.Limits{}); err != nil || r.Health != health {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/(cpuTime(b)-before).Seconds(), "cpu-MB/s")
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func pack(b *testing.B, packing string, plain []byte) []byte {
	b.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	switch packing {
	case "plain":
		return plain
	case "zstd":
		z, err := zstd.NewWriter(&out)
		if err != nil {
			b.Fatal(err)
		}
		w = z
	}
	w.Write(plain)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// writer makes content, always the same.
type writer struct {
	bytes.Buffer
	rand *rand.Rand
	id   int
}

func (w *writer) full() bool { return w.Len() >= benchSize }

func (w *writer) f(format string, args ...any) { fmt.Fprintf(w, format, args...) }

var words = strings.Fields(`the of and to in is that for it as was with be by on not he his but at are this have from or had an they which
one you were all her she there would their we him been has when who will no more if out so said what up its about than into them can only
other time new some could these two may first then do any like my now over such our man me even most made after also did many off before
must well back through years much where your way down should because long each just state people those too mister how little good world
database customer invoice delivery address Prague account balance shipment warehouse`)

func (w *writer) word() string { return words[w.rand.IntN(len(words))] }

func (w *writer) phrase(n int) string {
	some := make([]string, n)
	for i := range some {
		some[i] = w.word()
	}
	return strings.Join(some, " ")
}

// row gives the columns of a row: a number, a name, an address, a time, an amount, some text.
func (w *writer) row() []any {
	w.id++
	at := fmt.Sprintf("2026-%02d-%02d %02d:%02d:%02d.%06d+01", 1+w.rand.IntN(12), 1+w.rand.IntN(28), w.rand.IntN(24), w.rand.IntN(60), w.rand.IntN(60), w.rand.IntN(1e6))
	return []any{w.id, w.word() + " " + w.word(), w.word() + fmt.Sprint(w.rand.IntN(1000)) + "@example.org", at, float64(w.rand.IntN(1e7)) / 100, w.phrase(1 + w.rand.IntN(12))}
}

// each writes lines until there is enough.
func each(line func(w *writer)) func(*writer) {
	return func(w *writer) {
		for !w.full() {
			line(w)
		}
	}
}

func rows(format string) func(*writer) { return each(func(w *writer) { w.f(format, w.row()...) }) }

var (
	copyRows      = rows("%d\t%s\t%s\t%s\t%.2f\t%s\n")
	csvRows       = rows("%d,%q,%s,%s,%.2f,%q\n")
	singleInserts = rows("INSERT INTO public.users VALUES (%d, '%s', '%s', '%s', %.2f, 'it''s %s');\n")
	jsonInserts   = rows("INSERT INTO public.events VALUES ('{\"id\": %d, \"name\": \"%s\", \"mail\": \"%s\", \"at\": \"%s\", \"amount\": %.2f, \"tags\": [\"%s\"]}');\n")
	jsonLines     = rows("{\"id\": %d, \"name\": \"%s\", \"mail\": \"%s\", \"at\": \"%s\", \"amount\": %.2f, \"tags\": [\"%s\"]}\n")
	prose         = each(func(w *writer) { w.f("%s.\n", w.phrase(3+w.rand.IntN(12))) })
	narrowRows    = each(func(w *writer) { w.f("%d\n", w.rand.IntN(1e5)) })
	yamlLines     = each(func(w *writer) { w.f("%s: %s\n", w.word(), w.phrase(1+w.rand.IntN(4))) })
	logLines      = each(func(w *writer) {
		w.f([]string{"2026-11-22T03:00:01Z host %s[%d]: %s\n", "nginx[%[2]d]: error: %[1]s %[3]s\n", "level=info msg=%q size=%d note=%q\n"}[w.rand.IntN(3)],
			w.word(), w.rand.IntN(30000), w.phrase(8))
	})
	functions = each(func(w *writer) {
		w.id++
		w.f("--\n-- Name: f%d(); Type: FUNCTION; Schema: public; Owner: shop\n--\n\nCREATE FUNCTION public.f%[1]d() RETURNS text\n    LANGUAGE plpgsql\n    AS $_$\nBEGIN\n", w.id)
		for range 20 {
			w.f("  -- %s\n  x := '%s' || $1; /* %s */\n", w.phrase(8), w.phrase(4), w.phrase(4))
		}
		w.f("END;\n$_$;\n\n\nALTER FUNCTION public.f%d() OWNER TO shop;\n\n", w.id)
	})
	textInserts = each(func(w *writer) {
		w.id++
		w.f("INSERT INTO public.notes VALUES (%d, '", w.id)
		for range 1 + w.rand.IntN(30) {
			w.f("%s\n", w.phrase(3+w.rand.IntN(12)))
		}
		w.f("it''s over');\n")
	})
	byteaInserts = each(func(w *writer) {
		w.id++
		w.f(`INSERT INTO public.files VALUES (%d, '\x%x');`+"\n", w.id, w.random(20000))
	})
)

func (w *writer) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rand.Uint32())
	}
	return b
}

func binaryBytes(w *writer) { w.Write(w.random(benchSize)) }

// noise has no zeros, which text has not.
func noise(w *writer) {
	b := w.random(benchSize)
	for i, c := range b {
		b[i] = max(c, 1)
	}
	w.Write(b)
}

func base64Line(w *writer) {
	w.WriteString(base64.StdEncoding.EncodeToString(w.random(benchSize / 4 * 3)))
}

func base64Lines(w *writer) {
	for !w.full() {
		w.f("%s\n", base64.StdEncoding.EncodeToString(w.random(57)))
	}
}

// manyRows is an INSERT of a thousand rows, each in a line, as pg_dump --rows-per-insert and mariadb-dump write it.
func manyRows(w *writer) {
	for !w.full() {
		w.f("INSERT INTO users VALUES\n")
		for range 1000 {
			w.f("\t(%d,'%s','%s','%s',%.2f,'%s'),\n", w.row()...)
		}
		w.f("\t(%d,'%s','%s','%s',%.2f,'%s');\n", w.row()...)
	}
}

// extendedInserts have lines of a megabyte.
func extendedInserts(w *writer) {
	for !w.full() {
		end := w.Len() + 1<<20
		w.f("INSERT INTO `users` VALUES (0,'','','',0,'')")
		for w.Len() < end {
			w.f(",(%d,'%s','%s','%s',%.2f,'it\\'s %s')", w.row()...)
		}
		w.f(";\n")
	}
}

func oneInsert(w *writer) {
	w.f("INSERT INTO `users` VALUES (0,'','','',0,'')")
	rows(",(%d,'%s','%s','%s',%.2f,'it\\'s %s')")(w)
	w.f(";\n")
}

const postgresEnd = "--\n-- PostgreSQL database dump complete\n--\n\n"

// postgres is a dump of pg_dump; rows without any SQL are those of COPY.
func postgres(data func(*writer)) func(*writer) {
	return func(w *writer) {
		w.f("--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n--\n-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: shop\n--\n\n")
		var rows writer
		rows.rand = w.rand
		data(&rows)
		if c := rows.Bytes()[0]; c >= '0' && c <= '9' {
			w.f("COPY public.users (id, name, mail, at, amount, note) FROM stdin;\n%s\\.\n\n", rows.Bytes())
		} else {
			w.Write(rows.Bytes())
		}
		w.WriteString(postgresEnd)
	}
}

// cluster is a dump of pg_dumpall: of many small databases.
func cluster(w *writer) {
	const begin, end = "--\n-- PostgreSQL database cluster dump\n--\n\nSET client_encoding = 'UTF8';\n", "--\n-- PostgreSQL database cluster dump complete\n--\n\n"
	w.WriteString(begin)
	for !w.full() {
		w.f("--\n-- Database %q dump\n--\n\n\\connect %s\n\n--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n", w.word(), w.word())
		for range 100 {
			w.id++
			w.f("--\n-- Name: t%d; Type: TABLE; Schema: public; Owner: shop\n--\n\nCREATE TABLE public.t%[1]d (\n    id integer NOT NULL,\n    name text DEFAULT ''::text,\n    at timestamp with time zone\n);\n\n\nALTER TABLE public.t%[1]d OWNER TO shop;\n\n", w.id)
			w.f("COPY public.t%d (id, name, mail, at, amount, note) FROM stdin;\n", w.id)
			for range 20 {
				w.f("%d\t%s\t%s\t%s\t%.2f\t%s\n", w.row()...)
			}
			w.f("\\.\n\n\n")
		}
		w.WriteString(postgresEnd)
	}
	w.WriteString(end)
}

// behind is a small dump and more SQL.
func behind(end string, more func(*writer)) func(*writer) {
	return func(w *writer) {
		w.f("--\n-- PostgreSQL database dump\n--\n\n%s", end)
		more(w)
	}
}

func mysql(first string, data func(*writer)) func(*writer) {
	return func(w *writer) {
		w.f("-- %s\n--\n-- Host: localhost    Database: shop\n-- ------------------------------------------------------\n\n--\n-- Dumping data for table `users`\n--\n\nLOCK TABLES `users` WRITE;\n", first)
		data(w)
		w.f("UNLOCK TABLES;\n\n-- Dump completed on 2026-11-22  3:00:01\n")
	}
}

func sqliteText(w *writer) {
	w.f("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
	rows("INSERT INTO users VALUES(%d,'%s','%s','%s',%.2f,'it''s %s');\n")(w)
	w.f("COMMIT;\n")
}

// sqliteFile has the header of a database and pages of noise.
func sqliteFile(w *writer) {
	b := w.random(benchSize)
	copy(b, "SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20\x00\x00\x00\x01\x00\x00\x10\x00")
	copy(b[92:], b[24:28])
	w.Write(b)
}

func redisFile(w *writer) {
	w.WriteString("REDIS0011")
	w.Write(w.random(benchSize))
	w.WriteByte(0xff)
	sum := ^crc64.Update(^uint64(0), crc64.MakeTable(0x95ac9329ac4bc9b5), w.Bytes())
	for i := range 8 {
		w.WriteByte(byte(sum >> (8 * i)))
	}
}

// customArchive has one table; its data is packed, perhaps, and lies in blocks as pg_dump makes them.
func customArchive(packed bool) func(*writer) {
	return func(w *writer) {
		block := 80
		data := &bytes.Buffer{}
		copyRows(w)
		w.WriteString("\\.\n\n\n")
		if packed {
			block = 4096
			z := zlib.NewWriter(data)
			z.Write(w.Bytes())
			z.Close()
		} else {
			data.Write(w.Bytes())
		}
		w.Reset()
		packing := byte(0)
		if packed {
			packing = 1
		}
		w.Write(archive(14, packing, func(a *archiveWriter) {
			a.entry(1, "TABLE DATA", "users", "COPY users FROM stdin;\n", true)
			a.write([]byte{1})
			a.int(1)
			for data.Len() > 0 {
				a.string(string(data.Next(block)))
			}
			a.int(0)
		}))
	}
}

func tarFile(w *writer) {
	t := tar.NewWriter(w)
	for i := range 16 {
		t.WriteHeader(&tar.Header{Name: fmt.Sprint("file", i), Mode: 0o644, Size: benchSize / 16})
		t.Write(w.random(benchSize / 16))
	}
	t.Close()
}
