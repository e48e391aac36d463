// Package minio keeps objects in MinIO and every other S3-compatible store, by minio-go.
//
// It stays off the trailing checksums that break such stores: each block goes out with its SHA-256 as signed payload
// and, unless that is switched off, as x-amz-checksum-sha256.
package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"offsite/providers"
	"offsite/providers/multipart"
)

// Target is one bucket, below a prefix.
type Target struct {
	*multipart.Locker
	core      *minio.Core
	transport *multipart.Transport
	bucket    string
	prefix    string // with its slash
	class     string
	sums      bool // x-amz-checksum-sha256 is sent
	versions  bool // Delete removes all of them
	closed    atomic.Bool
}

var (
	_ providers.Target    = (*Target)(nil)
	_ providers.Historian = (*Target)(nil)
)

// New reads the files that cfg names, and asks no server.
func New(cfg Config) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	access, err := providers.ReadSecret(cfg.AccessKey, cfg.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	secret, err := providers.ReadSecret(cfg.SecretKey, cfg.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	keys := credentials.NewStaticV4(access.Reveal(), secret.Reveal(), "")
	if !access.IsSet() {
		keys = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}})
	}
	transport, err := multipart.NewTransport(cfg.CAFile, cfg.IdleTimeout)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	region := cfg.Region
	if region == "" {
		region = "us-east-1" // asking the server for it needs a permission that backups do not
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: keys, Secure: u.Scheme == "https", Region: region, Transport: transport, BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, err
	}
	core.SetAppInfo("offsite", "1")
	prefix := strings.Trim(cfg.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	t := &Target{core: core, transport: transport, bucket: cfg.Bucket, prefix: prefix, class: cfg.StorageClass, sums: cfg.Checksums != "off", versions: cfg.Versions == "delete"}
	t.Locker = t.locker(multipart.Mode(cfg.Lock))
	return t, nil
}

// ready is what every call checks first.
func (t *Target) ready(ctx context.Context, name string) error {
	if t.closed.Load() {
		return fs.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return providers.CheckName(name)
}

// Put is part of providers.Target.
func (t *Target) Put(ctx context.Context, name string, src providers.Source) error {
	err := t.ready(ctx, name)
	if err == nil {
		var lock multipart.Retention
		if lock, err = t.Locker.New(ctx, src); err == nil {
			err = multipart.Put(ctx, (*store)(t), t.prefix+name, src, lock)
		}
	}
	return multipart.Wrap(ctx, "put", name, err)
}

// Get is part of providers.Target.
func (t *Target) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := t.ready(ctx, name); err != nil {
		return nil, multipart.Wrap(ctx, "get", name, err)
	}
	if length == 0 {
		if _, err := t.Stat(ctx, name); err != nil {
			return nil, err
		}
		return http.NoBody, nil
	}
	return t.open(ctx, name, "", offset, length)
}

// AsOf is part of providers.Historian.
func (t *Target) AsOf(at time.Time) providers.Target {
	return &multipart.Past{Of: t.Locker, At: at, Open: t.open, Shut: t.Close}
}

// open is Get of a version, or the current one when it is empty, of a length other than 0.
func (t *Target) open(ctx context.Context, name, version string, offset, length int64) (io.ReadCloser, error) {
	opts := minio.GetObjectOptions{VersionID: version}
	opts.Set("Accept-Encoding", "identity")
	switch {
	case length > 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	body, _, header, err := t.core.GetObject(ctx, t.bucket, t.prefix+name, opts)
	if minio.ToErrorResponse(err).Code == "InvalidRange" {
		return http.NoBody, nil
	}
	if err = translate(err); isMissing(err) {
		err = t.missing(ctx, err)
	}
	if err == nil && (offset > 0 || length > 0) {
		if err = multipart.Ranged(header.Get("Content-Range"), offset); err != nil {
			body.Close()
		}
	}
	if err != nil {
		return nil, multipart.Wrap(ctx, "get", name, err)
	}
	return &reader{body, func(err error) error { return multipart.Wrap(ctx, "get", name, err) }}, nil
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
func (t *Target) Stat(ctx context.Context, name string) (providers.Object, error) {
	if err := t.ready(ctx, name); err != nil {
		return providers.Object{}, multipart.Wrap(ctx, "stat", name, err)
	}
	info, err := t.core.StatObject(ctx, t.bucket, t.prefix+name, minio.StatObjectOptions{})
	if err = translate(err); isMissing(err) {
		err = t.missing(ctx, err)
	}
	if err != nil {
		return providers.Object{}, multipart.Wrap(ctx, "stat", name, err)
	}
	return providers.Object{Name: name, Size: info.Size, Modified: info.LastModified}, nil
}

// Compare is part of providers.Checksummer.
func (t *Target) Compare(ctx context.Context, name string, sums [][32]byte) (same, known bool, err error) {
	if err := t.ready(ctx, name); err != nil {
		return false, false, multipart.Wrap(ctx, "stat", name, err)
	}
	same, known, err = multipart.Compare(ctx, (*store)(t), t.prefix+name, sums)
	return same, known, multipart.Wrap(ctx, "stat", name, err)
}

// List is part of providers.Target.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		if t.closed.Load() {
			yield(providers.Object{}, multipart.Wrap(ctx, "list", prefix, fs.ErrClosed))
			return
		}
		for o := range t.core.ListObjectsIter(ctx, t.bucket, minio.ListObjectsOptions{Prefix: t.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				yield(providers.Object{}, multipart.Wrap(ctx, "list", prefix, translate(o.Err)))
				return
			}
			if !yield(providers.Object{Name: strings.TrimPrefix(o.Key, t.prefix), Size: o.Size, Modified: o.LastModified}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(providers.Object{}, multipart.Wrap(ctx, "list", prefix, err))
		}
	}
}

// Delete is part of providers.Target.
func (t *Target) Delete(ctx context.Context, name string) error {
	err := t.ready(ctx, name)
	if err == nil {
		err = multipart.Delete(ctx, (*store)(t), t.prefix+name, t.versions)
	}
	return multipart.Wrap(ctx, "delete", name, err)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Close is part of providers.Target.
func (t *Target) Close() error {
	t.closed.Store(true)
	t.transport.Close()
	return nil
}
