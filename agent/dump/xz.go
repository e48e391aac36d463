package dump

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
)

// xzGuard reads an xz file for the library that unpacks it, and stops before a block for which that would take more than maxWindow: each
// block names a window of its own, up to 4 GiB, which the library allocates. Also, the library keeps a note of each block up to the end
// of its stream. The guard follows the file's layout (The .xz File Format 1.2.1; of LZMA2, xz-embedded's description); it checks nothing
// else, which the library does.
type xzGuard struct {
	r    io.Reader
	at   xzPart
	err  error  // why it has stopped
	head []byte // what has come of the part, until it says how long it is
	skip int64  // bytes that say nothing

	check   int64 // the size of the checksum of each block of the stream
	blocks  int   // in the stream
	payload int64 // bytes of the block's data
	numbers int64 // that the index still has to come
	index   int64 // bytes of it
}

// xzPart is a part of an xz file.
type xzPart int

const (
	xzStream  xzPart = iota // the header of a stream, or the padding before it
	xzBlock                 // the header of a block, or the index
	xzChunk                 // a chunk of LZMA2
	xzCount                 // how many records the index has
	xzRecords               // those
	xzBroken                // the library will say so
)

// maxBlocks is how many blocks a stream may have: one of a terabyte that xz makes on all cores has fewer.
const maxBlocks = 1 << 20

// Read gives the file as it is; errTooLarge before what would take too much.
func (g *xzGuard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	for rest := p[:n]; len(rest) > 0 && g.at != xzBroken; {
		if pass := min(g.skip, int64(len(rest))); pass > 0 {
			g.skip -= pass
			rest = rest[pass:]
			continue
		}
		g.head = append(g.head, rest[0])
		rest = rest[1:]
		done, err := g.part()
		if err != nil {
			g.err = err
			return 0, err
		}
		if done {
			g.head = g.head[:0]
		}
	}
	if n == 0 && err == io.EOF && (g.skip > 0 || g.at != xzStream && g.at != xzBroken) {
		err = io.ErrUnexpectedEOF // for the library a stream is at its end after any block
	}
	return n, err
}

// part looks at what has come of a part, and says whether that is all.
func (g *xzGuard) part() (done bool, err error) {
	switch n := len(g.head); g.at {
	case xzStream:
		return g.stream(n), nil
	case xzBlock:
		if g.head[0] == 0 {
			g.at, g.index = xzCount, 1
			return true, nil
		}
		if n < (int(g.head[0])+1)*4 {
			return false, nil
		}
		g.at, g.payload = xzChunk, 0
		if g.blocks++; g.blocks > maxBlocks || xzWindow(g.head) > maxWindow {
			return false, errTooLarge
		}
		return true, nil
	case xzChunk:
		return g.chunk(n), nil
	}
	return g.number(), nil
}

// stream is done with the padding between two streams, or with the header of one.
func (g *xzGuard) stream(n int) bool {
	if n == 4 && bytes.Equal(g.head, make([]byte, 4)) {
		return true
	}
	if n < 12 {
		return false
	}
	sizes := [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	g.at, g.check, g.blocks = xzBlock, sizes[g.head[7]&15], 0
	return true
}

// chunk is done with the header of a chunk, whose data is skipped.
func (g *xzGuard) chunk(n int) bool {
	control, header := g.head[0], 3
	switch {
	case control == 0: // the block ends
		g.payload++
		g.skip = (4-g.payload%4)%4 + g.check
		g.at = xzBlock
		return true
	case control >= 0xc0: // with properties
		header = 6
	case control >= 0x80:
		header = 5
	case control > 2:
		g.at = xzBroken
		return true
	}
	if n < header {
		return false
	}
	size := g.head[1:3]
	if control >= 0x80 {
		size = g.head[3:5]
	}
	g.skip = int64(binary.BigEndian.Uint16(size)) + 1
	g.payload += int64(header) + g.skip
	return true
}

// number is done with a number of the index, and with the last one skips what follows it, up to the end of the stream.
func (g *xzGuard) number() bool {
	g.index++
	if g.head[len(g.head)-1] >= 0x80 {
		if len(g.head) > binary.MaxVarintLen64 {
			g.at = xzBroken
		}
		return false
	}
	if g.at == xzCount {
		count, n := binary.Uvarint(g.head)
		if n <= 0 || count > maxBlocks {
			g.at = xzBroken // there were not so many blocks
			return true
		}
		g.at, g.numbers = xzRecords, 2*int64(count)+1
	}
	if g.numbers--; g.numbers == 0 {
		const checksum, footer = 4, 12
		g.skip = (4-g.index%4)%4 + checksum + footer
		g.at = xzStream
	}
	return true
}

// xzWindow is how much memory a block with this header asks for, in bytes (3.1 and 5.3.1); 0: it cannot be told, and the library will
// say what is wrong.
func xzWindow(header []byte) int64 {
	flags, rest := header[1], header[2:]
	for _, has := range []byte{0x40, 0x80} { // compressed and uncompressed size, numbers of variable length
		if flags&has == 0 {
			continue
		}
		last := slices.IndexFunc(rest, func(b byte) bool { return b < 0x80 })
		if last < 0 {
			return 0
		}
		rest = rest[last+1:]
	}
	if len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 || rest[2] > 40 {
		return 0
	}
	bits := int64(rest[2])
	if bits == 40 {
		return 1<<32 - 1
	}
	return (2 | bits&1) << (bits/2 + 11)
}
