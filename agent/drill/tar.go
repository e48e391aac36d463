package drill

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"syscall"
)

// tar restores what pg_dump -Ft wrote, which pg_restore reads as it is, or a directory of pg_dump -Fd that somebody put into a tar
// file, which must be unpacked first.
func (a *attempt) tar(ctx context.Context, r *bufio.Reader) error {
	head, err := r.Peek(512)
	if err != nil {
		return err
	}
	if first, _, _ := bytes.Cut(head[:100], []byte{0}); string(first) == "toc.dat" {
		return a.archive(ctx, r, "-Ft")
	}
	if a.Container != "" {
		return errors.New("a directory of pg_dump in a tar file cannot be restored in a container: pg_restore there does not see it")
	}
	dir, err := os.MkdirTemp(a.State, "drill-*")
	if err != nil {
		return setup(err)
	}
	defer os.RemoveAll(dir)
	if err := extract(ctx, r, dir); err != nil {
		return err
	}
	return a.archive(ctx, nil, "-Fd", dir)
}

// extract writes the files of the directory that holds toc.dat, by their base names, and nothing else.
func extract(ctx context.Context, r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	in := tar.NewReader(r)
	for ctx.Err() == nil {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the tar file cannot be read: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		f, err := root.OpenFile(path.Base(h.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		if err := room(dir, h.Size); err != nil {
			return errors.Join(err, f.Close())
		}
		_, err = io.Copy(f, in)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return ctx.Err()
}

// reserve is what unpacking leaves free: the agent keeps its state on the same disk.
const reserve = 256 << 20

// room says whether so many bytes more can be written below dir.
func room(dir string, size int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; size > free-reserve {
		return setup(fmt.Errorf("too little space to unpack the dump: %s has %d bytes free, and needs %d for the next file and %d for the agent",
			filepath.Dir(dir), free, size, int64(reserve)))
	}
	return nil
}

// unpackedName is what MkdirTemp makes of the name of tar.
var unpackedName = regexp.MustCompile(`^drill-[0-9]+$`)

// sweepState ends the processes of drills that were killed, and removes their directories: no other drill is under way.
func sweepState(state string) (swept []string, err error) {
	if n := killMarked(state); n > 0 {
		swept = append(swept, fmt.Sprintf("processes (%d)", n))
	}
	entries, err := os.ReadDir(state)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || !unpackedName.MatchString(e.Name()) {
			continue
		}
		dir := filepath.Join(state, e.Name())
		if err := os.RemoveAll(dir); err != nil {
			return swept, err
		}
		swept = append(swept, dir)
	}
	return swept, nil
}
