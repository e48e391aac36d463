package manual

import (
	"strings"
)

// Key is one key of the example configuration.
type Key struct {
	// Path leads to it, such as targets.NAME.dir.path; what the user names is NAME.
	Path string
	// Value is what stands behind it in the example, or an item of its list that is written in braces; empty: there are other keys below it.
	Value string
	// Says is the comment before it.
	Says string
}

// namers are the keys below which the user gives names.
var namers = map[string]bool{"targets": true, "drills": true, "alarms.ways": true}

// Keys reads the example, in which every key has its comment before it.
func Keys(example []byte) []Key {
	r := keyReader{known: map[string]bool{}}
	for line := range strings.Lines(string(example)) {
		r.line(uncommented(strings.TrimRight(line, "\n")))
	}
	return r.keys
}

// uncommented takes away the # of what is commented out. Prose, which has one blank behind its #, keeps it.
func uncommented(line string) string {
	for {
		text := strings.TrimLeft(line, " ")
		prose := strings.HasPrefix(text, "# ") && !strings.HasPrefix(text, "#  ")
		if prose || !strings.HasPrefix(text, "#") {
			return line
		}
		line = line[:len(line)-len(text)] + text[1:]
	}
}

// keyReader knows where in the example it is.
type keyReader struct {
	keys  []Key
	known map[string]bool
	above []struct {
		indent int
		path   string
	}
	says []string // of the key that comes next
}

func (r *keyReader) line(line string) {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	if text == "" {
		r.says = nil // what is said of nothing is said of the file
		return
	}
	if prose, ok := strings.CutPrefix(text, "# "); ok {
		r.says = append(r.says, prose)
		return
	}
	text, item := strings.CutPrefix(text, "- ")
	if item {
		indent += len("- ") // where the keys that follow it are
	}
	for len(r.above) > 0 && r.above[len(r.above)-1].indent >= indent {
		r.above = r.above[:len(r.above)-1]
	}
	parent := ""
	if len(r.above) > 0 {
		parent = r.above[len(r.above)-1].path
	}
	name, value, isKey := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "{"):
		r.add(parent, text)
	case isKey && !strings.ContainsAny(name, "\" +"):
		if namers[parent] {
			name = "NAME"
		}
		path := strings.TrimPrefix(parent+"."+name, ".")
		r.above = append(r.above, struct {
			indent int
			path   string
		}{indent, path})
		value = strings.TrimSpace(value)
		if !r.known[path] || strings.HasPrefix(value, "{") { // what is said of one that was met already is about what follows
			r.known[path] = true
			r.add(path, value)
		}
	}
}

func (r *keyReader) add(path, value string) {
	r.keys = append(r.keys, Key{path, value, strings.Join(r.says, "\n")})
	r.says = nil
}

// Configuration gives offsite.yaml(5).
func Configuration(example []byte, from Source) Page {
	p := newPage("offsite.yaml", "5", from.Version, from.Date)
	p.section("NAME")
	p.line(`offsite.yaml \- what offsite watches, whom it encrypts for, and where it sends`)
	p.section("SYNOPSIS")
	p.line(italic("/etc/offsite/offsite.yaml"))
	p.section("DESCRIPTION")
	p.text(about)
	section := ""
	for group := range groups(Keys(example)) {
		if top, _, _ := strings.Cut(group[0].Path, "."); top != section {
			section = top
			p.section(strings.ToUpper(section))
		}
		for i, k := range group {
			if i == 0 {
				p.request(".TP")
			} else {
				p.request(".TQ")
			}
			p.line(strings.TrimSpace(bold(k.Path) + ": " + escape(shortened(k.Value))))
		}
		p.text(group[0].Says)
	}
	p.section("FILES")
	p.text("`/usr/share/doc/offsite/examples/offsite.yaml` has all of this as one file.")
	p.section("SEE ALSO")
	p.line(bold("offsite") + "(1), " + bold("offsite-doctor") + "(1), " + bold("offsite-format") + "(7)")
	return Page{"offsite.yaml.5", []byte(p.String())}
}

// about is what holds for the file as a whole.
const about = "The configuration is YAML without anchors, aliases and tags. `offsite init` writes one; `offsite doctor` says whether it works.\n\n" +
	"It is read strictly: an unknown key, a key that comes twice, a value and its file at once, and whatever else cannot be right is an error, " +
	"which names the line and says what to write instead. All of them are told at once. Nothing in it is expanded: a $ stays one.\n\n" +
	"Of a secret, the value itself may be written, or a file that holds it: the key that ends in _file. A relative path there means a file in " +
	"systemd's credentials directory (LoadCredential= in systemd.exec(5)). Sizes are written 16MiB or 50GB, times 2s, 1m30s or 26h.\n\n" +
	"Below, NAME stands for a name of your own. What follows a key is an example."

// shortened keeps a key of 70 letters from growing over the edge of the page.
func shortened(value string) string {
	if len(value) > 60 {
		return value[:40] + "..."
	}
	return value
}

// groups gives keys with those that follow them under the same comment. What only has other keys below it is none by itself.
func groups(keys []Key) func(yield func([]Key) bool) {
	return func(yield func([]Key) bool) {
		var group []Key
		for _, k := range keys {
			switch {
			case k.Says == "" && k.Value == "":
				continue
			case k.Says == "" && len(group) > 0 && parent(group[0].Path) == parent(k.Path):
				group = append(group, k)
				continue
			}
			if len(group) > 0 && !yield(group) {
				return
			}
			group = []Key{k}
		}
		if len(group) > 0 {
			yield(group)
		}
	}
}

func parent(path string) string { return path[:max(0, strings.LastIndex(path, "."))] }
