package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/pkg/sftp"

	"offsite/providers"
	"offsite/providers/files"
)

const (
	// piece is what one write or read of a file carries, in several packets.
	piece = 2 << 20
	// syncEvery is after how many blocks a file is made durable, so that a later Put can build on what comes before.
	syncEvery = 16
	// syncPatience is how many idle timeouts the server may take for that: nothing moves on the wire meanwhile.
	syncPatience = 10
)

// aside is where the object lies for a moment that Put replaces, on servers that rename only to free names.
func aside(name string) string { return strings.TrimSuffix(files.Partial(name), ".partial") + ".old" }

// Put is part of providers.Target.
func (t *Target) Put(ctx context.Context, name string, src providers.Source) error {
	return t.with(ctx, "put", name, func(c *conn) error {
		partial := t.path(files.Partial(name))
		err := t.write(ctx, c, partial, src)
		if errors.Is(err, providers.ErrSourceChanged) {
			return errors.Join(err, c.watch(c.idle, func() error { return c.Remove(partial) }))
		}
		if err != nil {
			return err
		}
		return c.watch(c.idle, func() error { return t.publish(c, name) })
	})
}

// write makes the hidden file whole and durable.
func (t *Target) write(ctx context.Context, c *conn, partial string, src providers.Source) error {
	first, size, err := t.resume(ctx, c, partial, src)
	if err != nil {
		return err
	}
	if err := t.space(c, src.Size()-size); err != nil {
		return err
	}
	f, err := t.create(c, partial, first)
	if err != nil {
		return err
	}
	err = t.fill(ctx, c, f, src, first)
	if err == nil {
		err = c.whole(f, src.Size())
	}
	if closed := c.watch(c.idle, f.Close); err == nil {
		err = closed
	}
	if err != nil && !errors.Is(err, providers.ErrSourceChanged) && ctx.Err() == nil {
		return t.blameSpace(c, err)
	}
	return err
}

// resume looks for what an earlier Put left: it gives the first block that must be sent, and the bytes that are there.
//
// What the server acknowledged may have been lost since, if the server crashed, but not what it made durable: every
// syncEvery blocks. So the blocks before the last of these points are trusted if the first of them is ours, which
// holds the header with the random key of this sealing; those after it are read back and compared. On a server
// without fsync@openssh.com that is all of them.
func (t *Target) resume(ctx context.Context, c *conn, partial string, src providers.Source) (first int, size int64, err error) {
	info, err := stat(c, c.Lstat, partial)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	size = info.Size()
	if !info.Mode().IsRegular() || size > src.Size() {
		return 0, 0, c.watch(c.idle, func() error { return c.Remove(partial) })
	}
	f, err := c.open(partial, os.O_RDONLY)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	r := watchedReader{c, f}
	if c.syncs() {
		first = max(0, int(size/src.BlockSize())-syncEvery-files.Parallel)
	}
	if first > 0 {
		same, err := files.Same(ctx, r, size, src, 0)
		if err != nil || !same {
			return 0, 0, unreadable(err)
		}
	}
	first, err = files.Verified(ctx, r, size, src, first)
	if err != nil {
		return 0, 0, unreadable(err)
	}
	return first, size, nil
}

// unreadable forgives a server that says it cannot read what was written there: all of it is sent again.
func unreadable(err error) error {
	if errors.As(err, new(*sftp.StatusError)) {
		return nil
	}
	return err
}

