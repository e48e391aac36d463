package dump

import "bytes"

// rows is written the data of a table, and says what is wrong with it.
type rows struct {
	copied bool // it is that of COPY, and not of INSERT statements
	unread bool // it was not written all of the data
	zeros  bool
	tail   []byte
}

// What is wrong with rows, and how pg_dump ends the data of COPY: by this and some line ends.
const (
	zerosInRows = "it has zeros in it, which no text has"
	rowsEnd     = `\.`
	rowsTail    = 5
)

// Write never fails.
func (r *rows) Write(p []byte) (int, error) {
	r.zeros = r.zeros || bytes.IndexByte(p, 0) >= 0
	r.tail = append(r.tail, p[max(0, len(p)-rowsTail):]...)
	r.tail = append(r.tail[:0], r.tail[max(0, len(r.tail)-rowsTail):]...)
	return len(p), nil
}

// problem says what is wrong with the data, once all of it was written; empty: nothing.
func (r *rows) problem() string {
	switch {
	case r.zeros:
		return "is damaged: " + zerosInRows
	case !r.ended():
		return "has no end mark: it was not written to the end"
	}
	return ""
}

func (r *rows) ended() bool {
	return !r.copied || r.unread || bytes.HasSuffix(r.tail, []byte("\n")) && bytes.HasSuffix(bytes.TrimRight(r.tail, "\n"), []byte(rowsEnd))
}
