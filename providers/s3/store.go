package s3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"offsite/providers"
	"offsite/providers/multipart"
)

// store is the calls that an upload is made of.
type store Target

func (s *store) kmsKey() *string {
	if s.cfg.KMSKey == "" {
		return nil
	}
	return &s.cfg.KMSKey
}

// sums says whether the store is given checksums to compare and to keep.
func (s *store) sums() bool { return s.cfg.Checksums != "off" }

func (s *store) checksum(sum [32]byte) *string {
	if !s.sums() {
		return nil
	}
	return base64Sum(sum)
}

// encrypted makes sure that the server did what sse asks: some accept it and ignore it.
func (s *store) encrypted(got types.ServerSideEncryption) error {
	if s.cfg.SSE != "" && string(got) != s.cfg.SSE {
		return fmt.Errorf("sse is %s, and the server answered %q: it does not encrypt as asked: %w", s.cfg.SSE, got, providers.ErrPermanent)
	}
	return nil
}

func (s *store) PutWhole(ctx context.Context, key string, b *providers.Block, lock multipart.Retention) error {
	out, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: &key, Body: b.Body, ContentLength: aws.Int64(b.Body.Size()), ChecksumSHA256: s.checksum(b.Sum),
		StorageClass: types.StorageClass(s.cfg.StorageClass), ServerSideEncryption: types.ServerSideEncryption(s.cfg.SSE), SSEKMSKeyId: s.kmsKey(),
		ObjectLockMode: types.ObjectLockMode(lock.Mode), ObjectLockRetainUntilDate: end(lock),
	}, hashed(b.Sum))
	if err != nil {
		return translate(err)
	}
	if err := s.encrypted(out.ServerSideEncryption); err != nil {
		// What is not encrypted as asked must not stay.
		return errors.Join(err, s.Remove(context.WithoutCancel(ctx), key))
	}
	return nil
}

func (s *store) Create(ctx context.Context, key string, lock multipart.Retention) (string, error) {
	in := &s3.CreateMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: &key,
		StorageClass: types.StorageClass(s.cfg.StorageClass), ServerSideEncryption: types.ServerSideEncryption(s.cfg.SSE), SSEKMSKeyId: s.kmsKey(),
		ObjectLockMode: types.ObjectLockMode(lock.Mode), ObjectLockRetainUntilDate: end(lock),
	}
	if s.sums() {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	}
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", translate(err)
	}
	if err := s.encrypted(out.ServerSideEncryption); err != nil {
		return "", errors.Join(err, s.Abort(context.WithoutCancel(ctx), key, aws.ToString(out.UploadId)))
	}
	return aws.ToString(out.UploadId), nil
}

func (s *store) Uploads(ctx context.Context, key string) (ids []string, err error) {
	for u, err := range s.unfinished(ctx, key) {
		if err != nil {
			return nil, err
		}
		if u.Key == key {
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}

func (s *store) Unfinished(ctx context.Context) iter.Seq2[multipart.Upload, error] {
	return s.unfinished(ctx, "")
}

func (s *store) unfinished(ctx context.Context, prefix string) iter.Seq2[multipart.Upload, error] {
	return func(yield func(multipart.Upload, error) bool) {
		pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.cfg.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(multipart.Upload{}, translate(err))
				return
			}
			for _, u := range page.Uploads {
				if !yield(multipart.Upload{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)}, nil) {
					return
				}
			}
		}
	}
}

func (s *store) Parts(ctx context.Context, key, upload string) (parts []multipart.Part, err error) {
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.cfg.Bucket, Key: &key, UploadId: &upload})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		for _, p := range page.Parts {
			part := multipart.Part{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size), ETag: aws.ToString(p.ETag), Stored: aws.ToTime(p.LastModified)}
			if sum, err := base64.StdEncoding.DecodeString(aws.ToString(p.ChecksumSHA256)); err == nil {
				copy(part.SHA256[:], sum)
			}
			parts = append(parts, part)
		}
	}
	return parts, nil
}

func (s *store) UploadPart(ctx context.Context, key, upload string, b *providers.Block) (multipart.Part, error) {
	number := b.Index + 1
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.cfg.Bucket, Key: &key, UploadId: &upload, PartNumber: aws.Int32(int32(number)),
		Body: b.Body, ContentLength: aws.Int64(b.Body.Size()), ChecksumSHA256: s.checksum(b.Sum),
	}, hashed(b.Sum))
	if err != nil {
		return multipart.Part{}, translate(err)
	}
	part := multipart.Part{Number: number, Size: b.Body.Size(), ETag: aws.ToString(out.ETag)}
	if kept := aws.ToString(out.ChecksumSHA256); kept != "" {
		if kept != *base64Sum(b.Sum) {
			return multipart.Part{}, fmt.Errorf("part %d: %w", number, providers.ErrCorrupt)
		}
		part.SHA256 = b.Sum
	}
	return part, nil
}

func (s *store) Complete(ctx context.Context, key, upload string, parts []multipart.Part) (string, error) {
	var done []types.CompletedPart
	for _, p := range parts {
		c := types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag)}
		if p.SHA256 != [32]byte{} {
			c.ChecksumSHA256 = base64Sum(p.SHA256)
		}
		done = append(done, c)
	}
	out, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: &key, UploadId: &upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	})
	if err != nil {
		return "", translate(err)
	}
	return aws.ToString(out.ETag), nil
}

func (s *store) Abort(ctx context.Context, key, upload string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: &key, UploadId: &upload})
	return translate(err)
}

func (s *store) Stat(ctx context.Context, key string) (multipart.Object, error) {
	in := &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key}
	if s.sums() {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		return multipart.Object{}, translate(err)
	}
	o := multipart.Object{Size: -1, ETag: aws.ToString(out.ETag), SHA256: aws.ToString(out.ChecksumSHA256)}
	if out.ContentLength != nil {
		o.Size = *out.ContentLength
	}
	return o, nil
}

func (s *store) Remove(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: &key})
	return translate(err)
}
