package dump

import "bytes"

// lexer follows the SQL that pg_dump and sqlite3 write through strings, quoted identifiers, dollar quotes and comments, in pieces
// that may begin and end anywhere. Those programs double a quote in a string, so each quote begins or ends one; none writes \'.
type lexer struct {
	in     byte   // what the text is in: ' " $ (a dollar quote) - (a comment) * (one of many lines); 0: in nothing
	tag    []byte // by which the dollar quote ends
	met    int    // so many bytes of the tag were met
	nested int    // comments in comments
	last   byte   // before what is next, if that counts
}

// lexemes are the bytes that matter outside of strings and comments.
var lexemes = [256]bool{'\'': true, '"': true, '$': true, '-': true, '*': true}

func (x *lexer) feed(b []byte) {
	for len(b) > 0 {
		switch x.in {
		case 0:
			b = x.code(b)
		case '$':
			b = x.dollar(b)
		case '*':
			b = x.comment(b)
		case '-':
			b = x.until(b, '\n')
		default:
			b = x.until(b, x.in)
		}
	}
}

// until passes over what c ends, and gives what follows.
func (x *lexer) until(b []byte, c byte) []byte {
	i := bytes.IndexByte(b, c)
	if i < 0 {
		return nil
	}
	x.in, x.last = 0, 0
	return b[i+1:]
}

// code passes over what is neither string nor comment, up to and with the beginning of one.
func (x *lexer) code(b []byte) []byte {
	for i, c := range b {
		if !lexemes[c] {
			continue
		}
		before := x.last
		if i > 0 {
			before = b[i-1]
		}
		switch {
		case c == '\'' || c == '"', c == '-' && before == '-':
			x.in = c
			return b[i+1:]
		case c == '*' && before == '/':
			x.in, x.nested, x.last = c, 1, 0
			return b[i+1:]
		case c == '$' && !wordly(before):
			if n := tagged(b[i:]); n > 0 {
				x.in, x.tag, x.met = c, append(x.tag[:0], b[i:i+n]...), 0
				return b[i+n:]
			}
		}
	}
	x.last = b[len(b)-1]
	return nil
}

// dollar looks for the tag. A $ is at its beginning and at its end, and nowhere else in it.
func (x *lexer) dollar(b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if x.met == 0 {
			next := bytes.IndexByte(b[i:], '$')
			if next < 0 {
				return nil
			}
			i += next
		}
		switch {
		case b[i] == x.tag[x.met]:
			x.met++
		case b[i] == '$':
			x.met = 1
		default:
			x.met = 0
		}
		if x.met == len(x.tag) {
			x.in, x.last = 0, 0
			return b[i+1:]
		}
	}
	return nil
}

// comment passes over a comment of many lines, which may hold others.
func (x *lexer) comment(b []byte) []byte {
	for i, c := range b {
		switch {
		case c == '/' && x.last == '*':
			x.nested--
			c = 0 // it begins no other
		case c == '*' && x.last == '/':
			x.nested++
			c = 0
		}
		x.last = c
		if x.nested == 0 {
			x.in = 0
			return b[i+1:]
		}
	}
	return nil
}

// tagged is the length of the tag, such as $body$, by which a dollar quote begins; 0: it does not.
func tagged(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '$':
			return i + 1
		case !wordly(c) || i == 1 && c >= '0' && c <= '9':
			return 0
		}
	}
	return 0
}

// wordly says whether a byte may be part of an identifier.
func wordly(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
