package vault

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Suffixes of the two objects of a backup.
const (
	dataSuffix     = ".age"
	manifestSuffix = ".manifest"
)

// stampLayout is how an object's name says when its dump was taken: UTC, to the second.
const stampLayout = "20060102T150405Z"

// maxPart is how long one part of a data object's name may be: file systems take 255 bytes, and its manifest needs
// room for its suffix.
const maxPart = 255 - len(manifestSuffix)

// Name is what the name of a data object says:
//
//	<host>/<series>/<taken>_<id>_<file>.age
//
// Host, series and file are percent-encoded where they hold anything but letters, digits and "-._+=@,". Parse and
// String are inverse.
type Name struct {
	Host   string
	Series string
	// Taken is UTC with whole seconds, in the years 0 to 9999.
	Taken time.Time
	// ID is the 8 lower-case hex digits drawn for each sealing: no two sealings share a name.
	ID string
	// File is the dump's file name, cut when the object's name would become too long for a file system; the
	// manifest has all of it.
	File string
}

// NewName makes a name of any strings. It fails when host or series is empty or too long for one part of a path.
func NewName(host, series string, taken time.Time, id, file string) (Name, error) {
	n := Name{Host: Text(host), Series: Text(series), Taken: taken.UTC().Truncate(time.Second), ID: id, File: Text(file)}
	room := maxPart - len(stampLayout) - len(id) - 2 - len(dataSuffix)
	for len(encode(n.File)) > room {
		_, size := utf8.DecodeLastRuneInString(n.File)
		n.File = n.File[:len(n.File)-size]
	}
	if parsed, err := Parse(n.String()); err != nil {
		return Name{}, err
	} else if parsed != n {
		return Name{}, fmt.Errorf("object name %q does not parse back to its parts", n)
	}
	return n, nil
}

// String is the data object's name.
func (n Name) String() string {
	return encode(n.Host) + "/" + encode(n.Series) + "/" +
		n.Taken.Format(stampLayout) + "_" + n.ID + "_" + encode(n.File) + dataSuffix
}

// Manifest is the name of the manifest object.
func (n Name) Manifest() string { return n.String() + manifestSuffix }

// Called says whether a person who writes what means this backup: its object, or its dump's file name, which an object's name
// may have in part only.
func (n Name) Called(what string) bool {
	if what == n.String() {
		return true
	}
	asked, err := NewName(n.Host, n.Series, n.Taken, n.ID, what)
	return err == nil && asked.File == n.File
}

// Parse reads a data object's name. It accepts only what String writes.
func Parse(object string) (Name, error) {
	bad := func(why string) (Name, error) {
		return Name{}, fmt.Errorf("%q is not the name of a backup: %s", object, why)
	}
	parts := strings.Split(object, "/")
	if len(parts) != 3 {
		return bad("it should be host/series/file")
	}
	last, ok := strings.CutSuffix(parts[2], dataSuffix)
	if !ok {
		return bad("it should end in " + dataSuffix)
	}
	fields := strings.SplitN(last, "_", 3)
	if len(fields) != 3 {
		return bad("the file should be time_id_name" + dataSuffix)
	}
	taken, err := time.Parse(stampLayout, fields[0])
	if err != nil {
		return bad("no time such as " + stampLayout)
	}
	if !validID(fields[1]) {
		return bad("the id should be 8 hex digits")
	}
	n := Name{Taken: taken, ID: fields[1]}
	for i, to := range []*string{&n.Host, &n.Series, &n.File} {
		text := []string{parts[0], parts[1], fields[2]}[i]
		if *to, err = decode(text); err != nil {
			return bad(err.Error())
		}
	}
	if n.Host == "" || n.Series == "" {
		return bad("host or series is empty")
	}
	for _, part := range parts {
		if len(part) > maxPart {
			return bad(fmt.Sprintf("a part is longer than %d bytes", maxPart))
		}
	}
	if n.String() != object {
		return bad("it is not written the way offsite writes it")
	}
	return n, nil
}

func validID(id string) bool {
	if len(id) != 8 {
		return false
	}
	for i := range len(id) {
		if !strings.ContainsRune("0123456789abcdef", rune(id[i])) {
			return false
		}
	}
	return true
}

// Text is s with each byte that is not part of valid UTF-8 written as %XX, so that manifests, which are JSON, can
// carry it. Valid UTF-8 stays as it is.
func Text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// encode percent-encodes all but letters, digits and "-._+=@,", and a dot in front, where targets hide things.
func encode(s string) string {
	const hex = "0123456789ABCDEF"
	special := 0
	for i := range len(s) {
		if !plain(s[i]) || i == 0 && s[i] == '.' {
			special++
		}
	}
	if special == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*special)
	for i := range len(s) {
		c := s[i]
		if plain(c) && !(i == 0 && c == '.') {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._+=@,", c) >= 0
}

func decode(s string) (string, error) {
	if !strings.Contains(s, "%") {
		if !utf8.ValidString(s) {
			return "", fmt.Errorf("%q is not UTF-8", s)
		}
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		var c byte
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends in the middle of an escape", s)
		}
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02X", &c); err != nil {
			return "", fmt.Errorf("%q has a bad escape", s)
		}
		b.WriteByte(c)
		i += 2
	}
	if !utf8.ValidString(b.String()) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	return b.String(), nil
}
