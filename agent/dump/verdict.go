package dump

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

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
	case t.first == "":
		f.problem = "it holds nothing but white space"
	case t.kind == SQLiteText && bytes.HasPrefix(t.last, []byte("COMMIT;")):
		f.whole = true
	case t.kind == SQLiteText && bytes.HasPrefix(t.last, []byte("ROLLBACK;")):
		f.problem = "it ends in ROLLBACK: sqlite3 met errors in the database"
	case t.kind == SQLiteText:
		f.problem = "it does not end in COMMIT: sqlite3 was probably killed"
	case t.open || t.cluster || t.copying != "":
		f.problem = fmt.Sprintf("it ends %swithout a completion line: %s was probably killed", t.where(), programs[t.kind])
	case t.restrict != "":
		f.problem = `it ends before its \unrestrict line: pg_dump was probably killed`
	case t.partial && !t.blank && len(t.last) > len("-- ") && beginning(string(t.last)):
		f.problem = fmt.Sprintf("it ends in the first line of a dump (%q): the program that made it was probably killed", t.last)
	case t.done:
		f.whole = true
	case t.said != "" && (t.bad || t.said == t.first):
		t.message(t.said)
		f.problem = t.problem
	case t.lines <= 20 && failure.MatchString(t.first):
		f.problem = fmt.Sprintf("it looks like an error message: %q", short(t.first))
	}
	return f
}
