package dump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// pgContents is the table of contents of an archive of pg_dump.
type pgContents struct {
	names  map[int64]string // of entries with data, for people; not of all, if there are very many
	owed   ids              // the entries that have data
	copied ids              // those whose data is that of COPY
	lists  int              // lists of large objects that a directory must have
	room   *room
	full   bool // there was no room for all entries
}

func (c *pgContents) name(id int64) string {
	switch n := c.names[id]; {
	case id == 0:
		return "its table of contents"
	case n != "":
		return n
	}
	return fmt.Sprintf("entry %d of its table of contents", id)
}

// tooMany says why nobody can tell whether all is there.
const tooMany = "its table of contents is too long to be held here"

// Errors of an archive.
var (
	// errUnknownArchive: it is of a version that is not known here, so nobody can tell.
	errUnknownArchive = errors.New("unknown version of archive")
	// errNoContents: what should be its table of contents is none.
	errNoContents = errors.New("no table of contents")
	// errNoBlock: where a piece of data should begin there is something else.
	errNoBlock = errors.New("no block of data")
)

// Formats of archives.
const (
	pgFormatCustom    = 1
	pgFormatTar       = 3
	pgFormatDirectory = 5
)

// How data is packed.
const (
	pgUnpacked = 0
	pgGzip     = 1
)

// pgMagic is how an archive begins.
const pgMagic = "PGDMP"

// pgArchive reads an archive. Its version is major*256 + minor.
type pgArchive struct {
	r                        *bufio.Reader
	version                  int
	intSize, offSize, format byte
	packing                  byte  // of the data, in a custom archive
	err                      error // the first one; after it everything reads as zero
}

func (a *pgArchive) contents(r *room) (*pgContents, error) {
	a.header()
	c := &pgContents{names: map[int64]string{}, owed: ids{}, copied: ids{}, room: r}
	count := a.int()
	for range count {
		e := a.entry()
		if a.err != nil {
			return nil, a.err
		}
		if e.id <= 0 || e.kind == "" {
			return nil, errNoContents
		}
		c.add(e)
	}
	return c, a.err
}

func (c *pgContents) add(e pgEntry) {
	if e.list {
		c.lists++
	}
	if e.data == 0 {
		return
	}
	c.full = c.full || !c.owed.add(e.data, c.room) || e.copied && !c.copied.add(e.data, c.room)
	if c.room.names < maxNames {
		c.room.names++
		c.names[e.data] = e.name()
	}
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
		a.packing = a.byte()
	} else if a.int() != 0 { // a level
		a.packing = pgGzip
	}
	for range 7 { // when it was made
		a.int()
	}
	for range 3 { // database, version of the server, version of pg_dump
		a.string()
	}
}

// pgEntry is one entry of the table of contents.
type pgEntry struct {
	id                int64
	tag, kind, schema string
	copied            bool
	// data is by which number its data goes: its own or, in a directory, that of the file; 0: it has none.
	data int64
	// list says that in a directory there is a list of large objects for it.
	list bool
}

func (e pgEntry) name() string {
	name := strings.TrimSuffix(strings.ToLower(e.kind), " data") + " "
	if e.schema != "" {
		name += e.schema + "."
	}
	return name + e.tag
}

func (a *pgArchive) entry() (e pgEntry) {
	e.id = a.int()
	a.int()    // whether something made data for it
	a.string() // oids
	a.string()
	e.tag, e.kind = a.string(), a.string()
	if a.version >= 1<<8|11 {
		a.int() // section
	}
	a.skipString() // definition, and how to drop it
	a.skipString()
	e.copied = a.skipString()
	e.schema = a.string()
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
	a.place(&e)
	return e
}

// place reads where the data of an entry is.
func (a *pgArchive) place(e *pgEntry) {
	if a.format == pgFormatCustom {
		const none = 3 // K_OFFSET_NO_DATA
		if a.byte() != none {
			e.data = e.id
		}
		a.skip(int64(a.offSize))
		return
	}
	file := a.string()
	if file == "" {
		return
	}
	if e.list = e.kind == "BLOBS"; e.list { // each large object has a file of its own
		return
	}
	number, _ := strings.CutSuffix(file, ".dat")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 {
		a.err = errNoContents
	}
	e.data = n
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
