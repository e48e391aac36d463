package s3

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"offsite/providers/multipart"
)

// end is when a lock ends; nil: there is none.
func end(lock multipart.Retention) *time.Time {
	if lock.Until.IsZero() {
		return nil
	}
	return &lock.Until
}

func (s *store) DefaultLock(ctx context.Context) (mode string, days int, err error) {
	out, err := s.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &s.cfg.Bucket})
	if err != nil {
		return "", 0, translate(err)
	}
	if out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.Rule == nil || out.ObjectLockConfiguration.Rule.DefaultRetention == nil {
		return "", 0, nil
	}
	d := out.ObjectLockConfiguration.Rule.DefaultRetention
	return string(d.Mode), int(aws.ToInt32(d.Days)) + 365*int(aws.ToInt32(d.Years)), nil
}

func (s *store) Versions(ctx context.Context, prefix string) iter.Seq2[multipart.Version, error] {
	return func(yield func(multipart.Version, error) bool) {
		pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: &s.cfg.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(multipart.Version{}, translate(err))
				return
			}
			for _, v := range versions(page) {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// versions puts a page's versions and markers, which come apart, in the order of their keys.
func versions(page *s3.ListObjectVersionsOutput) (all []multipart.Version) {
	for _, v := range page.Versions {
		all = append(all, multipart.Version{
			Key: aws.ToString(v.Key), ID: aws.ToString(v.VersionId), Size: aws.ToInt64(v.Size), Stored: aws.ToTime(v.LastModified), Latest: aws.ToBool(v.IsLatest),
		})
	}
	for _, m := range page.DeleteMarkers {
		all = append(all, multipart.Version{
			Key: aws.ToString(m.Key), ID: aws.ToString(m.VersionId), Stored: aws.ToTime(m.LastModified), Latest: aws.ToBool(m.IsLatest), Marker: true,
		})
	}
	slices.SortStableFunc(all, func(a, b multipart.Version) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

func (s *store) RemoveVersion(ctx context.Context, key, version string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: &key, VersionId: &version})
	return translate(err)
}

func (s *store) Retention(ctx context.Context, key, version string) (r multipart.Retention, err error) {
	in := &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		return r, translate(err)
	}
	return multipart.Retention{
		Mode: string(out.ObjectLockMode), Until: aws.ToTime(out.ObjectLockRetainUntilDate), Hold: out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
		Stored: aws.ToTime(out.LastModified),
	}, nil
}

func (s *store) Retain(ctx context.Context, key, mode string, until time.Time) error {
	_, err := s.client.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{
		Bucket: &s.cfg.Bucket, Key: &key,
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(mode), RetainUntilDate: &until},
	})
	return translate(err)
}

func (s *store) Versioning(ctx context.Context) (bool, error) {
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.cfg.Bucket})
	if err != nil {
		return false, translate(err)
	}
	return out.Status == types.BucketVersioningStatusEnabled, nil
}

func (s *store) Lifecycle(ctx context.Context) (rules []multipart.Rule, err error) {
	out, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &s.cfg.Bucket})
	if err != nil {
		return nil, translate(err)
	}
	for _, r := range out.Rules {
		if r.Status == types.ExpirationStatusEnabled {
			rules = append(rules, rule(r))
		}
	}
	return rules, nil
}

func rule(r types.LifecycleRule) (rule multipart.Rule) {
	rule.Prefix = aws.ToString(r.Prefix) //lint:ignore SA1019 rules of before 2016 have it here
	if f := r.Filter; f != nil {
		rule.Prefix = cmp.Or(aws.ToString(f.Prefix), rule.Prefix)
		rule.Part = f.Tag != nil || f.ObjectSizeGreaterThan != nil || f.ObjectSizeLessThan != nil
		if f.And != nil {
			rule.Prefix = cmp.Or(aws.ToString(f.And.Prefix), rule.Prefix)
			rule.Part = rule.Part || len(f.And.Tags) > 0 || f.And.ObjectSizeGreaterThan != nil || f.And.ObjectSizeLessThan != nil
		}
	}
	if e := r.Expiration; e != nil {
		rule.Objects = int(aws.ToInt32(e.Days))
		if e.Date != nil {
			rule.Objects = 1
		}
	}
	if e := r.NoncurrentVersionExpiration; e != nil {
		rule.Versions = int(aws.ToInt32(e.NoncurrentDays))
	}
	if a := r.AbortIncompleteMultipartUpload; a != nil {
		rule.Uploads = int(aws.ToInt32(a.DaysAfterInitiation))
	}
	return rule
}
