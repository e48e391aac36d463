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

// filter passes the text of a dump on to psql, but for what must not or need not happen in a drill: psql's own commands (a dump
// can run programs by them), other databases, roles and what depends on roles, tablespaces. It follows the text as psql and the
// server do: strings, dollar quotes, comments and the data of COPY are passed as they are, so that what looks like a command
// there is none. Memory is bounded by the longest line that is no data.
type filter struct {
	in  *bufio.Reader
	out io.Writer
	// database gives the scratch database for one that the dump names; psql is connected to it.
	database func(name string) (string, error)
	// key, if set, makes psql itself refuse its commands (\restrict, of psql 17.6 and others since August 2025): whoever finds a
	// way to make the filter and psql read a text differently gains nothing.
	key string

	quote   string // what ends the string, comment or identifier that the text is in; empty: in none
	escapes bool   // a backslash takes the next character with it, in E''
	nested  int    // comments in comments
	drop    bool   // the statement is left out
	within  bool   // a statement has begun
	copying bool   // the data of COPY follows
	created bool   // something was created: what was dropped before is that of another database (pg_dump --clean)
	lines   int
}

// maxLine bounds a line that is no data of COPY. pg_dump --inserts writes rows as lines: a field has a gigabyte at most.
const maxLine = 1 << 30

// errCommand: the dump has a psql command that no dump program writes.
var errCommand = errors.New("a command of psql in the middle of the dump, which no dump program writes: nothing after it was run")

// left out are statements that concern the server and not the database, or roles that are not there.
var leftOut = regexp.MustCompile(`(?i)^\s*(?:` + strings.Join([]string{
	`(?:create|alter|drop)\s+(?:database|role|user|group|tablespace|subscription|user\s+mapping|policy|publication|event\s+trigger)\b`,
	`(?:grant|revoke)\b`, `alter\s+default\s+privileges\b`, `alter\s+system\b`, `reassign\b`,
	`set\s+(?:session\s+authorization|role|local\s+role|session\s+role|default_tablespace)\b`, `reset\s+(?:role|session\s+authorization)\b`,
	`comment\s+on\s+(?:database|role|tablespace|subscription|policy|publication|event\s+trigger|extension|schema\s+public)\b`, `security\s+label\b`,
	`alter\s+table\s[^']*\sforce\s+row\s+level\s+security\b`, // it would hide the rows from their owner, the drill
}, "|") + `)`)

// cleaning are statements by which pg_dump --clean begins, and creating is where it goes on. A view that is to be there for what
// depends on it is replaced later.
var (
	cleaning = regexp.MustCompile(`(?i)^\s*(?:drop\s|alter\s.*\sdrop\s)`)
	creating = regexp.MustCompile(`(?i)^\s*create\s`)
	dummy    = regexp.MustCompile(`(?i)^\s*create\s+or\s+replace\s+view\b`)
)

var (
	ownership = regexp.MustCompile(`(?is)^\s*alter\s.*\sowner\s+to\s+\S[^;]*;\s*$`)
	copyData  = regexp.MustCompile(`(?is)^\s*copy\s.*\sfrom\s+stdin\b[^;]*;\s*$`)
	copyOther = regexp.MustCompile(`(?is)^\s*copy\s.*\s(?:from|to)\s+(?:program\b|'|\$|e')`)
	connect   = regexp.MustCompile(`^\\(?:connect|c)\s+(.+?)\s*$`)
)

// run passes everything on. Its error names the line.
func (f *filter) run() error {
	if err := f.restrict(true); err != nil {
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
		return f.command(string(bytes.TrimRight(line, "\r\n")))
	}
	begins := f.quote == "" && !f.within
	if begins && copyOther.Match(line) {
		return errors.New("COPY from or to a file or program of the server, which no dump program writes: nothing after it was run")
	}
	if begins && (leftOut.Match(line) || ownership.Match(line) || !f.created && (cleaning.Match(line) || dummy.Match(line))) {
		f.drop = true
	} else if begins && creating.Match(line) {
		f.created = true
	}
	drop := f.drop
	if err := f.scan(line); err != nil {
		return err
	}
	if drop {
		return nil
	}
	if begins && !f.within && copyData.Match(line) {
		f.copying = true
	}
	_, err := f.out.Write(line)
	return err
}

