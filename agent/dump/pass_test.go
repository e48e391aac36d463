package dump

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// scenes are how texts begin of which lines are passed over, and of which none may be.
var scenes = []string{
	"notes\n",
	strings.Repeat("notes\n", begins+1),
	strings.Repeat("\n", begins+1),
	"--\n" + pgBegin + "\n--\n\n",
	"--\n" + pgBegin + "\n--\n\nCOPY a (b) FROM stdin;\n",
	"--\n" + pgBegin + "\n--\n\n--\n" + pgEnd + "\n--\n\n" + strings.Repeat("SELECT 1;\n", begins),
	"--\n" + pgBegin + "\n--\n\n" + strings.Repeat("SELECT 1;\n", begins),
	"--\n" + pgClusterBegin + "\n--\n\n" + strings.Repeat("SELECT 1;\n", begins),
	mysqlBegin + "10.13\n--\n" + mysqlHost + "localhost\n\n" + strings.Repeat("SELECT 1;\n", begins),
	mariaBegin + "10.19\n--\n" + mysqlHost + "localhost\n\n" + strings.Repeat("SELECT 1;\n", begins) + "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN\n",
	mysqlBegin + "10.13\n--\n" + mysqlHost + "localhost\n\n" + mysqlEnd + "\n" + strings.Repeat("SELECT 1;\n", begins),
	"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n" + strings.Repeat("INSERT INTO a VALUES(1);\n", begins),
}

// pieces are what dumps are made of, and what only looks so.
var pieces = []string{
	"", "--", "  ", "\t", "\u00a0", "\xef\xbb\xbf", "\r", "- a", "-1\t2", "1\tuser", "1\tuser", "1\tuser", `\N	1`, `\.`, `\\.`, `\restrict x`, `\unrestrict x`, `\connect shop`,
	pgBegin, pgEnd, "--\n" + pgBegin + "\n--", "--\n" + pgEnd + "\n--\n", pgBegin + "\n" + pgEncoding + "UTF8';", "-- Postgre", "a);" + mysqlBegin + "10.13\n" + mysqlHost + "localhost",
	mysqlBegin + "10.13", mysqlHost + "localhost", sandbox, mysqlEnd, mysqlEnd + " on 2026-11-22  3:00:01",
	pgEncoding + "UTF8';", "COPY a (b) FROM stdin;", `COPY public."a b" (b) FROM stdin;`, "COPY a", "COMMIT;", "ROLLBACK;", "Data", "Stop",
	"-- Name: a; Type: TABLE DATA; Schema: public; Owner: x", "-- Name: b; Type: VIEW; Schema: -; Owner: x", "-- Dumping data for table `a`",
	"INSERT INTO a VALUES (1, 'it''s');", "INSERT INTO a VALUES ('", "');", "INSERT INTO a VALUES (1)", ",(2)", "\t(3),", `"`, "$$", "    AS $_$", "$_$;", "/*", "*/", "CREATE TABLE a (", "end",
	"DELIMITER ;;", "DELIMITER ;", "name: value", "warning: x", "a: b: c", "notes", "notes", "Ünicode", "{\"a\": 1}", strings.Repeat("x", 511) + "\r" + strings.Repeat("y", 200), strings.Repeat("x", 5000) + ")",
	strings.Repeat("x", 300) + "(" + mysqlBegin + "10.13 (x)", mysqlBegin + "10.13  Distrib 8.0.35, for Linux (x86_64)", "x" + mysqlBegin + "10.13  Distrib 8.0.35, for Linux (x86_64)",
	"x" + mysqlBegin + "10.13  Distrib 8.0.35, for Linux (x86_64)\n--\n" + mysqlHost + "localhost",
}

// messages stop the reading of a dump, so they are rare.
var messages = []string{"pg_dump: error: x", "/usr/bin/pg_dumpall: reading schemas", `C:\x\pg_dump.exe: error: x`, "mysqldump: [Warning] x", "Warning: A partial dump of", "error: x", "ERROR RESPONSE from daemon",
	"gzip: stdout: No space left on device", "/bin/sh: 1: pg_dump: not found"}

// made draws a text that begins so and goes on with lines of pieces, of which some are the same.
func made(t *rapid.T, scene string) []byte {
	piece := rapid.SampledFrom(pieces)
	end := rapid.SampledFrom([]string{"\n", "\n", "\n", "\n", "\n", "\r\n", ""})
	b := []byte(scene)
	for range rapid.IntRange(1, 20).Draw(t, "lines") {
		line := piece.Draw(t, "piece") + end.Draw(t, "end")
		times := rapid.SampledFrom([]int{1, 1, 1, 1, 3}).Draw(t, "times")
		b = append(b, strings.Repeat(line, times)...)
	}
	if rapid.IntRange(0, 9).Draw(t, "said") == 0 {
		b = append(b, rapid.SampledFrom(messages).Draw(t, "message")+"\nnotes\n"...)
	}
	return b
}

// Whatever is passed over, and in which pieces the bytes come: all that is known of a text in the end is the same. Byte by byte
// nothing is ever passed over.
func TestPassingOverLinesLosesNothing(t *testing.T) {
	for _, scene := range scenes {
		rapid.Check(t, func(t *rapid.T) {
			b := made(t, scene)
			want := read(t, iotest.OneByteReader(bytes.NewReader(b)))
			sizes := rapid.SliceOfN(rapid.IntRange(1, 500), 1, 10).Draw(t, "sizes")
			for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "halves": iotest.HalfReader(bytes.NewReader(b)), "parts": &parts{b, sizes}} {
				if got := read(t, r); !reflect.DeepEqual(got, want) {
					t.Fatalf("%s:\n%+v\nbyte by byte:\n%+v", name, got, want)
				}
			}
		})
	}
}

// read has a small buffer, for which some lines are too long.
func read(t *rapid.T, r io.Reader) *text {
	x := &text{}
	if err := x.read(bufio.NewReaderSize(r, 4096)); err != nil {
		t.Fatal(err)
	}
	return x
}

// parts reads b in parts of these sizes, in turns.
type parts struct {
	b     []byte
	sizes []int
}

func (p *parts) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.b[:min(len(p.b), p.sizes[0])])
	p.b, p.sizes = p.b[n:], append(p.sizes[1:], p.sizes[0])
	return n, nil
}

// However many lines there are, they are no reason to allocate.
func TestNoLineTakesMemory(t *testing.T) {
	const few, many = 200, 1000
	for _, line := range []string{
		"notes\n", "INSERT INTO a VALUES (1, 'it''s');\n", "1\tuser\n", "\\N\t1\n", "-- some comment\n", "\n",
		"-- Name: a; Type: TABLE DATA; Schema: public; Owner: x\n", "-- Dumping data for table `a`\n", "AS $_$\n-- it's $1\n$_$;\n",
	} {
		for _, scene := range scenes {
			allocs := func(lines int) float64 {
				b := []byte(scene + strings.Repeat(line, lines))
				return testing.AllocsPerRun(1, func() { Examine(bytes.NewReader(b), int64(len(b)), Limits{}) })
			}
			if more := allocs(many) - allocs(few); more > (many-few)/2 {
				t.Errorf("%q after %q: %.0f allocations more for %d lines more", line, scene[:min(len(scene), 40)], more, many-few)
			}
		}
	}
}
