package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// directory is what is in a directory, in the order of the names. It is used again from one scan to the next: os.ReadDir makes some 180
// bytes of garbage for each file, each minute, for which an idle agent's memory would grow by a quarter.
type directory struct {
	names []byte // one behind the other
	in    []named
}

// named is an entry of a directory: where its name lies, and its kind (unix.DT_REG ...).
type named struct {
	from, to uint32
	kind     uint8
}

func (d *directory) name(n named) []byte { return d.names[n.from:n.to] }

// Offsets in linux_dirent64, getdents(2).
const (
	direntSize = 16
	direntKind = 18
	direntName = 19
)

// read reads the open directory with the help of a buffer.
func (d *directory) read(fd int, buffer []byte) error {
	d.names, d.in = d.names[:0], d.in[:0]
	for {
		n, err := unix.Getdents(fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		for b := buffer[:n]; len(b) > direntName; {
			size := int(binary.NativeEndian.Uint16(b[direntSize:]))
			name, _, _ := bytes.Cut(b[direntName:size], []byte{0})
			if string(name) != "." && string(name) != ".." {
				from := uint32(len(d.names))
				d.names = append(d.names, name...)
				d.in = append(d.in, named{from, uint32(len(d.names)), b[direntKind]})
			}
			b = b[size:]
		}
	}
	slices.SortFunc(d.in, func(a, b named) int { return bytes.Compare(d.name(a), d.name(b)) })
	return nil
}
