// Package dump is what a dump says of itself: by its name, the series that it belongs to and when it was taken; by its
// bytes, its size and SHA-256.
//
// The names that backup scripts write are many, and the same rules must hold for all: the same database never becomes
// another series from one day to the next, and two databases never become one. So a series is all of the name that
// is neither a time nor an extension, together with the directory.
package dump

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Rules say how the names in one watched directory are read.
type Rules struct {
	// Name comes first in every series of the directory; empty: nothing does.
	Name string
	// Pattern is how file names are built, such as "{series}_{time}.sql.gz"; empty: found by itself. See CheckPattern.
	Pattern string
	// Zone is where a time without a zone was read off the clock.
	Zone *time.Location
}

// TakenFrom says how it is known when a dump was taken.
type TakenFrom string

// The ways in which it is known.
const (
	FromName  TakenFrom = "name"  // a time in the file name
	FromMTime TakenFrom = "mtime" // the file's modification time
)

// Identity is what a dump's name says.
type Identity struct {
	// Series never is empty, and its parts between slashes never are "", "." or "..".
	Series string
	// Taken is UTC, whole seconds.
	Taken time.Time
	From  TakenFrom
	// File is the name without its directory.
	File string
	// Suspect says why the time cannot be right; empty if it may be.
	Suspect string
}

// tooFar is how far ahead of the clock a dump may say it was taken: zones and skewed clocks explain no more than that.
const tooFar = 24 * time.Hour

// nearMTime is how near to the file's mtime a number must be to count as seconds since 1970: customers have such numbers too.
const nearMTime = 7 * 24 * time.Hour

// Identify reads a dump's name. rel is its path below the watched directory, with slashes. A time in the name that is
// more than a day ahead of now, and of the mtime, is not believed: the dump is suspect and its mtime is taken; and if that is
// ahead too, now is. The only error is a name that does not match the pattern.
func Identify(rel string, mtime, now time.Time, rules Rules) (Identity, error) {
	zone := rules.Zone
	if zone == nil {
		zone = time.UTC
	}
	dir, file := path.Split(rel)
	name, stamp, found, err := split(file, rules.Pattern)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{File: file, From: FromMTime, Taken: mtime}
	if found && stamp.unix != 0 && mtime.Sub(stamp.instant(zone, mtime)).Abs() > nearMTime {
		name, found = bare(file), false // some other number
	}
	if found {
		// A stamp that the mtime agrees with speaks against the clock: such a dump is from the future until that is right.
		if taken := stamp.instant(zone, mtime); taken.After(now.Add(tooFar)) && mtime.Sub(taken).Abs() > tooFar {
			id.Suspect = fmt.Sprintf("its name says %s, which is in the future", taken.Format(time.RFC3339))
		} else {
			id.From, id.Taken = FromName, taken
		}
	}
	if id.From == FromMTime && id.Taken.After(now.Add(tooFar)) {
		if id.Suspect == "" {
			id.Suspect = fmt.Sprintf("its modification time is %s, which is in the future", mtime.UTC().Format(time.RFC3339))
		}
		id.Taken = now
	}
	id.Taken = id.Taken.UTC().Truncate(time.Second)
	id.Series = series(rules.Name, dir, name)
	return id, nil
}

// series joins the parts of a series. A file that is called nothing but a time takes the name of its directory.
func series(prefix, dir, name string) string {
	var parts []string
	for _, p := range append([]string{prefix}, append(strings.Split(dir, "/"), name)...) {
		if p != "" && p != "." && p != ".." {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return "dump"
	}
	return strings.Join(parts, "/")
}

// split takes a file name apart: what the series is called, and the stamp.
func split(file, pattern string) (name string, s stamp, found bool, err error) {
	if pattern != "" {
		return match(file, pattern)
	}
	base := trimExtensions(file)
	s, from, to, found := findStamp(base)
	if !found {
		return bare(file), stamp{}, false, nil
	}
	return tarred(file, join(base[:from], base[to:])), s, true, nil
}

// bare is a file name without its extensions.
func bare(file string) string { return tarred(file, trimExtensions(file)) }

// tarred marks the series of a tar file.
func tarred(file, name string) string {
	if name != "" && Shape(file) == "tar" {
		return name + ".tar"
	}
	return name
}

// separators stand between the parts of a file name.
const separators = "_-. "

// join puts together what stood around a stamp, with one separator where two met.
func join(before, after string) string {
	left := strings.TrimRight(before, separators)
	right := strings.TrimLeft(trimExtensions(after), separators)
	if left == "" || right == "" {
		return left + right
	}
	return left + before[len(left):][:min(1, len(before)-len(left))] + right
}

// extensions say of what kind the content is, never which database it is of.
var extensions = map[string]bool{
	"sql": true, "dump": true, "dmp": true, "pgdump": true, "psql": true, "pgsql": true, "mysql": true, "custom": true,
	"gz": true, "zst": true, "zstd": true, "bz2": true, "xz": true, "lz4": true, "lzma": true, "br": true, "7z": true, "zip": true, "rar": true, "bak": true, "backup": true, "bson": true, "archive": true,
	"rdb": true, "db": true, "sqlite": true, "sqlite3": true, "age": true, "gpg": true, "enc": true, "bin": true, "ldif": true,
}

// tars are extensions of tar files. These are of another kind than a database's dump of the same name, of the same night, and
// have a series of their own, which ends in .tar.
var tars = map[string]bool{"tar": true, "tgz": true, "tbz2": true, "txz": true, "tzst": true}

// packings say nothing of what is in a file.
var packings = map[string]bool{
	"gz": true, "zst": true, "zstd": true, "bz2": true, "xz": true, "lz4": true, "lzma": true, "br": true, "age": true, "gpg": true, "enc": true,
}

// Shape is what a file's extensions say of its content, whatever it is packed in: "sql" for db_20261122.sql.gz. Files of one
// series that have different shapes are not the same thing twice.
func Shape(file string) string {
	shape := ""
	for {
		i := strings.LastIndexByte(file, '.')
		if i <= 0 {
			return shape
		}
		e := strings.ToLower(file[i+1:])
		if tars[e] {
			return "tar"
		}
		if !extensions[e] {
			return shape
		}
		if !packings[e] {
			shape = strings.TrimSuffix(e+"."+shape, ".")
		}
		file = file[:i]
	}
}

// trimExtensions cuts known extensions off the end, however many, but never the whole name.
func trimExtensions(name string) string {
	for {
		i := strings.LastIndexByte(name, '.')
		if i <= 0 {
			return name
		}
		if e := strings.ToLower(name[i+1:]); !extensions[e] && !tars[e] {
			return name
		}
		name = name[:i]
	}
}
