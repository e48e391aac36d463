package dump

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
)

// lookTar reads a tar file to its end, which is two blocks of zeros. With the table of contents of a pg_dump in it, whatever
// that names must be there, whole.
func lookTar(r *bufio.Reader, data *allowance) finding {
	zeros := &trailing{r: r}
	in := tar.NewReader(zeros)
	pg := &pgDirectories{byName: map[string]*pgDirectory{}, data: data}
	defer pg.unpacker.close()
	at := ""
	kind := func() Kind {
		if pg.found() {
			return PostgresTar
		}
		return Tar
	}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return brokenTar(kind(), at, err)
		}
		at = h.Name
		if err := pg.member(h.Name, in); err != nil {
			return brokenTar(kind(), at, err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return brokenTar(kind(), at, err)
		}
	}
	behind := &nonzero{}
	_, err := io.Copy(behind, zeros)
	switch {
	case err != nil:
		return finding{kind: kind(), at: at, err: err}
	case behind.met:
		return finding{kind: kind(), at: at, problem: "this tar file goes on after an end mark" + after(at) +
			", where nobody reads it: a part of it was overwritten with zeros, or another file follows"}
	case !zeros.ended():
		return finding{kind: kind(), at: at, problem: "this tar file has no end mark" + after(at) + ": it was not written to the end"}
	case pg.found():
		return pg.finding()
	}
	return finding{kind: Tar, whole: true}
}

func after(at string) string {
	if at == "" {
		return ""
	}
	return " after " + at
}

func brokenTar(kind Kind, at string, err error) finding {
	if errors.Is(err, errNoContents) {
		return finding{kind: kind, at: at, problem: "its table of contents, " + at + ", is damaged"}
	}
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

// Read remembers the end of what it gives.
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

// nonzero remembers whether it was written anything but zeros.
type nonzero struct{ met bool }

// Write never fails.
func (z *nonzero) Write(p []byte) (int, error) {
	z.met = z.met || len(bytes.Trim(p, "\x00")) > 0
	return len(p), nil
}
