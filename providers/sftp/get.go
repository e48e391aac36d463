package sftp

import (
	"context"
	"io"
	"io/fs"
	"os"
	"sync"

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
	return &reader{
		ended:     ctx.Err,
		translate: func(err error) error { return translate(ctx, "get", name, err) },
		file:      watchedReader{c, f}, at: offset, left: left,
		release: sync.OnceFunc(func() {
			_ = c.watch(c.idle, f.Close) // nothing was written: nothing can be lost
			done()
		}),
	}, nil
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

// reader reads a range of a file. What it reads depends on its first caller: who brings memory for a piece or more has it
// filled directly, with many requests in flight; for others it fetches ahead.
type reader struct {
	ended     func() error // of the Get's context
	translate func(error) error
	release   func() // gives the connection back; only the first call counts

	file     io.ReaderAt
	at, left int64 // of the range, what is to be fetched

	ahead  *ahead // nil: nothing is fetched ahead
	closed bool
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
	if r.ahead == nil && len(p) < piece {
		r.ahead = fetchAhead(r.file, r.at, r.left, r.release)
	}
	var n int
	var err error
	if r.ahead != nil {
		n, err = r.ahead.Read(p)
	} else {
		n, err = r.direct(p)
	}
	if err != nil && err != io.EOF {
		err = r.translate(err)
	}
	return n, err
}

// direct fills p from the file.
func (r *reader) direct(p []byte) (n int, err error) {
	if r.left > 0 {
		n, err = readAt(r.file, p[:min(int64(len(p)), r.left)], r.at)
		r.at += int64(n)
		r.left -= int64(n)
	}
	if r.left == 0 || err != nil {
		r.release()
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// readAt fills p, or fails.
func readAt(f io.ReaderAt, p []byte, at int64) (int, error) {
	n, err := f.ReadAt(p, at)
	if n == len(p) {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF // the file was cut short meanwhile
	}
	return n, err
}

// Close is part of io.Closer.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.ahead != nil {
		r.ahead.close()
	}
	r.release()
	return nil
}

// ahead fetches pieces before they are asked for.
type ahead struct {
	pieces chan []byte // closed at the end, after failed is set
	failed error
	free   chan []byte
	stop   chan struct{} // closed by close

	piece, rest []byte
}

// fetchAhead begins to read a range. ended is called when nothing more is read.
func fetchAhead(f io.ReaderAt, at, left int64, ended func()) *ahead {
	a := &ahead{pieces: make(chan []byte), stop: make(chan struct{}), free: make(chan []byte, buffers)}
	go func() {
		a.failed = a.fetch(f, at, left)
		ended()
		close(a.pieces)
	}()
	return a
}

// fetch reads the range piece by piece until its end, a failure, or close.
func (a *ahead) fetch(f io.ReaderAt, at, left int64) error {
	for range buffers {
		a.free <- nil
	}
	for left > 0 {
		var b []byte
		select {
		case b = <-a.free:
		case <-a.stop:
			return nil
		}
		if b == nil {
			b = make([]byte, min(piece, left))
		}
		b = b[:min(int64(cap(b)), left)]
		n, err := readAt(f, b, at)
		if err != nil {
			return err
		}
		select {
		case a.pieces <- b:
		case <-a.stop:
			return nil
		}
		at += int64(n)
		left -= int64(n)
	}
	return nil
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.piece != nil {
			a.free <- a.piece
			a.piece = nil
		}
		next, ok := <-a.pieces
		if !ok {
			if a.failed != nil {
				return 0, a.failed
			}
			return 0, io.EOF
		}
		a.piece, a.rest = next, next
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close returns when nothing is fetched any more.
func (a *ahead) close() {
	close(a.stop)
	for range a.pieces {
	}
}
