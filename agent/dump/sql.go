package dump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// lookText reads text line by line: dumps in SQL say in comments where they begin and end. It holds the beginning of a line
// only, for a line may have gigabytes.
func lookText(r *bufio.Reader) finding {
	t := &text{}
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			t.line(line)
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			line, err = r.ReadSlice('\n')
			t.more(line)
		}
		t.literal = t.odd
		if err != nil {
			return t.finding(noEOF(err))
		}
	}
}

// text is what was seen of a text so far.
type text struct {
	kind Kind
	// open says that a dump has begun whose end was not seen, and done that one has ended.
	open, done bool
	cluster    bool   // of pg_dumpall, whose end is not seen
	copying    string // the table whose data is being read
	doubt      int    // for so many lines more, that data may be the header of another dump
	literal    bool   // in the middle of a string that has line ends in it
	odd        bool   // the number of quotes since that string may have begun
	after      string // what was begun last, outside of data
	problem    string
	lines      int
	dashes     bool // the line before was "--" alone
	first      string
	last       []byte
	meaning    bool // a line was not blank
}

// Comments by which programs mark their dumps.
const (
	pgBegin        = "-- PostgreSQL database dump"
	pgEnd          = "-- PostgreSQL database dump complete"
	pgVersion      = "-- Dumped from database version "
	pgClusterBegin = "-- PostgreSQL database cluster dump"
	pgClusterEnd   = "-- PostgreSQL database cluster dump complete"
	mysqlBegin     = "-- MySQL dump "
	mariaBegin     = "-- MariaDB dump "
	mysqlEnd       = "-- Dump completed"
)

// begins is the number of lines in which a header may stand.
const begins = 100

func (t *text) line(raw []byte) {
	t.lines++
	line := bytes.TrimRight(raw[:min(len(raw), 512)], "\r\n")
	dashes := len(line) == 2 && line[0] == '-' && line[1] == '-'
	afterDashes := t.dashes
	t.dashes = dashes
	if t.copying != "" {
		t.data(line, afterDashes)
		return
	}
	if t.literal {
		t.more(raw)
		return
	}
	if dashes || len(line) == 0 {
		return
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if !t.meaning {
		t.meaning, t.first = true, string(line)
	}
	t.last = append(t.last[:0], line...)
	if line[0] == '-' && len(line) > 3 && line[1] == '-' {
		t.comment(string(line), afterDashes)
		return
	}
	t.statement(line, raw)
}

// data is a line of a table's data, or where pg_dump was killed, of another dump that follows.
func (t *text) data(line []byte, afterDashes bool) {
	t.doubt--
	switch {
	case len(line) == 2 && line[0] == '\\' && line[1] == '.':
		t.after, t.copying = "table "+t.copying, ""
	case afterDashes && (string(line) == pgBegin || string(line) == pgClusterBegin):
		t.doubt = 8 // somebody may keep the text of dumps in a table
	case t.doubt > 0 && bytes.HasPrefix(line, []byte(pgVersion)):
		t.note("ends in the middle of table %s, and another dump follows: pg_dump was probably killed", t.copying)
		t.copying = ""
	}
}

// more is text in which a string may end.
func (t *text) more(raw []byte) {
	if t.odd || t.literal {
		t.odd = t.odd != (bytes.Count(raw, []byte("'"))%2 == 1)
	}
}

// comment is a line that begins with two hyphens.
func (t *text) comment(line string, afterDashes bool) {
	switch {
	case afterDashes && line == pgBegin:
		t.begin(PostgresPlain)
	case afterDashes && line == pgClusterBegin:
		t.begin(PostgresCluster)
		t.cluster = true
	case afterDashes && line == pgEnd && t.postgres():
		t.end(false)
	case afterDashes && line == pgClusterEnd && t.postgres():
		t.end(true)
	case strings.HasPrefix(line, mysqlBegin) && (t.lines < begins || t.mysql()):
		t.begin(MySQL)
	case strings.HasPrefix(line, mariaBegin) && (t.lines < begins || t.mysql()):
		t.begin(MariaDB)
	case strings.HasPrefix(line, mysqlEnd) && t.mysql():
		t.end(false)
	case afterDashes && t.kind == "" && (line == pgEnd || line == pgClusterEnd), strings.HasPrefix(line, mysqlEnd) && t.kind == "":
		t.note("has its end (%q) and not its beginning", line)
	default:
		t.place(line)
	}
}

func (t *text) postgres() bool { return t.kind == PostgresPlain || t.kind == PostgresCluster }

func (t *text) mysql() bool { return t.kind == MySQL || t.kind == MariaDB }

func (t *text) begin(kind Kind) {
	if t.open && !t.cluster {
		t.note("ends %sand another dump follows: the program that made it was probably killed", t.where())
	}
	if t.kind == "" {
		t.kind = kind
	}
	t.open, t.done = true, false
}

func (t *text) end(cluster bool) {
	if cluster {
		t.cluster = false
	}
	t.open, t.done = false, true
}

// places are comments and statements that say which table comes next.
var places = []*regexp.Regexp{
	regexp.MustCompile(`^-- (?:Data for )?Name: (?P<name>[^;]+); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>[^;]+);`),
	regexp.MustCompile("^-- (?:Dumping data for|Table structure for) table `(?P<name>[^`]+)`"),
}

func (t *text) place(line string) {
	if m := places[0].FindStringSubmatch(line); m != nil {
		name := m[1]
		if m[3] != "-" {
			name = m[3] + "." + m[1]
		}
		t.after = strings.TrimSuffix(strings.ToLower(m[2]), " data") + " " + name
	} else if m := places[1].FindStringSubmatch(line); m != nil {
		t.after = "table " + m[1]
	}
}

var (
	copyFrom = regexp.MustCompile(`^COPY ((?:"(?:[^"]|"")*"|[^ ("])+) .*FROM stdin;$`)
	// complaint is a line that a program wrote which should have written a dump.
	complaint = regexp.MustCompile(`^(?:[A-Za-z]:)?[\w./\\-]*\b(pg_dump|pg_dumpall|mysqldump|mariadb-dump|mysql|mongodump|sqlite3|psql)(?:\.exe|\.bin)?: (?:(error|fatal|detail|Got error|Error|Couldn't|\[archiver|\[Warning\]|Warning)\b.*|\[.*)`)
	// failure is a message of some other program, alone in a short file.
	failure = regexp.MustCompile(`^(?i:usage: |error: |fatal: |error response )|^(?:[\w./-]*/)?(?:(?:ba|da|k|z)?sh|docker|podman|kubectl|ssh|sudo|su|env|nice|timeout|gzip|pigz|zstd|bzip2|xz|sqlite3|redis-cli|mongodump|cat|tee)(?:\[\d+\])?: (?i).*\b(?:errors?|fatal|denied|not found|no such|failed|failure|refused|cannot|could not|unable|killed|no space left|timed? ?out)\b`)
)

// statement is a line that is no comment and no data; raw is more of it.
func (t *text) statement(line, raw []byte) {
	switch c := line[0]; {
	case c == 'C' && t.postgres() && bytes.HasPrefix(line, []byte("COPY ")):
		if m := copyFrom.FindSubmatch(line); m != nil {
			t.copying = string(m[1])
		}
	case c == 'I' && t.postgres() && bytes.HasPrefix(line, []byte("INSERT INTO ")):
		_, values, _ := bytes.Cut(raw, []byte(" VALUES "))
		t.odd = bytes.Count(values, []byte("'"))%2 == 1
	case c == '\\' && (bytes.HasPrefix(line, []byte(`\unrestrict `)) || bytes.HasPrefix(line, []byte(`\restrict `))):
		return
	case (c >= 'a' && c <= 'z' || c == '/') && complaint.Match(line):
		t.note("holds a message of the program that should have written it: %q", short(string(line)))
		return
	case t.lines <= 2 && string(line) == "PRAGMA foreign_keys=OFF;":
		t.kind = SQLiteText
	}
	if t.done && !t.cluster && t.problem == "" && !harmless(line) {
		t.note("goes on after its completion line: %q", short(string(line)))
	}
}

// harmless lines may follow the end of a dump: settings that are put back, and what others wrap around a dump.
func harmless(line []byte) bool {
	return slices.ContainsFunc([]string{"/*", "SET ", "COMMIT"}, func(p string) bool { return bytes.HasPrefix(line, []byte(p)) })
}

// note keeps the first problem.
func (t *text) note(format string, args ...any) {
	if t.problem == "" {
		t.problem = "it " + fmt.Sprintf(format, args...)
	}
}

func short(s string) string {
	const most = 120
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + " ..."
	}
	return s
}

