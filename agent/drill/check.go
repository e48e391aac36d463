package drill

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Check asks a restored database for one value.
type Check struct {
	// SQL gives one row with one column.
	SQL string
	// Expect says what the value should be.
	Expect Expect
	// Database is the one that is asked, by its name in a dump of a whole cluster; empty: the only one that has tables.
	Database string
}

// Checked is what came of a Check. Which check it was is told by database and SQL together: the same SQL may be asked of several databases.
type Checked struct {
	// Database is that of the Check, as it was written there.
	Database string `json:"database,omitempty"`
	SQL      string `json:"sql"`
	Expect   string `json:"expect"`
	Got      string `json:"got"`
	OK       bool   `json:"ok"`
}

// Expect compares a value with what it should be. The zero Expect wants any value but none.
type Expect struct {
	text    string
	op      string
	value   string
	number  float64
	numeric bool
	ofLast  bool // number is a percentage of the value of the last drill that passed
}

var (
	comparison = regexp.MustCompile(`(?s)^(>=|<=|==|!=|<>|=|<|>)\s*(.+)$`)
	percentage = regexp.MustCompile(`^(\d+(?:\.\d+)?)\s*%\s*of\s+(?:the\s+)?last(?:\s+drill)?$`)
)

// ParseExpect reads a comparison: an operator (> >= = != <= <) and a number or text, such as "> 100"; or a part of the value of the
// last drill that passed, such as ">= 90% of last", which can be written "not less than 90 % of the last drill".
func ParseExpect(text string) (Expect, error) {
	trimmed := strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(trimmed, "not less than "); ok {
		trimmed = ">= " + rest
	}
	if rest, ok := strings.CutPrefix(trimmed, "not more than "); ok {
		trimmed = "<= " + rest
	}
	m := comparison.FindStringSubmatch(trimmed)
	if m == nil {
		return Expect{}, errors.New(`should be a comparison such as "> 100", "= yes" or ">= 90% of last"`)
	}
	e := Expect{text: text, op: m[1], value: strings.TrimSpace(m[2])}
	switch e.op {
	case "==":
		e.op = "="
	case "<>":
		e.op = "!="
	}
	if p := percentage.FindStringSubmatch(e.value); p != nil {
		e.ofLast, e.numeric = true, true
		e.number, _ = strconv.ParseFloat(p[1], 64)
		return e, nil
	}
	number, err := strconv.ParseFloat(e.value, 64)
	e.number, e.numeric = number, err == nil
	if !e.numeric && e.op != "=" && e.op != "!=" {
		return Expect{}, fmt.Errorf("%q is no number; %s compares numbers", e.value, e.op)
	}
	return e, nil
}

// String is the comparison as it was written; empty for the zero Expect.
func (e Expect) String() string { return e.text }

// Holds says whether a value is as expected. last is the value of the last drill that passed; empty: there was none, and then
// a part of it is whatever there is.
func (e Expect) Holds(got, last string) bool {
	got = strings.TrimSpace(got)
	if e.op == "" {
		return got != ""
	}
	if !e.numeric {
		return (got == e.value) == (e.op == "=")
	}
	value, err := strconv.ParseFloat(got, 64)
	if err != nil {
		return false
	}
	want := e.number
	if e.ofLast {
		before, err := strconv.ParseFloat(strings.TrimSpace(last), 64)
		if err != nil {
			return true
		}
		want = before * e.number / 100
	}
	switch e.op {
	case ">":
		return value > want
	case ">=":
		return value >= want
	case "<":
		return value < want
	case "<=":
		return value <= want
	case "!=":
		return value != want
	}
	return value == want
}
