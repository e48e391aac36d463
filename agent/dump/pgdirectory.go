package dump

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pgDirectories are the directories in a tar file that may be of pg_dump -Fd, or -Ft. The table of contents of one may come after its
// data, so that what is wrong is told at the end.
type pgDirectories struct {
	byName   map[string]*pgDirectory
	room     room
	full     bool // there was no room for all
	data     *allowance
	unpacker unpacker
}

// maxDirectories bounds them.
const maxDirectories = 1000

// pgDirectory is what was seen of one.
type pgDirectory struct {
	is         bool        // it has a table of contents
	headless   bool        // it has a file of that name, which is none
	contents   *pgContents // nil: none was met, or of an unknown version
	met, ended ids         // numbers of its files of data, and of those that end as the data of COPY does
	// Large objects that have files, those that lists name, and the lists.
	objects, listed crowd
	lists           int
	damaged         int64  // the first file of data that something is wrong with; 0: problem is with another file
	problem         string // empty: none
	unread          string // why some data was not looked into
}

// pgFile is a name in such a directory: data, a large object, a list of those, or the table of contents.
var pgFile = regexp.MustCompile(`^(?:(\d{1,10})\.dat(?:\.(gz|lz4|zst))?|blob_(\d{1,10})\.dat(?:\.(gz|lz4|zst))?|(blobs(?:_\d+)?\.toc)|toc\.dat)$`)

// member looks at a file of the tar file. Its error is that of r, or what is wrong with a table of contents.
func (p *pgDirectories) member(name string, r io.Reader) error {
	dir, base := path.Split(name)
	m := pgFile.FindStringSubmatch(base)
	if m == nil {
		return nil
	}
	d := p.directory(dir)
	if d == nil {
		p.full = true
		return nil
	}
	src := &source{r: r}
	switch {
	case m[1] != "":
		n, _ := strconv.ParseInt(m[1], 10, 64)
		p.rows(d, n, base, m[2], src)
	case m[3] != "":
		oid, _ := strconv.ParseUint(m[3], 10, 64)
		d.objects.add(oid)
		if problem := p.read(d, m[4], src, io.Discard); problem != "" && d.problem == "" {
			d.problem = fmt.Sprintf("a large object is damaged, in %s: %s", base, problem)
		}
	case m[5] != "":
		if err := d.list(src); err != nil && d.problem == "" {
			d.problem = fmt.Sprintf("its list of large objects, %s, is damaged", base)
		}
	default:
		return d.toc(src, &p.room)
	}
	return src.err
}

func (p *pgDirectories) directory(name string) *pgDirectory {
	d := p.byName[name]
	if d == nil && len(p.byName) < maxDirectories && len(name) <= maxName {
		d = &pgDirectory{met: ids{}, ended: ids{}}
		p.byName[name] = d
	}
	return d
}

// rows reads the data of a table.
func (p *pgDirectories) rows(d *pgDirectory, n int64, file, packed string, src *source) {
	rows := &rows{copied: true}
	problem := p.read(d, packed, src, rows)
	if problem == "" && rows.zeros {
		problem = zerosInRows
	}
	if problem != "" && d.problem == "" {
		d.damaged, d.problem = n, fmt.Sprintf("in %s: %s", file, problem)
	}
	p.full = p.full || !d.met.add(n, &p.room) || rows.ended() && !d.ended.add(n, &p.room)
}

// read unpacks a file into w, and says what is wrong with it.
func (p *pgDirectories) read(d *pgDirectory, packed string, src *source, w io.Writer) (problem string) {
	unread := ""
	switch {
	case packed == "":
		io.Copy(w, src)
		return ""
	case packed == "lz4":
		unread = "its data is packed with lz4, which is not looked into here"
	case p.data.denied != "":
		unread = p.data.denied
	default:
		packing := map[string]string{"gz": "gzip", "zst": "zstd"}[packed]
		plain, err := p.unpacker.open(packing, src)
		if err == nil {
			_, err = io.Copy(w, p.data.of(plain))
		}
		switch {
		case err == nil, src.err != nil:
		case errors.Is(err, errTooMuch), errors.Is(err, errTooLarge):
			unread = err.Error()
		default:
			return brokenPacking(packing, err, "")
		}
	}
	if rows, ok := w.(*rows); ok && unread != "" {
		rows.unread = true
	}
	if unread != "" {
		d.unread = unread
	}
	return ""
}

