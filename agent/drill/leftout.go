package drill

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// left out are statements that concern the server and not the database, or roles that are not there. The patterns are for the head of
// a statement, as the lexer has it.
var leftOut = regexp.MustCompile(`(?is)^(?:` + strings.Join([]string{
	`(?:create|alter|drop) (?:database|role|user|group|tablespace|user mapping|publication|subscription|policy|event trigger)\b`,
	`(?:create|alter|drop) (?:server|foreign table|foreign data wrapper)\b`,
	`(?:grant|revoke)\b`, `alter default privileges\b`, `alter system\b`, `reassign\b`, `drop owned\b`,
	`(?:update|insert into|delete from) (?:only )?(?:"?pg_catalog"? ?\. ?"?pg_|"?pg_(?:database|authid|auth_members|db_role_setting|tablespace|class|proc)\b)`, // pg_dumpall -c does that to pg_database
	`set (?:session authorization|role|local role|session role|default_tablespace|transaction_timeout)\b`, `reset (?:role|session authorization)\b`,
	`comment on (?:database|role|tablespace|subscription|policy|publication|event trigger|extension|schema public|server|foreign table|foreign data wrapper)\b`,
	`security label\b`, `create (?:or replace )?(?:trusted )?(?:procedural )?language (?:plpgsql|"plpgsql")`,
	`create schema (?:if not exists )?public ?;`, // it is there
	`alter table .* force row level security ?;`, // it would hide the rows from their owner, the drill
	`alter .* owner to (?:"(?:[^"]|"")+"|[^ ;"]+) ?;`,
	`comment on (?:trusted )?(?:procedural )?language plpgsql\b`, // the role does not own it
}, "|") + `)`)

// missed are those of them that a restore with all rights would have made.
var missed = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"policies", regexp.MustCompile(`(?is)^create policy\b`)},
	{"event triggers", regexp.MustCompile(`(?is)^create event trigger\b`)},
	{"publications", regexp.MustCompile(`(?is)^create publication\b`)},
	{"subscriptions", regexp.MustCompile(`(?is)^create subscription\b`)},
	{"foreign servers", regexp.MustCompile(`(?is)^create server\b`)},
	{"foreign tables", regexp.MustCompile(`(?is)^create foreign table\b`)},
}

// cleaning are statements by which pg_dump --clean begins, and creating is where it goes on. A view that is to be there for what
// depends on it is replaced later.
var (
	cleaning = regexp.MustCompile(`(?is)^(?:drop |alter .* drop |select pg_catalog\.lo_unlink ?\()`)
	creating = regexp.MustCompile(`(?is)^create `)
	dummy    = regexp.MustCompile(`(?is)^create or replace view\b`)
)

var (
	routine    = regexp.MustCompile(`(?is)^create (?:or replace )?(?:function|procedure)\b`)
	copyData   = regexp.MustCompile(`(?is)^copy .* from stdin\b`)
	copyOther  = regexp.MustCompile(`(?is)^copy .* (?:from|to) ?(?:program\b|''|\$\$|(?:e|u&)'')`)
	extension  = regexp.MustCompile(`(?is)^create extension (?:if not exists )?("(?:[^"]|"")+"|\w+)`)
	schema     = regexp.MustCompile(`(?is)^create schema (?:if not exists )?("(?:[^"]|"")+"|\w+) ?;`)
	database   = regexp.MustCompile(`(?is)^create database ("(?:[^"]|"")+"|[^ ;"]+)`)
	conforming = regexp.MustCompile(`(?is)^set (?:session |local )?standard_conforming_strings(?: ?= ?| to )(?:''|\w+) ?;`)
)

// leaveOut decides on a statement.
func (f *filter) leaveOut() (bool, error) {
	if copyOther.Match(f.head) {
		return false, errors.New("COPY from or to a file or program of the server, which no dump program writes: nothing after it was run")
	}
	if m := extension.FindSubmatch(f.head); m != nil {
		return f.leaveOutExtension(unquoted(string(m[1])))
	}
	if m := schema.FindSubmatch(f.head); m != nil && f.schemas[unquoted(string(m[1]))] {
		f.created = true
		return true, nil
	}
	if m := database.FindSubmatch(f.head); m != nil && f.locale != nil {
		f.locale(unquoted(string(m[1])), string(f.raw))
	}
	for _, m := range missed {
		if m.pattern.Match(f.head) {
			f.miss(m.what)
		}
	}
	switch {
	case leftOut.Match(f.head), !f.created && (cleaning.Match(f.head) || dummy.Match(f.head)):
		return true, nil
	case conforming.Match(f.head):
		f.backslashes = strings.Contains(strings.ToLower(string(f.raw)), "off") // as psql will read what follows
	}
	f.created = f.created || creating.Match(f.head)
	return false, nil
}

func (f *filter) leaveOutExtension(name string) (bool, error) {
	f.created = true
	if f.extension == nil {
		return false, nil
	}
	pass, err := f.extension(name)
	return !pass, err
}

func (f *filter) miss(what string) {
	if f.left == nil {
		f.left = map[string]int{}
	}
	f.left[what]++
}

// lacking says what was left out; empty: nothing that is missed.
func lacking(left map[string]int) string {
	var words []string
	for _, what := range slices.Sorted(maps.Keys(left)) {
		if n := left[what]; n > 0 {
			what = fmt.Sprintf("%s (%d)", what, n)
		}
		words = append(words, what)
	}
	return strings.Join(words, ", ")
}

// unquoted is the name that an identifier stands for.
func unquoted(identifier string) string {
	if strings.HasPrefix(identifier, `"`) {
		return strings.ReplaceAll(strings.Trim(identifier, `"`), `""`, `"`)
	}
	return strings.ToLower(identifier)
}

// literal is a string for SQL, under standard_conforming_strings.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
