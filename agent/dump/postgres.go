package dump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// lookPostgresCustom walks through an archive of pg_dump -Fc: its table of contents names every piece of data, and each must
// follow, whole. The layout is that of src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c of PostgreSQL; compressed
// data is passed over, not unpacked.
func lookPostgresCustom(r *bufio.Reader) finding {
	a := &pgArchive{r: r}
	contents, err := a.contents()
	if errors.Is(err, errUnknownArchive) {
		return finding{kind: PostgresCustom}
	}
	if err != nil {
		return cut(PostgresCustom, "its table of contents", err)
	}
	for {
		id, err := a.block()
		switch {
		case errors.Is(err, io.EOF):
			return contents.finding()
		case errors.Is(err, errNoBlock):
			return finding{kind: PostgresCustom, problem: "its data is damaged: something that no pg_dump wrote comes after " + contents.name(id)}
		case err != nil:
			return cut(PostgresCustom, contents.name(id), err)
		}
		delete(contents.owed, id)
	}
}

// pgContents is the table of contents of an archive.
type pgContents struct {
	names map[int64]string // of every entry, for people
	owed  map[int64]string // entries whose data was not met yet; the file that has it, in a directory
	first []int64          // the keys of owed, in order
}

func (c *pgContents) name(id int64) string {
	if n := c.names[id]; n != "" {
		return n
	}
	return "its table of contents"
}

func (c *pgContents) finding() finding {
	for _, id := range c.first {
		if _, owed := c.owed[id]; owed {
			return finding{kind: PostgresCustom, at: c.name(id), problem: fmt.Sprintf("the data of %s is missing, and perhaps more: pg_dump was probably killed", c.name(id))}
		}
	}
	return finding{kind: PostgresCustom, whole: true}
}

// errUnknownArchive: the archive is of a version that is not known here, so nobody can tell.
var errUnknownArchive = errors.New("unknown version of archive")

// errNoBlock: where a piece of data should begin there is something else.
var errNoBlock = errors.New("no block of data")

// Formats of archives.
const (
	pgFormatCustom    = 1
	pgFormatTar       = 3
	pgFormatDirectory = 5
)

// pgArchive reads an archive. Its version is major*256 + minor.
type pgArchive struct {
	r                        *bufio.Reader
	version                  int
	intSize, offSize, format byte
	err                      error // the first one; after it everything reads as zero
}

func (a *pgArchive) contents() (*pgContents, error) {
	a.header()
	c := &pgContents{names: map[int64]string{}, owed: map[int64]string{}}
	count := a.int()
	for range count {
		if a.err != nil {
			return nil, a.err
		}
		id, name, file, data := a.entry()
		c.names[id] = name
		if data {
			c.owed[id] = file
			c.first = append(c.first, id)
		}
	}
	return c, a.err
}

func (a *pgArchive) header() {
	var h [11]byte // PGDMP, version, sizes, format
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		a.err = err
		return
	}
	a.version, a.intSize, a.offSize, a.format = int(h[5])<<8|int(h[6]), h[8], h[9], h[10]
	known := a.version >= 1<<8|10 && a.version <= 1<<8|16 && a.intSize >= 1 && a.intSize <= 8 && a.offSize >= 1 && a.offSize <= 8 &&
		(a.format == pgFormatCustom || a.format == pgFormatTar || a.format == pgFormatDirectory)
	if !known {
		a.err = errUnknownArchive
		return
	}
	if a.version >= 1<<8|15 {
		a.byte() // the compression
	} else {
		a.int()
	}
	for range 7 { // when it was made
		a.int()
	}
	for range 3 { // database, version of the server, version of pg_dump
		a.string()
	}
}

// entry reads one entry of the table of contents. data says that data belongs to it, and file where that is in a directory.
func (a *pgArchive) entry() (id int64, name, file string, data bool) {
	id = a.int()
	a.int()    // whether something made data for it
	a.string() // oids
	a.string()
	tag, kind := a.string(), a.string()
	if a.version >= 1<<8|11 {
		a.int() // section
	}
	a.skipString() // definition, how to drop it, COPY
	a.skipString()
	a.skipString()
	schema := a.string()
	a.string() // tablespace
	if a.version >= 1<<8|14 {
		a.string() // access method
	}
	if a.version >= 1<<8|16 {
		a.int() // kind of relation
	}
	a.string()                           // owner
	a.string()                           // WITH OIDS
	for a.err == nil && a.skipString() { // what it depends on
	}
	if a.format == pgFormatCustom {
		const none = 3 // K_OFFSET_NO_DATA
		data = a.byte() != none
		a.skip(int64(a.offSize))
	} else {
		file = a.string()
		data = file != "" && !(a.format == pgFormatTar && kind == "BLOBS") // in a tar file each large object has a file of its own
	}
	name = strings.TrimSuffix(strings.ToLower(kind), " data") + " "
	if schema != "" {
		name += schema + "."
	}
	return id, name + tag, file, data
}

// block passes over one piece of data, and gives the entry that it belongs to. io.EOF: there is no more.
func (a *pgArchive) block() (id int64, err error) {
	const data, blobs = 1, 3
	kind, err := a.r.ReadByte()
	if err != nil {
		return 0, err
	}
	id = a.int()
	switch kind {
	case data:
		a.chunks()
	case blobs:
		for a.err == nil && a.int() != 0 { // the oid of each
			a.chunks()
		}
	default:
		return id, errNoBlock
	}
	if errors.Is(a.err, io.EOF) {
		return id, io.ErrUnexpectedEOF // in the middle of a block
	}
	return id, a.err
}

func (a *pgArchive) chunks() {
	for a.err == nil {
		n := a.int()
		if n <= 0 {
			return
		}
		a.skip(n)
	}
}

func (a *pgArchive) byte() byte {
	if a.err != nil {
		return 0
	}
	b, err := a.r.ReadByte()
	a.err = err
	return b
}

// int is a sign and intSize bytes, the lowest first.
func (a *pgArchive) int() int64 {
	if a.err != nil {
		return 0
	}
	sign := a.byte()
	var b [8]byte
	for i := range a.intSize {
		b[i] = a.byte()
	}
	if a.err != nil {
		return 0
	}
	n := int64(binary.LittleEndian.Uint64(b[:]))
	if sign != 0 {
		return -n
	}
	return n
}

// maxName bounds the strings that are held; longer ones are passed over.
const maxName = 4096

// string is a length and so many bytes; a negative length is no string at all.
func (a *pgArchive) string() string {
	n := a.int()
	if n <= 0 || a.err != nil {
		return ""
	}
	b := make([]byte, min(n, maxName))
	if _, err := io.ReadFull(a.r, b); err != nil {
		a.err = err
		return ""
	}
	a.skip(n - int64(len(b)))
	return string(b)
}

// skipString passes over a string, and says whether there was one.
func (a *pgArchive) skipString() bool {
	n := a.int()
	if n > 0 {
		a.skip(n)
	}
	return n >= 0
}

func (a *pgArchive) skip(n int64) {
	if a.err == nil {
		_, a.err = io.CopyN(io.Discard, a.r, n)
	}
}
