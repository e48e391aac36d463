package page

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"offsite/agent/status"
)

// identity is the file that the commands name; its owner knows where it lies.
const identity = "identity.txt"

var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+:,./][A-Za-z0-9_@%+:,./-]*$`)

// quote makes one word of a shell's command line of s, whatever is in it: a person pastes it into an interactive shell, which would take !
// for its history in double quotes, and control characters for keys. (That is why it is not one of the libraries', which are made for
// scripts.) Words with such characters are in the quotes $'...' of bash, which zsh and ksh know too.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	if printable(s) == s || s == "" || onlyQuotes(s) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range []byte(s) {
		if c >= ' ' && c < 0x7f && c != '\'' && c != '\\' && c != '!' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	b.WriteString("'")
	return b.String()
}

// onlyQuotes says that all that is not printable as it stands are double quotes and backslashes, which single quotes hold.
func onlyQuotes(s string) bool {
	rest := strings.NewReplacer(`"`, "", `\`, "").Replace(s)
	return rest == "" || printable(rest) == rest
}

// restore is the command that brings back what, a series or the object of a backup; at, if set, is the newest at or before then.
func (p *Page) restore(what string, at time.Time) string {
	words := []string{"offsite", "restore"}
	if p.Config != "" {
		words = append(words, "--config", quote(p.Config))
	}
	words = append(words, "--identity", identity)
	if !at.IsZero() {
		words = append(words, "--at", at.UTC().Format(time.RFC3339))
	}
	if strings.HasPrefix(what, "-") {
		words = append(words, "--")
	}
	return strings.Join(append(words, quote(what)), " ")
}

// restoreOf is the command for one backup: by its object where it lies whole, which is exact, or by its file.
func (p *Page) restoreOf(b status.Backup) string {
	for _, c := range b.On {
		if c.Damage == "" && c.Object != "" {
			return p.restore(c.Object, time.Time{})
		}
	}
	return p.restore(b.Name, time.Time{})
}
