package dump

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/gabriel-vasile/mimetype"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// sniffed is how much of the beginning is looked at: as much as the library that knows the magic numbers reads.
const sniffed = 3072

// maxWindow bounds the memory that a decompressor may take: what zstd --long and xz -9 need.
const maxWindow = 128 << 20

// errTooLarge can occur in unpack and while unpacking: it takes more memory than maxWindow.
var errTooLarge = fmt.Errorf("to unpack it takes more than %s of memory: nobody looked inside", humanize.IBytes(maxWindow))

// packingOf tells how a file is packed by its first bytes; empty: it is not, as far as is known.
func packingOf(head []byte) string {
	if len(head) >= 4 && bytes.Equal(head[:4], []byte("\x28\xb5\x2f\xfd")) {
		return "zstd" // also when it is too short for the library
	}
	switch m := mimetype.Detect(head); {
	case m.Is("application/gzip"):
		return "gzip"
	case m.Is("application/zstd"):
		return "zstd"
	case m.Is("application/x-bzip2"):
		return "bzip2"
	case m.Is("application/x-xz"):
		return "xz"
	}
	return ""
}

// unpack reads a packed file; several members or streams in a row are one file.
func unpack(packing string, r *bufio.Reader) (io.ReadCloser, error) {
	switch packing {
	case "gzip":
		return newGzipMembers(r)
	case "zstd":
		d, err := newZstd(r)
		if err != nil {
			return nil, err
		}
		return zstdReader{d}, nil
	case "bzip2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case "xz":
		d, err := xz.NewReader(&xzGuard{r: r})
		return io.NopCloser(d), err
	}
	panic("unknown packing " + packing)
}

func newZstd(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

type zstdReader struct{ *zstd.Decoder }

// Read gives errTooLarge its name.
func (z zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = errTooLarge
	}
	return n, err
}

// Close lets go of the decompressor's memory.
func (z zstdReader) Close() error {
	z.Decoder.Close()
	return nil
}

// gzipMembers reads one gzip member after the other. Zeros that follow the last one, as tapes and some tools leave them, are
// passed over, as gzip itself does.
type gzipMembers struct {
	r      *bufio.Reader
	member *gzip.Reader
}

func newGzipMembers(r *bufio.Reader) (*gzipMembers, error) {
	member, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &gzipMembers{r, member}, nil
}

// Read gives what is in the members, one after the other.
func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.member.Read(p)
		if !errors.Is(err, io.EOF) || n > 0 {
			return n, ignoreEOF(err)
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// next begins the next member; io.EOF: there is none.
func (g *gzipMembers) next() error {
	first, err := g.r.Peek(1)
	if len(first) == 0 {
		return err
	}
	if first[0] != 0 {
		if magic, _ := g.r.Peek(2); magic[0] != 0x1f || len(magic) > 1 && magic[1] != 0x8b {
			return gzip.ErrHeader // whatever it is, no member was cut off
		}
		return g.begin()
	}
	for {
		b, err := g.r.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return gzip.ErrHeader
		}
	}
}

// begin begins the member that comes now.
func (g *gzipMembers) begin() error {
	if err := g.member.Reset(g.r); err != nil {
		return err
	}
	g.member.Multistream(false)
	return nil
}

// Close is for the interface: there is nothing to let go of.
func (g *gzipMembers) Close() error { return g.member.Close() }

// unpacker unpacks many files, one after the other, with one decompressor for each packing. close ends it.
type unpacker struct {
	in   *bufio.Reader
	gzip *gzipMembers
	zstd *zstd.Decoder
}

// open gives what is in r, packed with gzip or zstd, up to the next call.
func (u *unpacker) open(packing string, r io.Reader) (io.Reader, error) {
	if u.in == nil {
		u.in = bufio.NewReaderSize(nil, 32<<10)
	}
	u.in.Reset(r)
	var err error
	switch {
	case packing == "gzip" && u.gzip == nil:
		u.gzip, err = newGzipMembers(u.in)
		return u.gzip, err
	case packing == "gzip":
		return u.gzip, u.gzip.begin()
	case u.zstd == nil:
		u.zstd, err = newZstd(u.in)
	default:
		err = u.zstd.Reset(u.in)
	}
	return zstdReader{u.zstd}, err
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// brokenPacking says for people what is wrong with a packed file.
func brokenPacking(packing string, err error, at string) string {
	where := ""
	if at != "" {
		where = ", in " + at
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Sprintf("its %s stream is cut off%s: it was not written to the end, or the disk was full", packing, where)
	case errors.Is(err, gzip.ErrChecksum) || errors.Is(err, zstd.ErrCRCMismatch):
		return fmt.Sprintf("its %s checksum is wrong%s: the file was damaged after it was written", packing, where)
	case errors.Is(err, gzip.ErrHeader) || errors.Is(err, zstd.ErrMagicMismatch):
		return fmt.Sprintf("something that is not %s follows its end", packing)
	}
	return fmt.Sprintf("its %s stream is damaged%s: %v", packing, where, err)
}

// Unpack reads a dump as it is when unpacked; what is not packed is given as it is. It takes no more memory than Examine. An empty
// dump is io.EOF. The caller calls Close of closer when it has read enough.
func Unpack(r io.Reader) (plain *bufio.Reader, closer io.Closer, err error) {
	in := bufio.NewReaderSize(r, 256<<10)
	head, err := in.Peek(sniffed)
	if len(head) == 0 {
		return nil, nil, err
	}
	packing := packingOf(head)
	if packing == "" {
		return in, io.NopCloser(nil), nil
	}
	u, err := unpack(packing, in)
	if err != nil {
		return nil, nil, err
	}
	return bufio.NewReaderSize(u, 256<<10), u, nil
}
