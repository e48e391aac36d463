package dump

import (
	"bufio"
	"bytes"
)

// pass passes over the lines in the buffer of which nothing can come: nearly all of a text of no known format, of a table's data
// and of dumps of MySQL. What it leaves is for line, which would find the same of what it passes over, and takes twice as long.
func (t *text) pass(r *bufio.Reader) {
	rows := t.copying != ""
	if t.next.lines > 0 || rows && t.next.sure || !rows && !t.plain() {
		return
	}
	b, _ := r.Peek(r.Buffered())
	n, last := 0, 0
	for n < len(b) {
		end := n + bytes.IndexByte(b[n:], '\n') + 1
		if end == n || rows && (b[n] == '\\' || b[n] == '-') || !rows && !t.idle(b[n:end]) {
			break
		}
		n, last = end, n
		t.lines++
	}
	if n > 0 && !rows {
		t.last = append(t.last[:0], head(b[last:n])...)
		t.blank, t.behind, t.tail = false, true, t.tail[:0]
	}
	r.Discard(n)
}

// plain says whether each line stands for itself: what is read is no string, no routine and no SQL that must be followed.
func (t *text) plain() bool {
	followed := t.postgres() && (t.open || t.cluster) || t.now == SQLiteText
	return !followed && t.lexer.in == 0 && !t.routine && t.lines > begins && t.first != ""
}

// idle says whether nothing comes of a line that stands for itself, but that it was there. In doubt it does not.
func (t *text) idle(raw []byte) bool {
	line := head(raw)
	if len(line) == 0 {
		return false
	}
	switch c := line[0]; {
	case c == '-', c == '\\', c == 'C' && t.postgres(), c == 'D' && t.mysql():
		return false
	case (c <= ' ' || c >= 0x80) && len(bytes.TrimSpace(line)) == 0:
		return false
	case t.mysql() && bytes.HasSuffix(trimmed(raw), []byte(")")): // something may be glued to it
		return false
	}
	complains, fails := t.speaks(line)
	return !complains && !fails
}
