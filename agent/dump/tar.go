package dump

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// lookTar reads a tar file to its end, which is two blocks of zeros. With the table of contents of a pg_dump in it, whatever
// that names must be there.
func lookTar(r *bufio.Reader) finding {
	zeros := &trailing{r: r}
	in := tar.NewReader(zeros)
	kind, at := Tar, ""
	var contents *pgContents
	members := map[string]bool{}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return brokenTar(kind, at, err)
		}
		at = h.Name
		dir, base := path.Split(h.Name)
		if base == "toc.dat" {
			if contents, err = pgDirectory(in, &members, dir); err != nil {
				return brokenTar(PostgresTar, at, err)
			}
			kind = PostgresTar
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return brokenTar(kind, at, err)
		}
		if len(members) < maxMembers {
			members[h.Name] = true
		}
	}
	if _, err := io.Copy(io.Discard, zeros); err != nil {
		return finding{kind: kind, at: at, err: err}
	}
	if !zeros.ended() {
		return finding{kind: kind, at: at, problem: "this tar file has no end mark" + after(at) + ": it was not written to the end"}
	}
	if kind == PostgresTar {
		return wholeDirectory(contents, members)
	}
	return finding{kind: kind, whole: true}
}

// maxMembers bounds the names that are held of a tar file.
const maxMembers = 1 << 20

func after(at string) string {
	if at == "" {
		return ""
	}
	return " after " + at
}

// pgDirectory reads the table of contents of a pg_dump in the directory dir of a tar file; nil: it is of an unknown version.
func pgDirectory(r io.Reader, _ *map[string]bool, dir string) (*pgContents, error) {
	contents, err := (&pgArchive{r: bufio.NewReader(r)}).contents()
	if errors.Is(err, errUnknownArchive) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for id, file := range contents.owed {
		contents.owed[id] = dir + file
	}
	return contents, nil
}

// wholeDirectory looks for every file that the table of contents names, packed or not.
func wholeDirectory(contents *pgContents, members map[string]bool) finding {
	if contents == nil || len(members) >= maxMembers {
		return finding{kind: PostgresTar}
	}
	for _, id := range contents.first {
		file := contents.owed[id]
		there := slices.ContainsFunc([]string{"", ".gz", ".lz4", ".zst"}, func(packed string) bool { return members[file+packed] })
		if !there {
			return finding{kind: PostgresTar, problem: fmt.Sprintf("the data of %s is missing: there is no %s in it", contents.name(id), strings.TrimPrefix(file, "./"))}
		}
	}
	return finding{kind: PostgresTar, whole: true}
}

func brokenTar(kind Kind, at string, err error) finding {
	if errors.Is(err, tar.ErrHeader) {
		return finding{kind: kind, at: at, problem: "this tar file is damaged" + after(at) + ": what follows is no tar"}
	}
	return cut(kind, at, err)
}

// trailing remembers the last kilobyte: the end of a tar file.
type trailing struct {
	r    io.Reader
	tail []byte
}

const tarEnd = 1024

func (t *trailing) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n >= tarEnd {
		t.tail = append(t.tail[:0], p[n-tarEnd:n]...)
	} else {
		t.tail = append(t.tail, p[:n]...)
		t.tail = append(t.tail[:0], t.tail[max(0, len(t.tail)-tarEnd):]...)
	}
	return n, err
}

func (t *trailing) ended() bool {
	return len(t.tail) == tarEnd && len(bytes.Trim(t.tail, "\x00")) == 0
}
