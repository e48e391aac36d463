package dump

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// lookText reads text line by line: dumps in SQL say in comments where they begin and end. Such a comment in data, in a string or
// in a function's body says nothing. It holds a piece of a line only, for a line may have gigabytes, and stops at the first problem.
func lookText(r *bufio.Reader, _ *allowance) finding {
	t := &text{}
	return t.finding(t.read(r))
}

func (t *text) read(r *bufio.Reader) error {
	for t.problem == "" {
		t.pass(r)
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			t.line(line)
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			line, err = r.ReadSlice('\n')
			t.more(line)
		}
		if err != nil {
			return noEOF(err)
		}
	}
	return nil
}

// text is what was seen of a text so far.
type text struct {
	kind Kind // of the first dump
	now  Kind // of the one that is being read, or was last
	// open says that a dump has begun whose end was not seen, cluster that one of pg_dumpall has, and done that one has ended.
	open, cluster, done bool
	restrict            string // the key of the \restrict that is in force
	ended               int    // the line in which a dump ended last
	behind              bool   // something but comments came after it
	copying             string // the table whose data is being read
	lexer               lexer  // what else the text is in
	routine             bool   // it is in the body of a routine of MySQL
	next                next   // another dump, perhaps
	after               []byte // what was begun last, outside of data
	problem             string
	said                string // by a dump program, before any dump began
	bad                 bool   // it was no mere remark
	lines               int
	first               string // the first line that says something
	last                []byte // the beginning of the last line that is not blank, outside of data
	blank               bool   // the last line was
	tail                []byte // the end of a line that comes in pieces
	partial             bool   // the last line has no end
}

// Comments by which programs mark their dumps.
const (
	pgBegin        = "-- PostgreSQL database dump"
	pgEnd          = "-- PostgreSQL database dump complete"
	pgClusterBegin = "-- PostgreSQL database cluster dump"
	pgClusterEnd   = "-- PostgreSQL database cluster dump complete"
	mysqlBegin     = "-- MySQL dump "
	mariaBegin     = "-- MariaDB dump "
	mysqlEnd       = "-- Dump completed"
)

// completed is the last line of a dump of MySQL, whole: what was cut off may end in the middle of it.
var completed = regexp.MustCompile(`^` + mysqlEnd + `(?: on .*\d:\d\d:\d\d(?: \S+)?)?$`)

func isCompleted(line []byte) bool {
	return bytes.HasPrefix(line, []byte(mysqlEnd)) && completed.Match(line)
}

// begins is the number of lines in which a header of MySQL may stand.
const begins = 100

// line is a line, or the first piece of one.
func (t *text) line(raw []byte) {
	t.lines++
	t.partial = raw[len(raw)-1] != '\n'
	if t.copying != "" {
		t.row(raw)
		return
	}
	if t.lines == 1 {
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")) // Windows marks UTF-8 so
	}
	t.next.passed()
	line := head(raw)
	switch blank := len(bytes.TrimSpace(line)) == 0; {
	case t.lexer.in != 0:
		t.literal(line)
	case t.routine:
		t.body(line)
	case !blank:
		t.code(line, raw)
	}
	t.tail = t.tail[:0]
	t.follow(raw)
	if t.blank = len(line) == 0; !t.blank {
		t.last = append(t.last[:0], line...)
	}
}

// more is another piece of the line.
func (t *text) more(raw []byte) {
	if len(raw) == 0 {
		return
	}
	t.partial = raw[len(raw)-1] != '\n'
	if t.copying == "" {
		t.follow(raw)
	}
}

// follow follows what is no data to its end, in pieces.
func (t *text) follow(raw []byte) {
	switch {
	case !t.postgres() && t.now != SQLiteText:
		t.glued(raw)
	case t.now == SQLiteText, t.open, t.cluster:
		t.lexer.feed(raw)
	}
}

// code is a line outside of data, strings and the like.
func (t *text) code(line, raw []byte) {
	hyphens := len(line) >= 2 && line[0] == '-' && line[1] == '-'
	if t.first == "" && (!hyphens || len(line) > 2) {
		t.first = string(line)
	}
	switch {
	case hyphens && len(line) > 3:
		t.comment(line)
	case !hyphens:
		t.statement(line, raw)
	}
}

