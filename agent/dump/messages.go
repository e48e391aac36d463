package dump

import (
	"bytes"
	"regexp"
)

// What programs say for people, in files that should hold what they write.
var (
	// complaint is a line that a program wrote which should have written a dump.
	complaint = regexp.MustCompile(`^(?:[A-Za-z]:)?[\w./\\-]*\b(pg_dump|pg_dumpall|mysqldump|mariadb-dump|mysql|mongodump|sqlite3|psql)(?:\.exe|\.bin)?: (?:(error|fatal|detail|Got error|Error|Couldn't|\[archiver|\[Warning\]|Warning)\b.*|\[.*)`)
	// remark is anything that a program says which makes dumps of text: no SQL begins so.
	remark = regexp.MustCompile(`^(?:[A-Za-z]:)?[\w./\\-]*\b(?:pg_dump|pg_dumpall|mysqldump|mariadb-dump)(?:\.exe|\.bin)?: |^Warning: A partial dump `)
	// failure is a message of some other program, alone in a short file or behind a dump.
	failure = regexp.MustCompile(`^(?i:usage: |error: |fatal: |error response )|^(?:[\w./-]*/)?(?:(?:ba|da|k|z)?sh|docker|podman|kubectl|ssh|sudo|su|env|nice|timeout|gzip|pigz|zstd|bzip2|xz|sqlite3|redis-cli|mongodump|cat|tee)(?:\[\d+\])?: (?i).*\b(?:errors?|fatal|denied|not found|no such|failed|failure|refused|cannot|could not|unable|killed|no space left|timed? ?out)\b`)
)

// complaint looks for a message in a line outside of data and strings. One that comes before any dump is kept: what follows tells
// whether it is of interest.
func (t *text) complaint(line []byte) {
	complains, fails := t.speaks(line)
	if complains {
		bad := complaint.Match(line)
		switch said := bad || t.now != SQLiteText && remark.Match(line); {
		case said && t.now != "":
			t.message(string(line))
		case said && (t.said == "" || bad && !t.bad):
			t.said, t.bad = string(line), bad
		}
	}
	if fails && failure.Match(line) {
		t.message(string(line))
	}
}

// speaks says whether a line may be a complaint or a remark, and whether it may be a failure, where they count. The expressions take many
// times as long: they match no line but such that begins with a name and a colon, or the word error, up to its first space.
func (t *text) speaks(line []byte) (complains, fails bool) {
	c := line[0]
	complains = c >= 'a' && c <= 'z' || c == '/' || c == 'W'
	fails = t.done && !t.open && !t.cluster
	if !complains && !fails {
		return false, false
	}
	name := line[:max(0, bytes.IndexByte(line, ' '))]
	if n := len(name) - 1; n > 0 && name[n] == ':' {
		return complains && dumper(name[:n]), fails
	}
	return false, fails && bytes.EqualFold(name, []byte("error"))
}

// dumper says whether a name may be one of those that complaint and remark know, by its end.
func dumper(name []byte) bool {
	switch string(name[max(0, len(name)-4):]) {
	case "dump", "pall", "ysql", "psql", "ite3", ".exe", ".bin":
		return true
	}
	return string(name) == "Warning"
}

func (t *text) message(line string) {
	t.note("holds a message of the program that should have written it: %q", short(line))
}
