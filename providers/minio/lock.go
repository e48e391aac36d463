package minio

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/providers/multipart"
)

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

func (s *store) Versioning(ctx context.Context) (bool, error) {
	v, err := s.core.GetBucketVersioning(ctx, s.bucket)
	return v.Enabled(), translate(err)
}

func (s *store) Lifecycle(ctx context.Context) (rules []multipart.Rule, err error) {
	c, err := s.core.GetBucketLifecycle(ctx, s.bucket)
	if err != nil {
		return nil, translate(err)
	}
	for _, r := range c.Rules {
		if r.Status != "Enabled" {
			continue
		}
		rule := multipart.Rule{
			Prefix:  cmp.Or(r.RuleFilter.Prefix, r.RuleFilter.And.Prefix, r.Prefix),
			Part:    !r.RuleFilter.Tag.IsEmpty() || len(r.RuleFilter.And.Tags) > 0 || r.RuleFilter.ObjectSizeGreaterThan+r.RuleFilter.ObjectSizeLessThan+r.RuleFilter.And.ObjectSizeGreaterThan+r.RuleFilter.And.ObjectSizeLessThan > 0,
			Objects: cmp.Or(int(r.Expiration.Days), r.AllVersionsExpiration.Days), Versions: int(r.NoncurrentVersionExpiration.NoncurrentDays), Uploads: int(r.AbortIncompleteMultipartUpload.DaysAfterInitiation),
		}
		if !r.Expiration.Date.IsZero() {
			rule.Objects = 1
		}
		rules = append(rules, rule)
	}
	return rules, nil
}