// where is the place of the last line, for people, with a space behind it.
func (t *text) where() string {
	if t.at() == "" {
		return ""
	}
	return "in the middle of " + t.at() + " "
}

// at is the table in which the last line is, or after which; empty: it is behind all of them.
func (t *text) at() string {
	switch {
	case t.copying != "":
		return "table " + t.copying
	case t.done && !t.open && !t.cluster:
		return ""
	}
	return t.after
}

// programs are what makes each kind.
var programs = map[Kind]string{PostgresPlain: "pg_dump", PostgresCluster: "pg_dumpall", MySQL: "mysqldump", MariaDB: "mariadb-dump"}

func (t *text) finding(err error) finding {
	f := finding{kind: t.kind, at: t.at(), err: err, problem: t.problem}
	if err != nil || f.problem != "" {
		return f
	}
	switch {
	case !t.meaning:
		f.problem = "it holds nothing but white space"
	case t.kind == SQLiteText && bytes.HasPrefix(t.last, []byte("COMMIT;")):
		f.whole = true
	case t.kind == SQLiteText && bytes.HasPrefix(t.last, []byte("ROLLBACK;")):
		f.problem = "it ends in ROLLBACK: sqlite3 met errors in the database"
	case t.kind == SQLiteText:
		f.problem = "it does not end in COMMIT: sqlite3 was probably killed"
	case t.open || t.cluster || t.copying != "":
		f.problem = fmt.Sprintf("it ends %swithout a completion line: %s was probably killed", t.where(), programs[t.kind])
	case t.done:
		f.whole = true
	case t.lines <= 20 && failure.MatchString(t.first):
		f.problem = fmt.Sprintf("it looks like an error message: %q", short(t.first))
	}
	return f
}
