package multipart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"offsite/providers"
)

// Bucket is a providers.Target in a bucket, below a prefix: all that s3 and minio do alike, which embed it.
type Bucket struct {
	// Client is the store, and Prefix, as Prefix gives it, what comes before each name.
	Client Client
	Prefix string
	// Mode of S3 in which objects are locked; empty: they are not.
	Mode string
	// AllVersions says that Delete removes every version of an object.
	AllVersions bool
	// Transport is that of the client.
	Transport *Transport

	closed atomic.Bool
}

var (
	_ providers.Target      = (*Bucket)(nil)
	_ providers.Sweeper     = (*Bucket)(nil)
	_ providers.Checksummer = (*Bucket)(nil)
	_ providers.Historian   = (*Bucket)(nil)
)

// Prefix is a prefix of the configuration as it stands before a name: with a slash at its end, unless it is empty.
func Prefix(configured string) string {
	if p := strings.Trim(configured, "/"); p != "" {
		return p + "/"
	}
	return ""
}

// alive says why no call can be made now.
func (b *Bucket) alive(ctx context.Context) error {
	if b.closed.Load() {
		return fs.ErrClosed
	}
	return ctx.Err()
}

// ready is what every call for an object checks first.
func (b *Bucket) ready(ctx context.Context, name string) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	return providers.CheckName(name)
}

// Put is part of providers.Target.
func (b *Bucket) Put(ctx context.Context, name string, src providers.Source) error {
	err := b.ready(ctx, name)
	if err == nil {
		var lock Retention
		if lock, err = newLock(ctx, b.Client, b.Mode, providers.LockOf(src), b.Now); err == nil {
			err = Put(ctx, b.Client, b.Prefix+name, src, lock)
		}
	}
	return Wrap(ctx, "put", name, err)
}

// Get is part of providers.Target.
func (b *Bucket) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := b.ready(ctx, name); err != nil {
		return nil, Wrap(ctx, "get", name, err)
	}
	if length == 0 { // HTTP has no such range
		if _, err := b.head(ctx, name); err != nil {
			return nil, Wrap(ctx, "get", name, err)
		}
		return http.NoBody, nil
	}
	return b.open(ctx, name, "", offset, length)
}

// AsOf is part of providers.Historian.
func (b *Bucket) AsOf(at time.Time) providers.Target { return &past{of: b, at: at} }

// open is Get of a version, or the current one when it is empty, of a length other than 0.
func (b *Bucket) open(ctx context.Context, name, version string, offset, length int64) (io.ReadCloser, error) {
	wrap := func(err error) error { return Wrap(ctx, "get", name, err) }
	asked := ""
	switch {
	case length > 0:
		asked = fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	case offset > 0:
		asked = fmt.Sprintf("bytes=%d-", offset)
	}
	body, given, err := b.Client.Get(ctx, b.Prefix+name, version, asked)
	if errors.Is(err, fs.ErrNotExist) {
		err = b.Client.Missing(ctx, err)
	}
	if err == nil && asked != "" && body != http.NoBody {
		if err = ranged(given, offset); err != nil {
			body.Close()
		}
	}
	if err != nil {
		return nil, wrap(err)
	}
	return &reader{body, wrap}, nil
}

// ranged is the error of a Get whose answer is not the range that was asked for, by its Content-Range.
func ranged(given string, offset int64) error {
	var from int64
	if n, _ := fmt.Sscanf(given, "bytes %d-", &from); n == 1 && from == offset {
		return nil
	}
	return fmt.Errorf("asked for bytes from %d on, and the answer is of range %q: the server, or a proxy, ignores ranges: %w", offset, given, providers.ErrPermanent)
}

// reader gives the errors of a body the contract's form.
type reader struct {
	io.ReadCloser
	wrap func(error) error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.wrap(err)
	}
	return n, err
}

// Stat is part of providers.Target.
func (b *Bucket) Stat(ctx context.Context, name string) (providers.Object, error) {
	err := b.ready(ctx, name)
	var o providers.Object
	if err == nil {
		o, err = b.head(ctx, name)
	}
	if err != nil {
		return providers.Object{}, Wrap(ctx, "stat", name, err)
	}
	o.Name = name
	return o, nil
}

// head is that of the client, and is sure that a missing object is not a missing bucket.
func (b *Bucket) head(ctx context.Context, name string) (providers.Object, error) {
	o, err := b.Client.Head(ctx, b.Prefix+name)
	if errors.Is(err, fs.ErrNotExist) {
		err = b.Client.Missing(ctx, err)
	}
	return o, err
}

// List is part of providers.Target.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		if err := b.alive(ctx); err != nil {
			yield(providers.Object{}, Wrap(ctx, "list", prefix, err))
			return
		}
		for o, err := range b.Client.List(ctx, b.Prefix+prefix) {
			if err != nil {
				yield(providers.Object{}, Wrap(ctx, "list", prefix, err))
				return
			}
			o.Name = strings.TrimPrefix(o.Name, b.Prefix)
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Compare is part of providers.Checksummer.
func (b *Bucket) Compare(ctx context.Context, name string, sums [][32]byte) (same, known bool, err error) {
	if err = b.ready(ctx, name); err == nil {
		same, known, err = compare(ctx, b.Client, b.Prefix+name, sums)
	}
	return same, known, Wrap(ctx, "stat", name, err)
}

// Delete is part of providers.Target.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	err := b.ready(ctx, name)
	if err == nil {
		err = remove(ctx, b.Client, b.Prefix+name, b.AllVersions)
	}
	return Wrap(ctx, "delete", name, err)
}

// Sweep is part of providers.Sweeper.
func (b *Bucket) Sweep(ctx context.Context, dir string, before time.Time, spare []string) (removed int, err error) {
	if err = b.ready(ctx, dir); err == nil {
		keys := make([]string, len(spare))
		for i, name := range spare {
			keys[i] = b.Prefix + name
		}
		removed, err = Sweep(ctx, b.Client, b.Prefix+dir+"/", before, keys)
	}
	return removed, Wrap(ctx, "delete", dir, err)
}

// Close is part of providers.Target.
func (b *Bucket) Close() error {
	b.closed.Store(true)
	b.Transport.Close()
	return nil
}
