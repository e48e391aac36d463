package drill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// filter passes the text of a dump on to psql, statement by statement, but for what must not or need not happen in a drill: psql's
// own commands (a dump can run programs by them), other databases, roles and what depends on roles, tablespaces (leftout.go). It
// follows the text as psql and the server do (lex.go): strings, dollar quotes, comments, function bodies and the data of COPY are
// passed as they are, so that what looks like a command there is none. It makes good dumps pass; that a hostile one does no harm
// outside the scratch database is due to the rights of the role that restores (role.go), and to key. Memory is bounded by the
// longest line that is no data.
type filter struct {
	in  *bufio.Reader
	out io.Writer
	// database gives the scratch database for one that the dump names; psql is connected to it.
	database func(name string) (string, error)
	// extension says whether the statement that creates an extension is to pass; nil: it is.
	extension func(name string) (bool, error)
	// schemas are there already.
	schemas map[string]bool
	// locale is told the statement that makes a database. May be nil.
	locale func(name, statement string)
	// key, if set, makes psql itself refuse its commands (\restrict, of psql 17.6 and others since August 2025): whoever finds a
	// way to make the filter and psql read a text differently gains nothing.
	key string
	// left counts what was left out and is missed in the scratch database.
	left map[string]int
	// prologue is what each connection begins with.
	prologue string

	lexer
	raw     []byte // of the statement, as long as nothing is decided
	decided bool
	drop    bool // the statement is left out
	swallow bool // what is left of the line after such a statement is, too
	copying bool // the data of COPY follows
	created bool // something was created: what was dropped before is that of another database (pg_dump --clean)
	lines   int
}

// decideAt is how much of a statement is held until it is known what it is. Rows of pg_dump --inserts and large objects are longer.
const decideAt = 1 << 20

// maxLine bounds a line that is no data of COPY. pg_dump --inserts writes rows as lines: a field has a gigabyte at most.
const maxLine = 1 << 30

// errCommand: the dump has a psql command that no dump program writes.
var errCommand = errors.New("a command of psql in the middle of the dump, which no dump program writes: nothing after it was run")

// run passes everything on. Its error names the line.
func (f *filter) run() error {
	if err := f.begin(); err != nil {
		return err
	}
	for {
		line, err := f.line()
		if len(line) > 0 {
			f.lines++
			if lineErr := f.pass(line); lineErr != nil {
				return fmt.Errorf("line %d: %w", f.lines, lineErr)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// begin is for a new connection.
func (f *filter) begin() error {
	restrict := ""
	if f.key != "" {
		restrict = "\\restrict " + f.key + "\n"
	}
	_, err := io.WriteString(f.out, restrict+f.prologue)
	return err
}

// line reads one line, which for data of COPY may be a piece of one.
func (f *filter) line() ([]byte, error) {
	line, err := f.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) || f.copying {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		return line, err
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) && len(whole) < maxLine {
		line, err = f.in.ReadSlice('\n')
		whole = append(whole, line...)
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		err = fmt.Errorf("a line of more than %d bytes", maxLine)
	}
	return whole, err
}

func (f *filter) pass(line []byte) error {
	if f.copying {
		if text := bytes.TrimRight(line, "\r\n"); len(text) == 2 && text[0] == '\\' && text[1] == '.' {
			f.copying = false
		}
		_, err := f.out.Write(line)
		return err
	}
	if f.quote == "" && !f.within && line[0] == '\\' {
		f.swallow = false
		return f.command(string(bytes.TrimRight(line, "\r\n")))
	}
	for len(line) > 0 {
		n, ended, err := f.scan(line)
		if err != nil {
			return err
		}
		if err := f.take(line[:n], ended); err != nil {
			return err
		}
		line = line[n:]
		if f.copying && len(bytes.TrimSpace(line)) > 0 {
			return errors.New("something follows COPY in its line, where no dump program writes anything: nothing after it was run")
		}
		if f.copying {
			_, err := f.out.Write(line)
			return err
		}
	}
	return nil
}

// take is given a piece of the text, with the end of a statement if ended is true.
func (f *filter) take(text []byte, ended bool) error {
	if !f.within && !ended {
		if f.swallow && len(bytes.TrimSpace(text)) == 0 {
			f.swallow = false
			return nil
		}
		_, err := f.out.Write(text)
		return err
	}
	f.swallow = false
	f.raw = append(f.raw, text...)
	if !f.decided && !ended && len(f.raw) <= decideAt {
		return nil
	}
	if !f.decided {
		var err error
		if f.drop, err = f.leaveOut(); err != nil {
			return err
		}
		f.decided = true
	}
	if !f.drop {
		if _, err := f.out.Write(f.raw); err != nil {
			return err
		}
	}
	f.raw = f.raw[:0]
	if ended {
		f.copying = !f.drop && copyData.Match(f.head)
		f.swallow = f.drop
		f.decided, f.drop = false, false
		f.next()
	}
	return nil
}

var (
	connect  = regexp.MustCompile(`^\\(?:connect|c)\s+(.+?)\s*$`)
	encoding = regexp.MustCompile(`^\\encoding\s+[A-Za-z0-9_-]+\s*$`)
	escaped  = regexp.MustCompile(`\\(.)`) // in a connection string
)

// command is a line that begins with a backslash. Only what dump programs write is known here.
func (f *filter) command(line string) error {
	if strings.HasPrefix(line, `\restrict `) || strings.HasPrefix(line, `\unrestrict `) {
		return nil // since PostgreSQL 17.6; older ones do not know it, and nothing passes here anyhow
	}
	if encoding.MatchString(line) {
		return nil // it is for the odd name of the database that follows
	}
	m := connect.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%w: %.40q", errCommand, line)
	}
	scratch, err := f.database(connected(m[1]))
	if err != nil {
		return err
	}
	if f.key != "" {
		if _, err := fmt.Fprintf(f.out, "\\unrestrict %s\n", f.key); err != nil {
			return err
		}
	}
	f.created, f.backslashes = false, false
	if _, err = fmt.Fprintf(f.out, "\\connect %s\n", scratch); err != nil {
		return err
	}
	return f.begin()
}

// connected is the database that \connect names: a word, an identifier in quotes, or for odd names a connection string in them.
func connected(argument string) string {
	rest, isString := strings.CutPrefix(argument, "-reuse-previous=on ")
	rest = strings.TrimSpace(rest)
	if len(rest) > 1 && (rest[0] == '"' || rest[0] == '\'') && rest[len(rest)-1] == rest[0] {
		quote := rest[:1]
		rest = strings.ReplaceAll(rest[1:len(rest)-1], quote+quote, quote)
	}
	if !isString {
		return rest
	}
	name := strings.TrimPrefix(rest, "dbname=")
	if len(name) > 1 && name[0] == '\'' && name[len(name)-1] == '\'' {
		name = name[1 : len(name)-1]
	}
	return escaped.ReplaceAllString(name, "$1")
}

// ended says whether the text is at an end there.
func (f *filter) ended() error {
	switch {
	case f.copying:
		return errors.New("the dump ends in the middle of a table's data")
	case f.quote != "" || f.within:
		return errors.New("the dump ends in the middle of a statement")
	}
	return nil
}