// list reads the numbers and the names of large objects.
func (d *pgDirectory) list(r io.Reader) error {
	d.lists++
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		_, file, _ := strings.Cut(lines.Text(), " ")
		m := pgFile.FindStringSubmatch(file)
		if m == nil || m[3] == "" {
			return errNoContents
		}
		oid, _ := strconv.ParseUint(m[3], 10, 64)
		d.listed.add(oid)
	}
	return lines.Err()
}

// toc reads the table of contents.
func (d *pgDirectory) toc(r io.Reader, room *room) error {
	in := bufio.NewReader(r)
	if head, _ := in.Peek(len(pgMagic)); string(head) != pgMagic {
		d.headless = true // perhaps it was
		return nil
	}
	d.is = true
	contents, err := (&pgArchive{r: in}).contents(room)
	if errors.Is(err, errUnknownArchive) {
		return nil
	}
	if err != nil {
		return err
	}
	if more, err := io.Copy(io.Discard, in); err != nil || more > 0 {
		return cmp.Or(err, errNoContents)
	}
	d.contents = contents
	return nil
}

// known says whether it is a directory of pg_dump.
func (d *pgDirectory) known() bool { return d.is || d.headless && len(d.met) > 0 }

// found says whether there was a directory of pg_dump.
func (p *pgDirectories) found() bool {
	for _, d := range p.byName {
		if d.known() {
			return true
		}
	}
	return false
}

// finding is the worst that is to be said of any of them.
func (p *pgDirectories) finding() finding {
	f := finding{kind: PostgresTar, whole: true}
	for _, name := range slices.Sorted(maps.Keys(p.byName)) {
		d := p.byName[name]
		if !d.known() {
			continue
		}
		if f.problem = d.wrong(strings.TrimPrefix(name, "./")); f.problem != "" {
			return f
		}
		f.whole = f.whole && d.contents != nil
		f.unread = cmp.Or(f.unread, d.unread)
		if p.full || d.contents != nil && d.contents.full {
			f.unread = tooMany
		}
	}
	return f
}

// wrong says what is wrong with a directory; empty: nothing, as far as is known.
func (d *pgDirectory) wrong(dir string) string {
	c := d.contents
	if d.headless {
		return fmt.Sprintf("its table of contents, %stoc.dat, is damaged", dir)
	}
	if c == nil {
		return ""
	}
	if d.problem != "" && d.damaged != 0 {
		return fmt.Sprintf("the data of %s is damaged, %s", c.name(d.damaged), d.problem)
	}
	if d.problem != "" {
		return d.problem
	}
	if n, missing := c.owed.without(d.met); missing {
		return fmt.Sprintf("the data of %s is missing: there is no %s%d.dat in it", c.name(n), dir, n)
	}
	if n, cut := c.copied.without(d.ended); cut {
		return fmt.Sprintf("the data of %s has no end mark, in %s%d.dat: it was not written to the end", c.name(n), dir, n)
	}
	switch missing := d.listed.n - d.objects.n; {
	case d.lists < c.lists:
		return fmt.Sprintf("the list of its large objects is missing: there is no %sblobs.toc in it", dir)
	case d.lists > 0 && missing > 0:
		return fmt.Sprintf("%d of its %d large objects are missing: there are no files %sblob_*.dat for them", missing, d.listed.n, dir)
	case d.lists > 0 && d.listed != d.objects:
		return fmt.Sprintf("its large objects, %sblob_*.dat, are not those that its blobs.toc names", dir)
	}
	return ""
}