// create opens the hidden file, and what is missing of the directories before it.
func (t *Target) create(c *conn, partial string, first int) (f *sftp.File, err error) {
	flags := os.O_WRONLY | os.O_CREATE // not O_RDWR, which some servers refuse
	if first == 0 {
		flags |= os.O_TRUNC
	}
	for range 10 { // Deletes may remove empty directories before there is a file in them
		f, err = c.open(partial, flags)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err := t.makeParents(c, path.Dir(partial)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	_ = c.watch(c.idle, func() error { return f.Chmod(0o600) }) // where the server lets us
	return f, nil
}

func (t *Target) makeParents(c *conn, dir string) error {
	if dir == t.base || dir == "." || dir == "/" {
		_, err := stat(c, c.Stat, t.base)
		return err
	}
	if _, err := stat(c, c.Stat, dir); err == nil {
		return nil
	}
	if err := t.makeParents(c, path.Dir(dir)); err != nil {
		return err
	}
	err := c.watch(c.idle, func() error { return c.Mkdir(dir) })
	if err != nil {
		if _, there := stat(c, c.Stat, dir); there == nil {
			return nil // somebody else was faster
		}
		return err
	}
	_ = c.watch(c.idle, func() error { return c.Chmod(dir, 0o700) })
	return nil
}

// fill sends the blocks from first on. What comes before them may not be durable yet: it was only read back.
func (t *Target) fill(ctx context.Context, c *conn, f *sftp.File, src providers.Source, first int) error {
	blocks := providers.Blocks(src)
	filler := files.NewFiller(piece)
	providers.Resumed(src, 0, first)
	for from := first; from < blocks; from += syncEvery {
		if err := c.sync(f); err != nil {
			return err
		}
		if err := filler.Fill(ctx, watchedWriter{c, f}, src, from, min(from+syncEvery, blocks)); err != nil {
			return err
		}
	}
	return c.sync(f)
}

// publish makes the finished file visible. It replaces an object where the server can do that in one step; where it
// cannot, the old one steps aside first, and back if the new one cannot take its place.
func (t *Target) publish(c *conn, name string) error {
	from, to, old := t.path(files.Partial(name)), t.path(name), t.path(aside(name))
	if c.offers("posix-rename@openssh.com") {
		return c.PosixRename(from, to)
	}
	err := c.Rename(from, to)
	if err == nil {
		return nil
	}
	if _, there := c.Lstat(to); there != nil {
		return err
	}
	if gone := c.Remove(old); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		return errors.Join(err, gone)
	}
	if err := c.Rename(to, old); err != nil {
		return err
	}
	if err := c.Rename(from, to); err != nil {
		return errors.Join(err, c.Rename(old, to))
	}
	return c.Remove(old)
}

// space refuses what the server has no room for, where it tells (statvfs@openssh.com): a full disk shows only as a
// failure without a reason, after hours.
func (t *Target) space(c *conn, need int64) error {
	if free, known := t.free(c); known && need > 0 && uint64(need) > free {
		return fmt.Errorf("no space left on the server: %s are needed in %s, %s are free", humanize.IBytes(uint64(need)), t.base, humanize.IBytes(free))
	}
	return nil
}

// blameSpace adds to a failure that the server's disk is full, if it is.
func (t *Target) blameSpace(c *conn, err error) error {
	if free, known := t.free(c); known && free < piece {
		return fmt.Errorf("no space left on the server: %s are free in %s: %w", humanize.IBytes(free), t.base, err)
	}
	return err
}

func (t *Target) free(c *conn) (free uint64, known bool) {
	if !c.offers("statvfs@openssh.com") || !c.alive() {
		return 0, false
	}
	_ = c.watch(c.idle, func() error {
		v, err := c.StatVFS(t.base)
		if err == nil && v.Blocks > 0 {
			free, known = v.Frsize*v.Bavail, true
		}
		return err
	})
	return free, known
}

func (c *conn) offers(extension string) bool {
	_, ok := c.HasExtension(extension)
	return ok
}

// syncs says whether the server makes files durable when asked.
func (c *conn) syncs() bool { return c.offers("fsync@openssh.com") }

func (c *conn) sync(f *sftp.File) error {
	if !c.syncs() {
		return nil
	}
	return c.watch(syncPatience*c.idle, f.Sync)
}

// whole compares the size that the server sees.
func (c *conn) whole(f *sftp.File, size int64) error {
	return c.watch(c.idle, func() error {
		info, err := f.Stat()
		if err == nil && info.Size() != size {
			err = fmt.Errorf("%w: the server has %d bytes of %d", providers.ErrCorrupt, info.Size(), size)
		}
		return err
	})
}

func (c *conn) open(name string, flags int) (f *sftp.File, err error) {
	err = c.watch(c.idle, func() (err error) {
		f, err = c.OpenFile(name, flags)
		return err
	})
	return f, err
}

// watchedWriter gives up when the server is silent.
type watchedWriter struct {
	c *conn
	f io.WriterAt
}

func (w watchedWriter) WriteAt(p []byte, at int64) (n int, err error) {
	err = w.c.watch(w.c.idle, func() (err error) {
		n, err = w.f.WriteAt(p, at)
		return err
	})
	return n, err
}

// watchedReader is the same for reading, and knows that a short answer is not yet the end: a server may give less
// than was asked for, which the client library takes for the end of the file.
type watchedReader struct {
	c *conn
	f io.ReaderAt
}

func (r watchedReader) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		var got int
		err = r.c.watch(r.c.idle, func() (err error) {
			got, err = r.f.ReadAt(p[n:], at+int64(n))
			return err
		})
		n += got
		if got == 0 || err != nil && err != io.EOF {
			return n, err
		}
	}
	return n, nil
}
