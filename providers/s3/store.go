package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"offsite/providers"
	"offsite/providers/multipart"
)

// store is the calls of a bucket's client.
type store struct {
	client *s3.Client
	cfg    Config // without its secrets
}

var _ multipart.Client = (*store)(nil)

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

func (s *store) Unfinished(ctx context.Context, prefix string) iter.Seq2[multipart.Upload, error] {
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

func (s *store) Get(ctx context.Context, key, version, ranged string) (body io.ReadCloser, given string, err error) {
	in := &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	if ranged != "" {
		in.Range = &ranged
	}
	out, err := s.client.GetObject(ctx, in)
	switch {
	case code(err) == "InvalidRange":
		return http.NoBody, "", nil
	case err != nil:
		return nil, "", translate(err)
	}
	return out.Body, aws.ToString(out.ContentRange), nil
}

func (s *store) Head(ctx context.Context, key string) (providers.Object, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key})
	if err != nil {
		return providers.Object{}, translate(err)
	}
	return providers.Object{Name: key, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified)}, nil
}

func (s *store) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(providers.Object{}, translate(err))
				return
			}
			for _, o := range page.Contents {
				if !yield(providers.Object{Name: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
		}
	}
}

// hashed gives the signer the SHA-256 of the body, which it would compute otherwise.
func hashed(sum [32]byte) func(*s3.Options) {
	set := middleware.InitializeMiddlewareFunc("offsite payload hash", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum[:])), in)
	})
	return s3.WithAPIOptions(func(s *middleware.Stack) error { return s.Initialize.Add(set, middleware.Before) })
}

// base64Sum is a SHA-256 as S3 writes it.
func base64Sum(sum [32]byte) *string { return aws.String(base64.StdEncoding.EncodeToString(sum[:])) }
