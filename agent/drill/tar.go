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
		return err
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
		_, err = io.Copy(f, in)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return ctx.Err()
}
