package manual

import (
	"fmt"
	"strings"
	"time"
)

// page is a manual page in the making, in the language of man(7).
type page struct{ strings.Builder }

// newPage begins a page. The date is that of the program, so that the same program has the same pages.
func newPage(name, section, version string, date time.Time) *page {
	p := new(page)
	p.request(`.TH "%s" "%s" "%s" "offsite %s" "offsite"`, escape(strings.ToUpper(name)), section, date.UTC().Format(time.DateOnly), escape(version))
	p.request(".nh")   // what is hyphenated cannot be copied
	p.request(".ad l") // paths and addresses tear holes into a line that is filled to its end
	return p
}

// request writes a line that is none of the text.
func (p *page) request(format string, args ...any) {
	fmt.Fprintf(&p.Builder, format+"\n", args...)
}

func (p *page) section(title string) { p.request(".SH %s", escape(title)) }

// tagged writes a term and what is said about it.
func (p *page) tagged(term, text string) {
	p.request(".TP\n%s", term)
	p.text(text)
}

// text writes paragraphs, which an empty line separates. Lines that are indented stay as they are.
func (p *page) text(s string) {
	paragraphs := strings.Split(strings.TrimSpace(s), "\n\n")
	for i, paragraph := range paragraphs {
		if i > 0 {
			p.request(".PP")
		}
		if strings.HasPrefix(paragraph, "    ") || strings.HasPrefix(paragraph, "\t") {
			p.verbatim(paragraph)
			continue
		}
		for line := range strings.Lines(inline(paragraph)) {
			p.line(strings.TrimSuffix(line, "\n"))
		}
	}
}

// verbatim writes lines that are not filled.
func (p *page) verbatim(s string) {
	p.request(".nf\n.RS 4")
	for line := range strings.Lines(escape(s)) {
		p.line(strings.TrimSuffix(line, "\n"))
	}
	p.request(".RE\n.fi")
}

// line writes a line of text that is already escaped; a dot or an apostrophe in front would make it a request.
func (p *page) line(s string) {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	p.request("%s", s)
}

// escape makes text that means itself. A bare hyphen would become one that no shell understands.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

// inline is escape for prose, in which backquotes stand around what is typed.
func inline(s string) string {
	parts := strings.Split(s, "`")
	if len(parts)%2 == 0 {
		return escape(s) // one of them is none
	}
	for i, part := range parts {
		parts[i] = escape(part)
		if i%2 == 1 {
			parts[i] = bold(part)
		}
	}
	return strings.Join(parts, "")
}

func bold(s string) string   { return `\fB` + escape(s) + `\fP` }
func italic(s string) string { return `\fI` + escape(s) + `\fP` }
