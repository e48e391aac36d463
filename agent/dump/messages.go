package dump

import (
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
	c := line[0]
	if speaks := c >= 'a' && c <= 'z' || c == '/' || c == 'W'; speaks {
		bad := complaint.Match(line)
		switch said := bad || t.now != SQLiteText && remark.Match(line); {
		case said && t.now != "":
			t.message(string(line))
		case said && (t.said == "" || bad && !t.bad):
			t.said, t.bad = string(line), bad
		}
	}
	if t.done && !t.open && !t.cluster && failure.Match(line) {
		t.message(string(line))
	}
}

func (t *text) message(line string) {
	t.note("holds a message of the program that should have written it: %q", short(line))
}
