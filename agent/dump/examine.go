package dump

import (
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
)

// Health of a dump, as manifests have it.
const (
	// OK: it is whole, as far as its bytes tell.
	OK = "ok"
	// Suspect: something is wrong with it, which the reason says. It does not count for retention.
	Suspect = "suspect"
	// Unchecked: nobody can tell.
	Unchecked = "unchecked"
	// Pending: nobody can tell yet. The manifest is written anew when the verdict is there.
	Pending = "pending"
)

// Report is what the bytes of a dump say of it.
type Report struct {
	// Packing is gzip, zstd, bzip2 or xz; empty: it is not packed.
	Packing string
	// Kind is what is in it, one of the kinds; empty: unknown.
	Kind Kind
	// Unpacked is how many bytes are in it once unpacked, as far as it was read; the size of the dump if nobody can look into it.
	Unpacked int64
	// Health is OK, Suspect or Unchecked. Reason says why, in words for people; it may be empty for OK.
	Health, Reason string
}

// Kind is a kind of dump.
type Kind string

// The kinds that are known.
const (
	PostgresPlain   Kind = "postgresql plain"
	PostgresCluster Kind = "postgresql cluster" // of pg_dumpall
	PostgresCustom  Kind = "postgresql custom"
	PostgresTar     Kind = "postgresql tar" // of pg_dump -Ft, or a directory of pg_dump -Fd in a tar file
	MySQL           Kind = "mysql"
	MariaDB         Kind = "mariadb"
	SQLite          Kind = "sqlite"
	SQLiteText      Kind = "sqlite text" // of the shell's .dump
	MongoDB         Kind = "mongodb archive"
	Redis           Kind = "redis rdb"
	Tar             Kind = "tar"
)

// Limits bound what Examine does for one dump.
type Limits struct {
	// FullBelow is the size from which on a packed dump is not unpacked, in bytes; 0: every dump is.
	FullBelow int64
}

// maxGrowth is how many times its size a dump may unpack to. DEFLATE cannot do more than 1032; more is a bomb, or a database
// of zeros, and either way nobody should wait for it.
const maxGrowth = 1100

// Examine reads a dump of that size, to its end unless the rest would say nothing, and says what it is, and whether it is
// whole. It holds little in memory: the window of the decompressor, 128 MiB at most, and some buffers. The error is that of r;
// whatever is wrong with the dump itself is part of the report.
func Examine(r io.Reader, size int64, limits Limits) (Report, error) {
	src := &source{r: r}
	report := examine(src, size, limits)
	if src.err != nil {
		return Report{}, src.err
	}
	if src.idle {
		return report, nil
	}
	// What nobody needed to read may still fail, or be missing.
	if _, err := io.Copy(io.Discard, src); err != nil {
		return Report{}, err
	}
	return report, nil
}

// source remembers an error of the reader below, which is no verdict on what is read.
type source struct {
	r   io.Reader
	err error
	// idle: what follows says nothing of the dump.
	idle bool
}

// Read remembers errors, but for io.EOF.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func examine(src *source, size int64, limits Limits) Report {
	in := newInput(src, size)
	in.asIs = true
	head, err := in.Peek(sniffed)
	if len(head) == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return Report{}
		}
		return Report{Health: Suspect, Reason: "it is empty"}
	}
	packing := packingOf(head)
	data := &allowance{left: size*maxGrowth + 64<<20}
	if limits.FullBelow > 0 && size >= limits.FullBelow {
		data.denied = fmt.Sprintf("it is too large to be unpacked here: %s; the configuration has health.full_below for it", humanize.IBytes(uint64(size)))
	}
	report := Report{Packing: packing}
	if packing == "" {
		report = examineContent(report, in, data)
		if src.idle = in.idle; in.idle {
			report.Unpacked = size
		}
		return report
	}
	if data.denied != "" {
		src.idle = true
		report.Health, report.Reason = Unchecked, data.denied
		return report
	}
	plain, err := unpack(packing, in.Reader)
	switch {
	case errors.Is(err, errTooLarge):
		report.Health, report.Reason = Unchecked, err.Error()
		return report
	case err != nil:
		report.Health, report.Reason = Suspect, brokenPacking(packing, err, "")
		return report
	}
	defer plain.Close()
	return examineContent(report, newInput(data.of(plain), data.left), data)
}

// examineContent examines what is there, once it is unpacked.
func examineContent(report Report, plain *input, data *allowance) Report {
	f := content(plain, data)
	report.Kind, report.Unpacked = f.kind, f.read
	switch {
	case errors.Is(f.err, errTooMuch), errors.Is(f.err, errTooLarge):
		report.Health, report.Reason = Unchecked, f.err.Error()
	case f.err != nil:
		report.Health, report.Reason = Suspect, brokenPacking(report.Packing, f.err, f.at)
	case f.read == 0:
		report.Health, report.Reason = Suspect, "there is nothing in it once it is unpacked: the program in front of the pipe has probably failed"
	default:
		return f.report(report)
	}
	return report
}

// errTooMuch can occur while unpacking.
var errTooMuch = fmt.Errorf("it unpacks to more than %d times its size: nobody looked further", maxGrowth)

// allowance bounds how much is unpacked of a dump, and of what is packed inside of it.
type allowance struct {
	left   int64  // bytes
	denied string // why nothing may be unpacked; empty: it may
}

// of fails with errTooMuch when the allowance is used up.
func (a *allowance) of(r io.Reader) io.Reader { return &bounded{r, a} }

type bounded struct {
	r io.Reader
	*allowance
}

// Read gives no more than the allowance has left.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// finding is what a look at unpacked content found.
type finding struct {
	kind Kind
	// problem says what is wrong; empty: nothing, and the content is whole if it is known to be.
	problem string
	whole   bool
	// unread says why nobody can tell whether it is whole, if nothing is wrong with what was read.
	unread string
	// nowhere: what follows would tell nothing either.
	nowhere bool
	// at is where in the content the end came, for people; empty: nobody can tell.
	at string
	// read is how many bytes there were, and err why there were not more; nil at the end.
	read int64
	err  error
}

// report puts the finding into words. The content was read as far as it tells anything.
func (f finding) report(r Report) Report {
	switch {
	case f.problem != "":
		r.Health, r.Reason = Suspect, f.problem
	case f.unread != "":
		r.Health, r.Reason = Unchecked, f.unread
	case f.whole:
		r.Health = OK
	case f.kind != "":
		r.Health, r.Reason = Unchecked, "nothing in this "+string(f.kind)+" file says whether it is whole"
	default:
		r.Health, r.Reason = Unchecked, "its format is not known here"
	}
	return r
}
