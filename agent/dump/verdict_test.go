package dump

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The same as these expressions say, which are too slow for a dump of many small tables.
func TestPlaces(t *testing.T) {
	postgres := regexp.MustCompile(`^(?:Data for )?Name: ([^;]+); Type: ([A-Z ]+); Schema: ([^;]+);`)
	mysql := regexp.MustCompile("^(?:Dumping data for|Table structure for) table `([^`]+)`")
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"Data for ", "Name: ", "; Type: ", "; Schema: ", ";", " ", "a", "B C", "TABLE DATA", "VIEW", "-", "`", "Dumping data for table `",
			"Table structure for table `", "Name: a; Type: TABLE DATA; Schema: ", "Name: b; Type: ", "Name: ; Type: VIEW; Schema: c;", "d;"})).Draw(t, "parts"), "")
	})
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		kind, schema, name, ok := pgPlace([]byte(s))
		if m := postgres.FindStringSubmatch(s); ok != (m != nil) || ok && (string(name) != m[1] || string(kind) != m[2] || string(schema) != m[3]) {
			t.Fatalf("%q: %q %q %q %v, want %q", s, kind, schema, name, ok, m)
		}
		table, ok := mysqlPlace([]byte(s))
		if m := mysql.FindStringSubmatch(s); ok != (m != nil) || ok && string(table) != m[1] {
			t.Fatalf("%q: %q %v, want %q", s, table, ok, m)
		}
	})
}
