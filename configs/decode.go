package configs

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder fills a Config from YAML's syntax tree. The library's own decoder ends at the first mistake; this one notes
// each, with its line, and goes on.
type decoder struct {
	root     *ast.MappingNode
	lines    map[string]int // of every key that was met, by its path
	mistakes []Mistake
}

func newDecoder(b []byte) *decoder {
	d := &decoder{lines: map[string]int{}}
	file, err := parser.ParseBytes(b, 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax):
		line := 0
		if t := syntax.GetToken(); t != nil {
			line = t.Position.Line
		}
		d.note(line, "", remedy(syntax.GetMessage()))
	case err != nil:
		d.note(0, "", err.Error())
	case len(file.Docs) > 1:
		d.note(file.Docs[1].GetToken().Position.Line, "", "a second document begins here; a configuration is one")
	case len(file.Docs) == 1 && file.Docs[0].Body != nil:
		switch body := file.Docs[0].Body.(type) {
		case *ast.MappingNode:
			d.root = body
		case *ast.CommentGroupNode:
			d.root = &ast.MappingNode{}
		default:
			d.note(line(body), "", "a configuration is keys and values, such as host: db-server")
		}
	default:
		d.root = &ast.MappingNode{}
	}
	return d
}

var twice = regexp.MustCompile(`^mapping key "(.*)" already defined at \[(\d+):\d+\]$`)

// remedy puts the library's words for common mistakes of syntax into ours.
func remedy(message string) string {
	if m := twice.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s comes twice, first on line %s; keep one", m[1], m[2])
	}
	if strings.Contains(message, "character '\t'") {
		return "a tab cannot indent here; write spaces"
	}
	return message
}

func (d *decoder) note(line int, key, problem string) {
	d.mistakes = append(d.mistakes, Mistake{line, key, problem})
}

func (d *decoder) sort() {
	slices.SortStableFunc(d.mistakes, func(a, b Mistake) int { return a.Line - b.Line })
}

// line of the deepest key on the way to key that is in the file.
func (d *decoder) line(key string) int {
	for key != "" {
		if n, ok := d.lines[key]; ok {
			return n
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return 0
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func (d *decoder) decode(c *Config) {
	if d.root != nil {
		d.structure(d.root, reflect.ValueOf(c).Elem(), "")
	}
}

// value decodes one node into v, of whatever type.
func (d *decoder) value(n ast.Node, v reflect.Value, key string) {
	d.lines[key] = line(n)
	if _, ok := n.(*ast.NullNode); ok {
		d.note(line(n), key, "has no value; remove the key or write one")
		return
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.note(line(n), key, "anchors, aliases and tags are not part of this file")
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if text, ok := d.scalar(n, key); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				d.note(line(n), key, err.Error())
			}
		}
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[Limit]():
		d.limit(n, v.Addr().Interface().(*Limit), key)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), key)
	case v.Type() == reflect.TypeFor[[]Target]():
		named(d, n, v.Addr().Interface().(*[]Target), key, "target", func(t *Target) *string { return &t.Name })
	case v.Type() == reflect.TypeFor[[]Drill]():
		named(d, n, v.Addr().Interface().(*[]Drill), key, "drill", func(t *Drill) *string { return &t.Name })
	case v.Type() == reflect.TypeFor[[]Way]():
		named(d, n, v.Addr().Interface().(*[]Way), key, "way", func(w *Way) *string { return &w.Name })
	case v.Kind() == reflect.Struct:
		if m := d.mapping(n, key); m != nil {
			d.structure(m, v, key)
		}
	case v.Kind() == reflect.Slice:
		d.list(n, v, key)
	default:
		d.leaf(n, v, key)
	}
}

func (d *decoder) scalar(n ast.Node, key string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	d.note(line(n), key, "should be a single value")
	return "", false
}

func (d *decoder) leaf(n ast.Node, v reflect.Value, key string) {
	text, ok := d.scalar(n, key)
	if !ok {
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		t, err := time.ParseDuration(text)
		if err != nil || t < 0 {
			d.note(line(n), key, fmt.Sprintf("%q should be a time such as 2s or 1m30s", text))
			return
		}
		v.SetInt(int64(t))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			d.note(line(n), key, fmt.Sprintf("%q should be true or false", text))
			return
		}
		v.SetBool(text == "true")
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			d.note(line(n), key, fmt.Sprintf("%q should be a number", text))
			return
		}
		v.SetInt(i)
	default:
		d.note(line(n), key, "cannot be set")
	}
}

func (d *decoder) mapping(n ast.Node, key string) *ast.MappingNode {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.note(line(n), key, "should be keys and values, indented below it")
	}
	return m
}

// structure decodes a mapping. Unknown keys and keys that come twice are mistakes.
func (d *decoder) structure(m *ast.MappingNode, v reflect.Value, path string) {
	fields := map[string]int{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = i
		}
	}
	seen := map[string]int{}
	for _, kv := range m.Values {
		name := kv.Key.String()
		key := join(path, name)
		at := line(kv.Key)
		field, known := fields[name]
		switch {
		case !known:
			d.note(at, key, "is not a key here"+suggest(name, fields))
		case seen[name] > 0:
			d.note(at, key, fmt.Sprintf("comes twice, first on line %d; keep one", seen[name]))
		default:
			d.value(kv.Value, v.Field(field), key)
			d.lines[key] = at
		}
		seen[name] = at
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, key string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.note(line(n), key, "should be a list: each entry on a line of its own, with a hyphen")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
}

// named decodes a mapping from names to values, in the order of the file.
func named[T any](d *decoder, n ast.Node, all *[]T, path, what string, name func(*T) *string) {
	m := d.mapping(n, path)
	if m == nil {
		return
	}
	for _, kv := range m.Values {
		var t T
		*name(&t) = kv.Key.String()
		key := join(path, kv.Key.String())
		if slices.ContainsFunc(*all, func(other T) bool { return *name(&other) == *name(&t) }) {
			d.note(line(kv.Key), key, "comes twice; give each "+what+" a name of its own")
			continue
		}
		d.value(kv.Value, reflect.ValueOf(&t).Elem(), key)
		d.lines[key] = line(kv.Key)
		*all = append(*all, t)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// suggest names the known key that is likely meant.
func suggest(name string, fields map[string]int) string {
	best, distance := "", 3
	for known := range fields {
		if n := edits(name, known); n < distance || n == distance && known < best {
			best, distance = known, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	all := make([]string, 0, len(fields))
	for known := range fields {
		all = append(all, known)
	}
	slices.Sort(all)
	return "; the keys are " + strings.Join(all, ", ")
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
