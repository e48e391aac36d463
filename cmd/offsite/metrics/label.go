package metrics

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// longest is how many bytes a label may have: file names, of which series are made, are bounded, but paths are not.
const longest = 128

// label is s as the value of a label: valid UTF-8, and not longer than that. One that had to be changed ends in a sum of what it
// was, so that two never become one.
func label(s string) string {
	if len(s) <= longest && utf8.ValidString(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	tail := "~" + hex.EncodeToString(sum[:4])
	s = strings.ToValidUTF8(s, "\uFFFD")
	for len(s) > longest-len(tail) {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s + tail
}

// labels are those that were given out: one that came twice would spoil the whole scrape.
type labels map[string]bool

func (l labels) add(s string) (added bool) {
	added = !l[s]
	l[s] = true
	return added
}
