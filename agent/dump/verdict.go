package dump

import (
	"bytes"
	"fmt"
)

// place is for comments that say what comes next.
func (t *text) place(comment []byte) {
	text := comment[len("-- "):]
	if kind, schema, name, ok := pgPlace(text); ok {
		t.after = t.after[:0]
		for _, c := range bytes.TrimSuffix(kind, []byte(" DATA")) {
			t.after = append(t.after, c|0x20) // a small letter; a space stays one
		}
		t.after = append(t.after, ' ')
		if string(schema) != "-" {
			t.after = append(append(t.after, schema...), '.')
		}
		t.after = append(t.after, name...)
	} else if table, ok := mysqlPlace(text); ok {
		t.after = append(append(t.after[:0], "table "...), table...)
	}
}

// pgPlace reads "Name: users; Type: TABLE DATA; Schema: public; Owner: shop".
func pgPlace(text []byte) (kind, schema, name []byte, ok bool) {
	text = bytes.TrimPrefix(text, []byte("Data for "))
	var values [3][]byte
	for i, label := range [...]string{"Name: ", " Type: ", " Schema: "} {
		field, rest, found := bytes.Cut(text, []byte(";"))
		value, labelled := bytes.CutPrefix(field, []byte(label))
		if !found || !labelled || len(value) == 0 {
			return nil, nil, nil, false
		}
		values[i], text = value, rest
	}
	for _, c := range values[1] {
		if c != ' ' && (c < 'A' || c > 'Z') {
			return nil, nil, nil, false
		}
	}
	return values[1], values[2], values[0], true
}

// mysqlPlace reads "Dumping data for table `users`".
func mysqlPlace(text []byte) (table []byte, ok bool) {
	for _, begin := range [...]string{"Dumping data for table `", "Table structure for table `"} {
		if rest, ok := bytes.CutPrefix(text, []byte(begin)); ok {
			table, _, found := bytes.Cut(rest, []byte("`"))
			return table, found && len(table) > 0
		}
	}
	return nil, false
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
	return string(t.after)
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