// command is a line that begins with a backslash. Only what dump programs write is known here.
func (f *filter) command(line string) error {
	if strings.HasPrefix(line, `\restrict `) || strings.HasPrefix(line, `\unrestrict `) {
		return nil // since PostgreSQL 17.6; older ones do not know it, and nothing passes here anyhow
	}
	m := connect.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%w: %.40q", errCommand, line)
	}
	name := m[1]
	if rest, ok := strings.CutPrefix(name, "-reuse-previous=on "); ok { // pg_dump writes a connection string for odd names
		name = strings.TrimSpace(rest)
	}
	scratch, err := f.database(strings.Trim(name, `"'`))
	if err != nil {
		return err
	}
	if err := f.restrict(false); err != nil {
		return err
	}
	f.created = false
	if _, err = fmt.Fprintf(f.out, "\\connect %s\n", scratch); err != nil {
		return err
	}
	return f.restrict(true)
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

func (f *filter) restrict(on bool) (err error) {
	switch {
	case f.key == "":
	case on:
		_, err = fmt.Fprintf(f.out, "\\restrict %s\n", f.key)
	default:
		_, err = fmt.Fprintf(f.out, "\\unrestrict %s\n", f.key)
	}
	return err
}

// scan follows a line through strings, identifiers, comments and statements.
func (f *filter) scan(line []byte) error {
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		if f.quote != "" {
			i += f.quoted(rest)
			continue
		}
		switch c := line[i]; {
		case bytes.HasPrefix(rest, []byte("--")):
			return nil
		case bytes.HasPrefix(rest, []byte("/*")):
			f.quote, f.nested = "*/", 1
			i++
		case c == '\'':
			f.within, f.quote = true, "'"
			f.escapes = i > 0 && (line[i-1] == 'e' || line[i-1] == 'E') && (i < 2 || !word(line[i-2]))
		case c == '"':
			f.within, f.quote, f.escapes = true, `"`, false
		case c == '$' && (i == 0 || !word(line[i-1])):
			f.within = true
			if tag := dollar(rest); tag != "" {
				f.quote, f.escapes = tag, false
				i += len(tag) - 1
			}
		case c == '\\':
			return fmt.Errorf("%w: %.40q", errCommand, rest)
		case c == ';':
			f.within, f.drop = false, false
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			f.within = true
		}
	}
	return nil
}

// quoted follows what the quote ends, and gives how many bytes more than one it has passed.
func (f *filter) quoted(rest []byte) int {
	switch {
	case f.quote == "*/" && bytes.HasPrefix(rest, []byte("/*")):
		f.nested++
		return 1
	case f.quote == "*/" && bytes.HasPrefix(rest, []byte("*/")):
		if f.nested--; f.nested == 0 {
			f.quote = ""
		}
		return 1
	case f.escapes && rest[0] == '\\':
		return 1
	case f.quote != "*/" && bytes.HasPrefix(rest, []byte(f.quote)):
		n := len(f.quote)
		if n == 1 && len(rest) > 1 && rest[1] == rest[0] {
			return 1 // a doubled quote is one in the string
		}
		f.quote, f.escapes = "", false
		return n - 1
	}
	return 0
}

// dollar is the tag with which a dollar quote begins, such as $body$; empty: it does not.
func dollar(rest []byte) string {
	for i := 1; i < len(rest); i++ {
		if rest[i] == '$' {
			return string(rest[:i+1])
		}
		if !word(rest[i]) || i == 1 && rest[i] >= '0' && rest[i] <= '9' {
			return ""
		}
	}
	return ""
}

// word says whether a byte may be part of an identifier.
func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
