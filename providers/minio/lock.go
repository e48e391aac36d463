package minio

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/providers"
	"offsite/providers/multipart"
)

var _ providers.Locker = (*Target)(nil)

// Now is part of providers.Locker.
func (t *Target) Now(ctx context.Context) (time.Time, error) {
	now, err := t.transport.Now(func() error {
		_, err := t.core.BucketExists(ctx, t.bucket)
		return translate(err)
	})
	return now, multipart.Wrap(ctx, "open", "", err)
}

// Locked is part of providers.Locker.
func (t *Target) Locked(ctx context.Context, name string) (*providers.Retained, error) {
	if err := t.ready(ctx, name); err != nil {
		return nil, multipart.Wrap(ctx, "stat", name, err)
	}
	why, err := multipart.Locked(ctx, (*store)(t), t.prefix+name, t.Now)
	return why, multipart.Wrap(ctx, "stat", name, err)
}

// CheckLock is part of providers.Locker.
func (t *Target) CheckLock(ctx context.Context) error {
	return multipart.Wrap(ctx, "open", "", multipart.CheckDefault(ctx, (*store)(t), t.mode))
}

// Lock is part of providers.Locker.
func (t *Target) Lock(ctx context.Context, name string, until time.Time) error {
	err := t.ready(ctx, name)
	if err == nil && t.mode == "" {
		err = errors.New("no lock is configured")
	}
	if err == nil {
		err = multipart.Extend(ctx, (*store)(t), t.prefix+name, t.mode, until)
	}
	return multipart.Wrap(ctx, "lock", name, err)
}

// Hidden is part of providers.Locker.
func (t *Target) Hidden(ctx context.Context, dir string) (providers.Hidden, error) {
	if err := t.ready(ctx, dir); err != nil {
		return providers.Hidden{}, multipart.Wrap(ctx, "list", dir, err)
	}
	h, err := multipart.CountHidden(ctx, (*store)(t), t.prefix+dir+"/")
	return h, multipart.Wrap(ctx, "list", dir, err)
}

func (s *store) Versions(ctx context.Context, prefix string) iter.Seq2[multipart.Version, error] {
	return func(yield func(multipart.Version, error) bool) {
		for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}) {
			v := multipart.Version{Key: o.Key, ID: o.VersionID, Size: o.Size, Stored: o.LastModified, Latest: o.IsLatest, Marker: o.IsDeleteMarker}
			if !yield(v, translate(o.Err)) || o.Err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(multipart.Version{}, err)
		}
	}
}

func (s *store) RemoveVersion(ctx context.Context, key, version string) error {
	return translate(s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{VersionID: version}))
}

func (s *store) Retention(ctx context.Context, key, version string) (r multipart.Retention, err error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{VersionID: version})
	if err != nil {
		return r, translate(err)
	}
	if r, err = multipart.ParseRetention(info.Metadata); err != nil {
		return r, err
	}
	r.Stored = info.LastModified
	return r, nil
}

func (s *store) DefaultLock(ctx context.Context) (mode string, days int, err error) {
	_, m, n, unit, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	if err != nil || m == nil || n == nil || unit == nil {
		return "", 0, translate(err)
	}
	if *unit == minio.Years {
		return m.String(), 365 * int(*n), nil
	}
	return m.String(), int(*n), nil
}

func (s *store) Retain(ctx context.Context, key, mode string, until time.Time) error {
	m := minio.RetentionMode(mode)
	return translate(s.core.PutObjectRetention(ctx, s.bucket, key, minio.PutObjectRetentionOptions{Mode: &m, RetainUntilDate: &until}))
}
