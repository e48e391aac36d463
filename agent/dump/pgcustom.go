package dump

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
)

// lookPostgresCustom walks through an archive of pg_dump -Fc: its table of contents names every piece of data, and each must
// follow, whole. The layout is that of src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c of PostgreSQL. Data is unpacked if
// it is packed with zlib, whose checksum must be right.
func lookPostgresCustom(r *bufio.Reader, data *allowance) finding {
	a := &pgArchive{r: r}
	contents, err := a.contents(&room{})
	switch {
	case errors.Is(err, errUnknownArchive):
		return finding{kind: PostgresCustom}
	case errors.Is(err, errNoContents):
		return finding{kind: PostgresCustom, problem: "its table of contents is damaged"}
	case err != nil:
		return cut(PostgresCustom, "its table of contents", err)
	}
	c := &pgCustom{pgArchive: a, contents: contents, met: ids{}, data: data}
	for {
		id, err := c.block()
		switch {
		case errors.Is(err, io.EOF):
			return c.finding()
		case errors.Is(err, errNoBlock):
			return finding{kind: PostgresCustom, problem: "its data is damaged: something that no pg_dump wrote comes after " + contents.name(id)}
		case err != nil:
			return cut(PostgresCustom, contents.name(id), err)
		case c.problem != "":
			return finding{kind: PostgresCustom, at: contents.name(id), problem: fmt.Sprintf("the data of %s %s", contents.name(id), c.problem)}
		}
		c.contents.full = c.contents.full || !c.met.add(id, contents.room)
	}
}

// pgCustom reads the data of a custom archive.
type pgCustom struct {
	*pgArchive
	contents *pgContents
	met      ids
	data     *allowance
	packed   *bufio.Reader // of one piece of data, and what unpacks it
	inflater io.ReadCloser
	problem  string // with the data that was read last
	unread   string // why some data was not looked into
}

func (c *pgCustom) finding() finding {
	f := finding{kind: PostgresCustom, whole: true, unread: c.unread}
	if id, missing := c.contents.owed.without(c.met); missing {
		f.at = c.contents.name(id)
		f.problem = fmt.Sprintf("the data of %s is missing, and perhaps more: pg_dump was probably killed", f.at)
	} else if c.contents.full {
		f.unread = tooMany
	}
	return f
}

// block reads one piece of data, and gives the entry that it belongs to. io.EOF: there is no more.
func (c *pgCustom) block() (id int64, err error) {
	const data, blobs = 1, 3
	kind, err := c.r.ReadByte()
	if err != nil {
		return 0, err
	}
	id = c.int()
	if c.err == nil && id <= 0 {
		return 0, errNoBlock
	}
	switch kind {
	case data:
		rows := &rows{copied: c.contents.copied.has(id)}
		c.piece(rows)
		c.found(rows.problem())
	case blobs:
		for c.err == nil && c.problem == "" && c.int() != 0 { // the oid of each
			c.piece(io.Discard)
		}
	default:
		return id, errNoBlock
	}
	if errors.Is(c.err, io.EOF) {
		return id, io.ErrUnexpectedEOF // in the middle of a block
	}
	return id, c.err
}

func (c *pgCustom) found(problem string) {
	if c.problem == "" && c.err == nil {
		c.problem = problem
	}
}

// piece reads one piece of data into w, unpacked. It may be wrong, or too much; that the archive ends in it is c.err.
func (c *pgCustom) piece(w io.Writer) {
	in := &chunks{archive: c.pgArchive}
	switch {
	case c.packing == pgUnpacked:
		io.Copy(w, in)
		return
	case c.packing != pgGzip:
		c.unread = "its data is packed with lz4 or zstd, which is not looked into here"
	case c.data.denied != "":
		c.unread = c.data.denied
	default:
		c.inflate(w, in)
	}
	if r, ok := w.(*rows); ok && c.unread != "" {
		r.unread = true
	}
	io.Copy(io.Discard, in)
}

// inflate unpacks one piece of data. Nothing at all is nothing, packed.
func (c *pgCustom) inflate(w io.Writer, in *chunks) {
	if c.packed == nil {
		c.packed = bufio.NewReaderSize(nil, 16<<10)
	}
	c.packed.Reset(in)
	if _, err := c.packed.Peek(1); err != nil {
		return
	}
	var err error
	if c.inflater == nil {
		c.inflater, err = zlib.NewReader(c.packed)
	} else {
		err = c.inflater.(zlib.Resetter).Reset(c.packed, nil)
	}
	if err == nil {
		_, err = io.Copy(w, c.data.of(c.inflater))
	}
	more, _ := io.Copy(io.Discard, c.packed)
	switch {
	case c.err != nil:
	case errors.Is(err, errTooMuch):
		c.unread = err.Error()
	case errors.Is(err, zlib.ErrChecksum):
		c.found("has a wrong checksum: it was damaged after it was written")
	case err != nil:
		c.found(fmt.Sprintf("cannot be unpacked: it was damaged after it was written (%v)", err))
	case more > 0:
		c.found("goes on after its end: it was damaged after it was written")
	}
}

// chunks are one piece of data: each has its length before it, and a length of zero ends it.
type chunks struct {
	archive *pgArchive
	left    int64
	over    bool
}

// Read gives the data without the lengths, and io.EOF after the last chunk.
func (c *chunks) Read(p []byte) (int, error) {
	for c.left == 0 && !c.over && c.archive.err == nil {
		c.left = max(0, c.archive.int())
		c.over = c.left == 0
	}
	if c.archive.err != nil {
		return 0, c.archive.err
	}
	if c.over {
		return 0, io.EOF
	}
	n, err := c.archive.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err != nil {
		c.archive.err = unexpected(err)
	}
	return n, c.archive.err
}
