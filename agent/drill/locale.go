package drill

import (
	"context"
	"regexp"
	"strings"
)

// What a dump holds may depend on the locale of the database that it is of: which characters are letters, and how texts sort, by which
// CHECK constraints and partitions go. So a scratch database has that of the dump if it says it (pg_dump -C, pg_dumpall, archives) and the
// server has it; or else that of the server's template0; or else one that knows the letters of Unicode.

var (
	localeWords   = regexp.MustCompile(`\b(ENCODING|LOCALE_PROVIDER|LOCALE|LC_COLLATE|LC_CTYPE|ICU_LOCALE|BUILTIN_LOCALE) = (?:'([A-Za-z0-9_@.-]+)'|([a-z]+))`)
	createsScript = regexp.MustCompile(`(?m)^CREATE DATABASE .* WITH TEMPLATE .*;\r?$`)
	clientEncoded = regexp.MustCompile(`(?m)^SET client_encoding = 'SQL_ASCII';\r?$`)
)

// localeOf is what CREATE DATABASE says of the locale, in words that it can be said by again.
func localeOf(statement string) string {
	var words []string
	for _, m := range localeWords.FindAllStringSubmatch(statement, -1) {
		value := m[3]
		if value == "" {
			value = literal(m[2])
		}
		words = append(words, m[1]+" = "+value)
	}
	return strings.Join(words, " ")
}

// localeIn is that of the dump of one database, by its beginning; empty: it does not say.
func localeIn(head []byte) string {
	if said := localeOf(string(createsScript.Find(head))); said != "" {
		return said
	}
	if clientEncoded.Match(head) { // bytes that no encoding makes sense of
		return "ENCODING = 'SQL_ASCII' LC_COLLATE = 'C' LC_CTYPE = 'C'"
	}
	return ""
}

// locales are those that a scratch database may have, the best first.
func (a *attempt) locales(ctx context.Context, ofDump string) ([]string, error) {
	var all []string
	if ofDump != "" {
		all = append(all, ofDump)
	}
	const lettered = "SELECT pg_encoding_to_char(encoding) = 'UTF8' AND datctype NOT IN ('C', 'POSIX') FROM pg_database WHERE datname = 'template0';"
	said, err := a.query(ctx, a.maintenance(a.client), lettered)
	if err != nil {
		return nil, err
	}
	if said == "t" {
		all = append(all, "ENCODING = 'UTF8'")
	}
	for _, ctype := range []string{"C.UTF-8", "C.utf8", "en_US.UTF-8", "C"} {
		all = append(all, "ENCODING = 'UTF8' LC_COLLATE = 'C' LC_CTYPE = '"+ctype+"'")
	}
	return all, nil
}
