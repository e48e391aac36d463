package dump

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// CheckPattern says what is wrong with a pattern for file names. It is literal text with {series} once, {time} once or
// not at all, and * for anything.
func CheckPattern(pattern string) error {
	if strings.Count(pattern, "{series}") != 1 {
		return errors.New("needs {series} once")
	}
	if strings.Count(pattern, "{time}") > 1 {
		return errors.New("has {time} more than once")
	}
	rest := strings.NewReplacer("{series}", "", "{time}", "").Replace(pattern)
	if strings.ContainsAny(rest, "{}") {
		return errors.New("knows only {series}, {time} and *")
	}
	if strings.Contains(rest, "/") {
		return errors.New("is for file names: the directory becomes part of the series by itself")
	}
	return nil
}

// match reads a file name by a pattern. {time} is any stamp that is found without a pattern too.
func match(file, pattern string) (name string, s stamp, found bool, err error) {
	bad := func(why string) (string, stamp, bool, error) {
		return "", stamp{}, false, fmt.Errorf("the name %q does not match the pattern %q: %s", file, pattern, why)
	}
	expr := regexp.QuoteMeta(pattern)
	expr = strings.Replace(expr, `\{series\}`, `(?P<series>.+?)`, 1)
	expr = strings.Replace(expr, `\{time\}`, `(?P<time>[0-9].*?)`, 1)
	expr = strings.ReplaceAll(expr, `\*`, `.*`)
	re, err := regexp.Compile(`(?s)^` + expr + `$`)
	if err != nil {
		return bad(err.Error())
	}
	m := re.FindStringSubmatch(file)
	if m == nil {
		return bad("the parts are not there")
	}
	name = m[re.SubexpIndex("series")]
	at := re.SubexpIndex("time")
	if at < 0 {
		return name, stamp{}, false, nil
	}
	s, from, to, found := findStamp(m[at])
	if !found || from != 0 || to != len(m[at]) {
		return bad(fmt.Sprintf("%q is no time", m[at]))
	}
	return name, s, true, nil
}
