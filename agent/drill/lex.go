package drill

import (
	"bytes"
	"fmt"
	"strings"
)

// lexer follows SQL through strings, identifiers, comments and statements, by the rules of psql (psqlscan.l): a semicolon in
// parentheses, or in the body of a function that is written BEGIN ATOMIC ... END, ends no statement. As psql reads line by line, it does
// not know that the second of two strings on lines of their own goes on with the escapes of the first: nor is that known here.
type lexer struct {
	quote   string // what ends the string, comment or identifier that the text is in; empty: in none
	escapes bool   // a backslash takes the next character with it, in E''
	nested  int    // comments in comments
	within  bool   // a statement has begun
	parens  int
	bodies  int // how deep in BEGIN ATOMIC
	// backslashes are escapes in plain strings, too: SET standard_conforming_strings = off.
	backslashes bool
	// head is the beginning of the statement without comments and what strings hold, with single spaces.
	head []byte
}

// maxHead is how much of a statement is looked at.
const maxHead = 64 << 10

// next is called after a statement.
func (l *lexer) next() {
	l.within, l.parens, l.bodies, l.head = false, 0, 0, l.head[:0]
}

func (l *lexer) add(text ...byte) {
	if len(text) == 1 && text[0] == ' ' && (len(l.head) == 0 || l.head[len(l.head)-1] == ' ') {
		return
	}
	if len(l.head) < maxHead {
		l.head = append(l.head, text...)
	}
}

// scan follows a line, or the rest of one, to its end or to that of a statement, and gives how much that was.
func (l *lexer) scan(line []byte) (n int, ended bool, err error) {
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		if l.quote != "" {
			i += l.quoted(rest)
			continue
		}
		switch c := line[i]; {
		case bytes.HasPrefix(rest, []byte("--")):
			l.add(' ')
			return len(line), false, nil
		case bytes.HasPrefix(rest, []byte("/*")):
			l.add(' ')
			l.quote, l.nested = "*/", 1
			i++
		case c == '\\':
			return 0, false, fmt.Errorf("%w: %.40q", errCommand, rest)
		case c == ';' && l.parens == 0 && l.bodies == 0:
			l.add(';')
			return i + 1, true, nil
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v':
			l.add(' ')
		default:
			l.within = true
			i += l.token(rest)
		}
	}
	return len(line), false, nil
}

// token is what begins a string, an identifier or a word, or any other character. It gives how many bytes more than one it has passed.
func (l *lexer) token(rest []byte) (more int) {
	c := rest[0]
	switch {
	case c == '\'':
		l.quote, l.escapes = "'", l.backslashes
		l.add('\'', '\'')
	case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		l.quote, l.escapes = "'", true
		l.add('e', '\'', '\'')
		return 1
	case c == '"':
		l.quote, l.escapes = `"`, false
		l.add('"')
	case c == '$':
		tag := dollar(rest)
		if tag == "" {
			l.add('$')
			return 0
		}
		l.quote, l.escapes = tag, false
		l.add('$', '$')
		return len(tag) - 1
	case word(c):
		return l.word(rest)
	case c == '(':
		l.parens++
		l.add(c)
	case c == ')':
		l.parens = max(0, l.parens-1)
		l.add(c)
	default:
		l.add(c)
	}
	return 0
}

// word is a number or an identifier: after a number, what follows is a word of its own, as in 1E”.
func (l *lexer) word(rest []byte) (more int) {
	n := 1
	if digit(rest[0]) {
		for n < len(rest) && digit(rest[n]) {
			n++
		}
	} else {
		for n < len(rest) && (word(rest[n]) || rest[n] == '$') {
			n++
		}
		l.body(rest[:n])
	}
	l.add(rest[:n]...)
	return n - 1
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// body follows BEGIN ATOMIC ... END, in which CASE has an END too.
func (l *lexer) body(w []byte) {
	if l.parens > 0 || len(w) > 5 || !routine.Match(l.head) {
		return
	}
	switch strings.ToLower(string(w)) {
	case "begin":
		l.bodies++
	case "case":
		if l.bodies > 0 {
			l.bodies++
		}
	case "end":
		l.bodies = max(0, l.bodies-1)
	}
}

// quoted follows what the quote ends, and gives how many bytes more than one it has passed.
func (l *lexer) quoted(rest []byte) int {
	switch {
	case l.quote == "*/" && bytes.HasPrefix(rest, []byte("/*")):
		l.nested++
		return 1
	case l.quote == "*/" && bytes.HasPrefix(rest, []byte("*/")):
		if l.nested--; l.nested == 0 {
			l.quote = ""
		}
		return 1
	case l.escapes && rest[0] == '\\':
		return 1
	case l.quote != "*/" && bytes.HasPrefix(rest, []byte(l.quote)):
		n := len(l.quote)
		doubled := n == 1 && len(rest) > 1 && rest[1] == rest[0] // one in the string
		if l.quote == `"` {
			l.add(rest[:1]...)
		}
		if doubled {
			if l.quote == `"` {
				l.add('"')
			}
			return 1
		}
		l.quote, l.escapes = "", false
		return n - 1
	case l.quote == `"`:
		l.add(rest[0])
	}
	return 0
}

// dollar is the tag with which a dollar quote begins, such as $body$; empty: it does not.
func dollar(rest []byte) string {
	for i := 1; i < len(rest); i++ {
		if rest[i] == '$' {
			return string(rest[:i+1])
		}
		if !word(rest[i]) || i == 1 && digit(rest[i]) {
			return ""
		}
	}
	return ""
}

// word says whether a byte may be part of an identifier.
func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
