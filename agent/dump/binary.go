package dump

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"

	"github.com/dustin/go-humanize"
)

// lookSQLite compares the number of pages that a database file claims with its size (sqlite.org/fileformat2.html, 1.3).
func lookSQLite(r *bufio.Reader, _ *allowance) finding {
	var h [100]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return cut(SQLite, "its header", err)
	}
	page := int64(binary.BigEndian.Uint16(h[16:]))
	if page == 1 {
		page = 65536
	}
	pages := int64(binary.BigEndian.Uint32(h[28:]))
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return finding{kind: SQLite, err: err}
	}
	size := int64(len(h)) + rest
	valid := pages > 0 && bytes.Equal(h[24:28], h[92:96]) // else it was written by a version that keeps no such number
	switch {
	case page < 512 || page&(page-1) != 0:
		return finding{kind: SQLite, problem: "its header is damaged: pages cannot have that size"}
	case valid && size < page*pages:
		return finding{kind: SQLite, problem: fmt.Sprintf("it ends too early: its header says %s, there are %s",
			humanize.IBytes(uint64(page*pages)), humanize.IBytes(uint64(size)))}
	case valid && size > page*pages:
		return finding{kind: SQLite, problem: "something follows the end of the database"}
	case size%page != 0:
		return finding{kind: SQLite, problem: "it ends in the middle of a page: it was not written to the end"}
	}
	const wal = 2 // what programs must be able to do that read the file, or write it
	if h[18] == wal || h[19] == wal {
		return finding{kind: SQLite, unread: "it is a database in WAL mode: what its -wal file holds is not in it, unless it was made by " +
			"sqlite3's .backup; VACUUM INTO makes one that offsite can judge"}
	}
	return finding{kind: SQLite, whole: valid}
}

// lookRedis looks for the end mark of an RDB file and compares its checksum: CRC-64/REDIS of all that stands before it, or zero
// when the server computes none (redis: src/rdb.c, src/crc64.c). Versions before 5 have no checksum.
func lookRedis(r *bufio.Reader, _ *allowance) finding {
	const sumSize = 8
	table := crc64.MakeTable(0x95ac9329ac4bc9b5)
	head, err := r.Peek(9)
	if err != nil {
		return cut(Redis, "", err)
	}
	if string(head[5:9]) < "0005" {
		return finding{kind: Redis}
	}
	var sum uint64
	var last byte // before the checksum
	held := make([]byte, 0, 64<<10+sumSize)
	for {
		n, err := r.Read(held[len(held):cap(held)])
		held = held[:len(held)+n]
		if k := len(held) - sumSize; k > 0 {
			sum, last = ^crc64.Update(^sum, table, held[:k]), held[k-1]
			held = append(held[:0], held[k:]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return finding{kind: Redis, err: err}
		}
	}
	const endMark = 0xff
	switch want := binary.LittleEndian.Uint64(held); {
	case want == sum || want == 0 && last == endMark:
		return finding{kind: Redis, whole: true}
	case last != endMark:
		return finding{kind: Redis, problem: "it has no end mark: redis was probably killed, or something follows its end"}
	}
	return finding{kind: Redis, problem: "its checksum is wrong: it was damaged after it was written"}
}

// lookMongo walks through an archive of mongodump --archive: a prelude that names the collections, then blocks of documents,
// each with a header; the last block of a collection has none and says EOF (mongo-tools: common/archive).
func lookMongo(r *bufio.Reader, _ *allowance) finding {
	m := &mongoArchive{r: r, open: map[string]bool{}}
	if _, err := io.CopyN(io.Discard, r, 4); err != nil { // the magic number
		return cut(MongoDB, "", err)
	}
	if err := m.prelude(); err != nil {
		return m.cut(err)
	}
	for {
		err := m.block()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m.cut(err)
		}
	}
	for _, name := range m.order {
		if m.open[name] {
			return finding{kind: MongoDB, at: name, problem: fmt.Sprintf("the end of collection %s is missing: mongodump was probably killed", name)}
		}
	}
	return finding{kind: MongoDB, whole: true}
}

type mongoArchive struct {
	r     *bufio.Reader
	open  map[string]bool // collections whose end was not met
	order []string
	at    string
}

func (m *mongoArchive) cut(err error) finding {
	if errors.Is(err, errNoDocument) {
		return finding{kind: MongoDB, at: m.at, problem: "it is damaged" + after(m.at) + ": what follows is no document"}
	}
	return cut(MongoDB, m.at, err)
}

// errNoDocument: where a BSON document should begin there is something else.
var errNoDocument = errors.New("no document")

// maxDocument bounds the headers that are held; documents of data are passed over.
const maxDocument = 1 << 20

// next reads the length of the next document; 0: the terminator.
func (m *mongoArchive) next() (int64, error) {
	var b [4]byte
	if _, err := io.ReadFull(m.r, b[:]); err != nil {
		return 0, err
	}
	n := int32(binary.LittleEndian.Uint32(b[:]))
	if n == -1 {
		return 0, nil
	}
	if n < 5 {
		return 0, errNoDocument
	}
	return int64(n), nil
}

// document reads the rest of a document of length n.
func (m *mongoArchive) document(n int64) ([]byte, error) {
	if n > maxDocument {
		return nil, errNoDocument
	}
	b := make([]byte, n-4)
	_, err := io.ReadFull(m.r, b)
	return b, unexpected(err)
}

// prelude reads a header and what it says of every collection. Views and the like have no data, so only the body tells.
func (m *mongoArchive) prelude() error {
	return m.pass()
}

// pass passes over documents up to the terminator.
func (m *mongoArchive) pass() error {
	for {
		n, err := m.next()
		if err != nil {
			return unexpected(err)
		}
		if n == 0 {
			return nil
		}
		if _, err := io.CopyN(io.Discard, m.r, n-4); err != nil {
			return unexpected(err)
		}
	}
}

// block passes over the documents of one collection up to the terminator. io.EOF: the archive has ended.
func (m *mongoArchive) block() error {
	n, err := m.next()
	if err != nil {
		return err
	}
	header, err := m.document(n)
	if err != nil {
		return err
	}
	name, over := mongoHeader(header)
	if name == "" {
		return errNoDocument
	}
	if _, met := m.open[name]; !met {
		m.order = append(m.order, name)
	}
	m.at, m.open[name] = "collection "+name, !over
	return m.pass()
}

// mongoHeader reads the fields db, collection and EOF of a header, a BSON document without its length (bsonspec.org).
func mongoHeader(b []byte) (name string, over bool) {
	const stringField, boolField, int64Field = 2, 8, 18
	var db, collection string
	for len(b) > 1 && b[0] != 0 {
		kind := b[0]
		key, rest, ok := bytes.Cut(b[1:], []byte{0})
		if !ok {
			return "", false
		}
		switch {
		case kind == stringField && len(rest) >= 4 && int64(binary.LittleEndian.Uint32(rest)) <= int64(len(rest)-4) && binary.LittleEndian.Uint32(rest) > 0:
			n := int(binary.LittleEndian.Uint32(rest))
			value := string(rest[4 : 4+n-1])
			rest = rest[4+n:]
			switch string(key) {
			case "db":
				db = value
			case "collection":
				collection = value
			}
		case kind == boolField && len(rest) >= 1:
			over = over || string(key) == "EOF" && rest[0] == 1
			rest = rest[1:]
		case kind == int64Field && len(rest) >= 8:
			rest = rest[8:]
		default:
			return "", false
		}
		b = rest
	}
	if collection == "" {
		return "", false
	}
	return db + "." + collection, over
}

// unexpected is for an end where there should be none.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
