package drill

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
)

// filtered runs a text through the filter; every database that it names is scratch_NAME.
func filtered(text string) (string, error) {
	var out bytes.Buffer
	f := &filter{in: bufio.NewReaderSize(strings.NewReader(text), 64), out: &out, database: func(name string) (string, error) { return "scratch_" + name, nil }}
	err := f.run()
	return out.String(), err
}

func TestTheFilter(t *testing.T) {
	for _, c := range []struct{ name, in, out string }{
		{"data and definitions pass", "CREATE TABLE a (b int);\nCOPY public.a (b) FROM stdin;\n\\N\n1\\tx\n\\! rm -rf /\n\\.\nSELECT 1;\n", ""},
		{"roles and other databases do not", "CREATE ROLE bob;\nALTER TABLE public.a OWNER TO bob;\nGRANT ALL ON a TO bob;\nDROP DATABASE shop;\nCREATE DATABASE shop WITH\n OWNER = bob;\nALTER DATABASE shop OWNER TO bob;\nSET default_tablespace = fast;\nSELECT 1;\n", "SELECT 1;\n"},
		{"psql is connected to the scratch database", "\\connect shop\n\\connect -reuse-previous=on \"dbname='odd'\"\n", "\\connect scratch_shop\n\\connect scratch_odd\n"},
		{"restrict", "\\restrict abc\nSELECT 1;\n\\unrestrict abc\n", "SELECT 1;\n"},
		{"a function with what looks like commands", "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$\n\\connect shop\nDROP DATABASE shop;\n';$x$\n$_$;\nSELECT 1;\n", ""},
		{"a string with line ends", "INSERT INTO a VALUES ('it''s\n\\! ls\nGRANT x;\n');\nSELECT 2;\n", ""},
		{"an escape string", "INSERT INTO a VALUES (E'\\'\n\\\\! ls;\n');\nSELECT 2;\n", ""},
		{"cleaning", "SELECT 0;\nALTER TABLE ONLY public.a DROP CONSTRAINT k;\nDROP VIEW v;\nCREATE OR REPLACE VIEW w AS\nSELECT\n 1 AS a;\nDROP TABLE a;\nCREATE TABLE a (b int);\nDROP TABLE a;\n", "SELECT 0;\nCREATE TABLE a (b int);\nDROP TABLE a;\n"},
		{"rows that would be hidden", "ALTER TABLE ONLY public.a FORCE ROW LEVEL SECURITY;\nCREATE POLICY p ON a\n USING (true);\nCOMMENT ON POLICY p ON a IS ';';\nCOMMENT ON EXTENSION plpgsql IS 'x';\nCOMMENT ON SCHEMA public IS 'x';\nSELECT 1;\n", "SELECT 1;\n"},
		{"comments", "/* a /* b */ \n\\! c\n*/ SELECT 1; -- it's\nSELECT 2;\n", ""},
		{"an owner in a string is none", "INSERT INTO a VALUES ('ALTER x OWNER TO y;');\n", ""},
		{"identifiers", "ALTER TABLE \"odd \"\"name;\" OWNER TO \"some body\";\nCREATE TABLE \"a;b\" (c int);\n", "CREATE TABLE \"a;b\" (c int);\n"},
		{"a statement that is left out over several lines, with a semicolon in a string", "CREATE ROLE x\n PASSWORD ';\n' LOGIN;\nSELECT 3;\n", "SELECT 3;\n"},
		{"no line end at the end", "SELECT 1;", ""},
		{"several statements in a line", "/* x */ DROP DATABASE shop; SELECT 1; /**/GRANT x; SELECT 2;\n", " SELECT 1; SELECT 2;\n"},
		{"catalogs of the server", "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = 'template1';\nINSERT INTO public.pg_notes VALUES (1);\n", "INSERT INTO public.pg_notes VALUES (1);\n"},
		{"rules and bodies of functions", "CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO a VALUES (1);\n DROP ROLE x;\n);\nCREATE FUNCTION f() RETURNS int\n LANGUAGE sql\nBEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\nGRANT x;\nEND;\nGRANT x;\nSELECT 1;\n",
			"CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO a VALUES (1);\n DROP ROLE x;\n);\nCREATE FUNCTION f() RETURNS int\n LANGUAGE sql\nBEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\nGRANT x;\nEND;\nSELECT 1;\n"},
		{"odd names", "\\encoding SQL_ASCII\n\\connect -reuse-previous=on \"dbname='my-app\\'s \"\"odd\"\" one'\"\n\\connect \"a\"\"b\"\n", "\\connect scratch_my-app's \"odd\" one\n\\connect scratch_a\"b\n"},
		{"strings with backslashes", "SET standard_conforming_strings = off;\nSELECT 'a\\'; GRANT x;';\nGRANT x;\nSET standard_conforming_strings = on;\nSELECT 'a\\'; GRANT x;\n", "SET standard_conforming_strings = off;\nSELECT 'a\\'; GRANT x;';\nSET standard_conforming_strings = on;\nSELECT 'a\\';"},
		{"an escape after a number", "SELECT 1E'\\'; GRANT x;';\n", ""},
		{"a parameter is no dollar quote", "PREPARE p AS SELECT $1, a$b$c;\nGRANT x;\n", "PREPARE p AS SELECT $1, a$b$c;\n"},
	} {
		if c.out == "" {
			c.out = c.in
		}
		if got, err := filtered(c.in); err != nil || got != c.out {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.out)
		}
	}
	for _, bad := range []string{"\\! ls\n", "SELECT 1 \\! ls\n", "\\copy a to program 'x'\n", "\\i /etc/passwd\n", "SELECT 1; \\connect shop\n", "SELECT\n\\gexec\n", "\\o x\n", "E\\!\n", "SELECT E'a'\n'\\'\n\\! ls\n"} {
		if got, err := filtered("SELECT 0;\n" + bad); !errors.Is(err, errCommand) || strings.Contains(got, "\\") {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	for _, bad := range []string{"COPY a FROM PROGRAM 'ls';\n", "COPY (SELECT 1) TO '/etc/x';\n", "copy a to program 'sh';\n", "/* x */ COPY\n a\n TO PROGRAM 'sh';\n", "COPY a FROM stdin; SELECT 1;\n\\! ls\n"} {
		if _, err := filtered(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// Whatever the text, no line reaches psql that begins with a backslash where psql would take it for a command, but the
// connections to scratch databases.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"COPY a FROM stdin;\n\\.\n\\! x\n", "$a$\n\\!\n$a$", "'\n\\!'", "E'\\'\n\\! x", "/*\n\\!*/", "\"\n\\!", "GRANT ';\n\\! x", "SELECT 1;\r\\! x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, _ := filtered(text)
		again, err := filtered(strings.ReplaceAll(got, "\\connect scratch_", "\\connect "))
		if errors.Is(err, errCommand) {
			t.Errorf("%q gives %q, which the filter itself refuses", text, again)
		}
	})
}
