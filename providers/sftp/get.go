package sftp

import (
	"context"
	"io"
	"io/fs"
	"os"

	"github.com/pkg/sftp"

	"offsite/providers"
)

// Get is part of providers.Target. The reader has a connection of its own until its end is fetched.
func (t *Target) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	err := ctx.Err()
	if err == nil {
		err = providers.CheckName(name)
	}
	if err != nil {
		return nil, translate(ctx, "get", name, err)
	}
	c, done, err := t.borrow(ctx, t.pool.takeForReader)
	if err != nil {
		return nil, translate(ctx, "get", name, err)
	}
	f, size, err := openRegular(c, t.path(name))
	if err != nil {
		err = t.checkBase(c, err)
		done()
		return nil, translate(ctx, "get", name, err)
	}
	left := max(0, size-offset)
	if length >= 0 {
		left = min(left, length)
	}
	r := &reader{
		ended:     ctx.Err,
		translate: func(err error) error { return translate(ctx, "get", name, err) },
		pieces:    make(chan []byte), stop: make(chan struct{}), free: make(chan []byte, buffers),
	}
	go func() {
		r.failed = r.fetch(watchedReader{c, f}, offset, left)
		_ = c.watch(c.idle, f.Close) // nothing was written: nothing can be lost
		done()
		close(r.pieces)
	}()
	return r, nil
}

func openRegular(c *conn, p string) (*sftp.File, int64, error) {
	f, err := c.open(p, os.O_RDONLY)
	if err != nil {
		return nil, 0, err
	}
	info, err := stat(c, func(string) (fs.FileInfo, error) { return f.Stat() }, p)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// buffers is how many pieces a reader has: one is read by the caller while the next is fetched.
const buffers = 2

// reader fetches ahead of its caller.
type reader struct {
	ended     func() error // of the Get's context
	translate func(error) error

	pieces chan []byte // closed at the end, after failed is set
	failed error
	free   chan []byte
	stop   chan struct{} // closed by Close
	closed bool

	piece, rest []byte
}

// fetch reads the range piece by piece until its end, a failure, or Close.
func (r *reader) fetch(f io.ReaderAt, at, left int64) error {
	for range buffers {
		r.free <- nil
	}
	for left > 0 {
		var b []byte
		select {
		case b = <-r.free:
		case <-r.stop:
			return nil
		}
		if b == nil {
			b = make([]byte, min(piece, left))
		}
		b = b[:min(int64(cap(b)), left)]
		n, err := f.ReadAt(b, at)
		if n < len(b) && (err == nil || err == io.EOF) {
			err = io.ErrUnexpectedEOF // the file was cut short meanwhile
		}
		if err != nil {
			return err
		}
		select {
		case r.pieces <- b:
		case <-r.stop:
			return nil
		}
		at += int64(n)
		left -= int64(n)
	}
	return nil
}

// Read is part of io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	if err := r.ended(); err != nil {
		return 0, r.translate(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.rest) == 0 {
		if r.piece != nil {
			r.free <- r.piece
			r.piece = nil
		}
		next, ok := <-r.pieces
		if !ok {
			if r.failed != nil {
				return 0, r.translate(r.failed)
			}
			return 0, io.EOF
		}
		r.piece, r.rest = next, next
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close is part of io.Closer.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	close(r.stop)
	for range r.pieces { // until the connection is given back
	}
	return nil
}