func (t *text) comment(line []byte) {
	switch {
	case string(line) == pgBegin:
		t.header(PostgresPlain)
	case string(line) == pgClusterBegin:
		t.header(PostgresCluster)
	case string(line) == pgEnd, string(line) == pgClusterEnd:
		t.trailer(string(line))
	case bytes.HasPrefix(line, []byte(mysqlBegin)):
		t.mysqlHeader(MySQL)
	case bytes.HasPrefix(line, []byte(mariaBegin)):
		t.mysqlHeader(MariaDB)
	case t.next.lines > 0 && bytes.HasPrefix(line, []byte(mysqlHost)):
		t.confirmed()
	case isCompleted(line):
		t.mysqlTrailer(string(line))
	case line[2] == ' ':
		t.place(line)
	}
}

func (t *text) postgres() bool { return t.now == PostgresPlain || t.now == PostgresCluster }

func (t *text) mysql() bool { return t.now == MySQL || t.now == MariaDB }

// begin is the beginning of a dump.
func (t *text) begin(kind Kind) {
	cluster := kind == PostgresCluster
	if t.open || t.cluster && cluster || t.restrict != "" {
		t.killed()
	}
	t.kind, t.now = cmp.Or(t.kind, kind), kind
	if t.said != "" {
		t.message(t.said)
	}
	t.open, t.cluster, t.behind = !cluster, t.cluster || cluster, false
	t.lexer, t.next = lexer{}, next{}
}

// trailer is the line by which a dump of PostgreSQL ends, or a cluster.
func (t *text) trailer(line string) {
	cluster := line == pgClusterEnd
	switch {
	case t.kind == "" && (t.blank || string(t.last) != "--"), t.kind != "" && !t.postgres():
		return // somebody's own comment
	case cluster && t.cluster && t.open:
		t.note("ends %swithout a completion line, though the cluster has one", t.where())
	case cluster && t.cluster, !cluster && t.open:
		t.end()
		t.cluster = t.cluster && !cluster
	case t.kind == "" || t.behind:
		t.note("has its end (%q) and not its beginning", line)
	}
}

func (t *text) mysqlTrailer(line string) {
	switch {
	case t.mysql() && t.open:
		t.end()
	case t.kind == "", t.mysql() && t.behind:
		t.note("has its end (%q) and not its beginning", line)
	}
}

func (t *text) end() {
	t.open, t.done, t.behind, t.ended = false, true, false, t.lines
}

var copyFrom = regexp.MustCompile(`^COPY ((?:"(?:[^"]|"")*"|[^ ("])+) .*FROM stdin;$`)

// statement is the beginning of a line that is no comment and no data; raw is more of it.
func (t *text) statement(line, raw []byte) {
	switch c := line[0]; {
	case c == '\\' && t.restricted(line):
		return
	case c == 'C' && t.postgres() && bytes.HasPrefix(line, []byte("COPY ")):
		if m := copyFrom.FindSubmatch(trimmed(raw)); m != nil {
			t.copying, t.next = string(m[1]), next{}
		}
	case c == 'S' && t.next.lines > 0 && setsEncoding(line):
		t.confirmed()
	case c == 'D' && t.mysql():
		t.delimiter(line)
	case t.lines <= 2 && string(line) == "PRAGMA foreign_keys=OFF;":
		t.kind, t.now = SQLiteText, SQLiteText
	default:
		t.complaint(line)
	}
	t.behind = true
}

// restricted says whether a line is psql's \restrict or \unrestrict, between which psql takes no commands.
func (t *text) restricted(line []byte) bool {
	if key, ok := bytes.CutPrefix(line, []byte(`\restrict `)); ok {
		t.restrict = string(key)
		return true
	}
	key, ok := bytes.CutPrefix(line, []byte(`\unrestrict `))
	if ok && string(key) == t.restrict {
		t.restrict = ""
	}
	return ok
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

// head is what is looked at of a line.
func head(raw []byte) []byte { return trimmed(raw[:min(len(raw), 512)]) }

// trimmed is a line without its end.
func trimmed(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
