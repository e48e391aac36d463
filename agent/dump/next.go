package dump

import (
	"bytes"
	"strings"
)

// A program that is killed stops in the middle of a line, a string, a function's body, a table's data. If another dump follows in
// the same file, as that of a loop over databases does, then all of it seems to be in there too, and its end that of the first. This
// file tells it from a whole dump that has the text of a dump in a string, a body or a table: by lines that cannot stand there.

// next is another dump that has begun, perhaps.
type next struct {
	kind  Kind
	lines int    // for so many lines more, what it begins with may be confirmed
	stump string // what stands before it in its line
	// In a table's data, and in a routine: it is certain that a dump has begun there, so many have that have not ended, and so many
	// tables of theirs have not ended.
	sure         bool
	open, tables int
}

// passed counts the lines.
func (n *next) passed() {
	if n.lines > 0 {
		n.lines--
	}
}

// Lines that follow the first line of a dump, within so many.
const (
	pgEncoding    = "SET client_encoding = '"
	pgConfirms    = 20
	mysqlHost     = "-- Host: "
	mysqlConfirms = 4
)

// sandbox is the line by which dumps of MariaDB begin since 2024.
const sandbox = `/*M!999999\- enable the sandbox mode */`

// beginning says whether s is a beginning of the first line of a dump.
func beginning(s string) bool {
	for _, first := range []string{pgBegin, pgClusterBegin, mysqlBegin, mariaBegin, sandbox} {
		if s != "" && strings.HasPrefix(first, s) {
			return true
		}
	}
	return false
}

// setsEncoding says whether a line sets the encoding as dumps do; in a string its quotes would be doubled.
func setsEncoding(line []byte) bool {
	name, ok := bytes.CutPrefix(line, []byte(pgEncoding))
	return ok && len(name) > 0 && wordly(name[0])
}

// killed: a dump was cut off, and another one follows.
func (t *text) killed() {
	if t.now == "" {
		t.note("begins with a dump that was cut off, and another dump follows: the program that made it was probably killed")
		return
	}
	t.note("ends %sand another dump follows: %s was probably killed", t.where(), programs[t.now])
}

// header is the first line of a dump of PostgreSQL. Two hyphens stand before it; they end a line if what came before did not.
func (t *text) header(kind Kind) {
	before := string(t.last)
	if t.blank {
		before = ""
	}
	stump, glued := strings.CutSuffix(before, "--")
	switch {
	case glued && beginning(stump), before == "--" && t.ended > 0 && t.ended == t.lines-2: // those are of the end before
		t.killed()
	case before == "--", t.postgres() && (t.open || t.cluster):
		t.begin(kind)
	default:
		t.next = next{kind: kind, lines: pgConfirms}
	}
}

// mysqlHeader is the first line of a dump of MySQL, or the second.
func (t *text) mysqlHeader(kind Kind) {
	at := bytes.LastIndex(t.last, []byte(sandbox))
	switch {
	case at > 0 && !t.blank && beginning(string(t.last[:at])):
		t.killed()
	case t.mysql(), t.kind == "" && t.lines < begins, t.done && !t.open && !t.cluster:
		t.begin(kind)
	}
}

// glued looks for the first line of a dump of MySQL behind something that ends in the middle of a line, which may come in pieces.
func (t *text) glued(raw []byte) {
	const most = 256
	if t.kind == "" && t.lines > begins {
		return
	}
	if len(t.tail) > 0 || raw[len(raw)-1] != '\n' {
		t.tail = append(t.tail, raw[max(0, len(raw)-most):]...)
		t.tail = append(t.tail[:0], t.tail[max(0, len(t.tail)-most):]...)
		if raw[len(raw)-1] != '\n' {
			return
		}
		raw = t.tail
	}
	line := trimmed(raw)
	if len(line) == 0 || line[len(line)-1] != ')' {
		return
	}
	line = line[max(0, len(line)-most):]
	for _, first := range []struct {
		line string
		kind Kind
	}{{mysqlBegin, MySQL}, {mariaBegin, MariaDB}} {
		if at := bytes.LastIndex(line, []byte(first.line)); at > 0 {
			t.next.kind, t.next.lines, t.next.stump = first.kind, mysqlConfirms, string(line[:at])
		}
	}
}

// confirmed: what looked like the first line of a dump is one.
func (t *text) confirmed() {
	if t.now == "" && beginning(t.next.stump) {
		t.killed()
		return
	}
	t.begin(t.next.kind)
}

// row is a line of a table's data. The lines of a whole dump may be the rows of a table; where they end, that dump has, and so have
// its tables, by \\. instead of \.
func (t *text) row(raw []byte) {
	n := &t.next
	n.passed()
	if n.lines == 0 && !n.sure && raw[0] != '\\' && raw[0] != '-' {
		return
	}
	switch line := trimmed(raw); {
	case string(line) == `\.`:
		if n.sure && (n.open > 0 || n.tables > 0) {
			t.killed()
		}
		t.after = append(append(t.after[:0], "table "...), t.copying...)
		t.copying, t.next = "", next{}
	case string(line) == pgBegin:
		n.lines = pgConfirms
		n.open++
	case string(line) == pgEnd:
		n.open = max(0, n.open-1)
	case n.lines > 0 && setsEncoding(line):
		n.sure = true
	case n.sure && string(line) == `\\.`:
		n.tables = max(0, n.tables-1)
	case n.sure && bytes.HasPrefix(line, []byte("COPY ")) && copyFrom.Match(line):
		n.tables++
	}
}

// literal is a line that begins in a string, an identifier, a dollar quote or a comment.
func (t *text) literal(line []byte) {
	switch t.lexer.in {
	case '\'', '"':
		if setsEncoding(line) {
			t.killed()
		}
	case '$': // pg_dump takes a tag that the body does not have
		if tag, ok := bytes.CutPrefix(line, []byte("    AS ")); ok && t.postgres() && bytes.HasPrefix(tag, t.lexer.tag) {
			t.killed()
		}
	}
}

// delimiter is a line that begins the body of a routine of MySQL, or ends it.
func (t *text) delimiter(line []byte) {
	if d, ok := bytes.CutPrefix(line, []byte("DELIMITER ")); ok {
		t.routine = string(bytes.TrimSpace(d)) != ";"
		t.next.sure = false
	}
}

// body is a line of a routine's body.
func (t *text) body(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte("DELIMITER ")):
		sure := t.next.sure
		t.delimiter(line)
		if t.routine && sure { // another routine follows one that has not ended
			t.killed()
		}
	case bytes.HasPrefix(line, []byte(mysqlBegin)), bytes.HasPrefix(line, []byte(mariaBegin)):
		t.next.lines = mysqlConfirms
	case t.next.lines > 0 && bytes.HasPrefix(line, []byte(mysqlHost)):
		t.next.sure = true
	case isCompleted(line):
		t.next.sure = false
	}
}
