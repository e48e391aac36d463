package doctor

import (
	"fmt"
	"io"
	"strings"

	"offsite/agent/status"
)

// Colours of a terminal (ECMA-48).
var colours = map[status.Level]string{status.OK: "\x1b[32m", status.Warning: "\x1b[33m", status.Problem: "\x1b[1;31m"}

const (
	bold  = "\x1b[1m"
	plain = "\x1b[0m"
)

// Print writes a group for people: each finding on a line, and below it, indented, what to do.
func Print(w io.Writer, g Group, colour bool) error {
	paint := func(how, text string) string {
		if !colour {
			return text
		}
		return how + text + plain
	}
	var b strings.Builder
	b.WriteString(paint(bold, g.Title))
	if g.About != "" {
		b.WriteString("  " + printable(g.About))
	}
	b.WriteString("\n")
	for _, c := range g.Checks {
		fmt.Fprintf(&b, "  %s %s\n", paint(colours[c.Level], fmt.Sprintf("%-8s", c.Level)), printable(c.Text))
		if c.Remedy != "" {
			fmt.Fprintf(&b, "           -> %s\n", printable(c.Remedy))
		}
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// printable keeps what others have named from doing things to a terminal, and each finding on its line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0:
			return '?'
		}
		return r
	}, s)
}
