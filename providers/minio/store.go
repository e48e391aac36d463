package minio

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/minio/minio-go/v7"

	"offsite/providers"
	"offsite/providers/multipart"
)

// store is the calls of a bucket's client.
type store struct {
	core   *minio.Core
	bucket string
	class  string // of storage; empty: the bucket's own
	sums   bool   // x-amz-checksum-sha256 is sent
}

var _ multipart.Client = (*store)(nil)

// options are those of all uploads. Without "DisableContentSha256" the client would, over plain HTTP, ignore the
// SHA-256 that it is given, hash the body once more and send it as aws-chunked.
func (s *store) options(lock multipart.Retention) minio.PutObjectOptions {
	o := minio.PutObjectOptions{StorageClass: s.class, ContentType: "application/octet-stream", DisableContentSha256: true}
	o.Mode, o.RetainUntilDate = minio.RetentionMode(lock.Mode), lock.Until
	return o
}

func (s *store) PutWhole(ctx context.Context, key string, b *providers.Block, lock multipart.Retention) error {
	o := s.options(lock)
	if s.sums {
		o.UserMetadata = map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(b.Sum[:])}
	}
	_, err := s.core.PutObject(ctx, s.bucket, key, b.Body, b.Body.Size(), "", hex.EncodeToString(b.Sum[:]), o)
	return translate(err)
}

func (s *store) Create(ctx context.Context, key string, lock multipart.Retention) (string, error) {
	o := s.options(lock)
	if s.sums {
		o.UserMetadata = map[string]string{"x-amz-checksum-algorithm": "SHA256"}
	}
	id, err := s.core.NewMultipartUpload(ctx, s.bucket, key, o)
	return id, translate(err)
}

func (s *store) Unfinished(ctx context.Context, prefix string) iter.Seq2[multipart.Upload, error] {
	return func(yield func(multipart.Upload, error) bool) {
		var keyMarker, idMarker string
		for {
			page, err := s.core.ListMultipartUploads(ctx, s.bucket, prefix, keyMarker, idMarker, "", 1000)
			if err != nil {
				yield(multipart.Upload{}, translate(err))
				return
			}
			for _, u := range page.Uploads {
				if !yield(multipart.Upload{Key: u.Key, ID: u.UploadID, Begun: u.Initiated}, nil) {
					return
				}
			}
			if !page.IsTruncated || page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
				return
			}
			keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
		}
	}
}

func (s *store) Parts(ctx context.Context, key, upload string) (parts []multipart.Part, err error) {
	for marker := 0; ; {
		page, err := s.core.ListObjectParts(ctx, s.bucket, key, upload, marker, 1000)
		if err != nil {
			return nil, translate(err)
		}
		for _, p := range page.ObjectParts {
			parts = append(parts, part(p))
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return parts, nil
		}
		marker = page.NextPartNumberMarker
	}
}

func part(p minio.ObjectPart) multipart.Part {
	out := multipart.Part{Number: p.PartNumber, Size: p.Size, ETag: p.ETag, Stored: p.LastModified}
	if sum, err := base64.StdEncoding.DecodeString(p.ChecksumSHA256); err == nil {
		copy(out.SHA256[:], sum)
	}
	return out
}

func (s *store) UploadPart(ctx context.Context, key, upload string, b *providers.Block) (multipart.Part, error) {
	o := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(b.Sum[:]), DisableContentSha256: true}
	sum := base64.StdEncoding.EncodeToString(b.Sum[:])
	if s.sums {
		o.CustomHeader = http.Header{"X-Amz-Checksum-Sha256": {sum}}
	}
	p, err := s.core.PutObjectPart(ctx, s.bucket, key, upload, b.Index+1, b.Body, b.Body.Size(), o)
	if err != nil {
		return multipart.Part{}, translate(err)
	}
	p.PartNumber, p.Size = b.Index+1, b.Body.Size()
	if p.ChecksumSHA256 != "" && p.ChecksumSHA256 != sum {
		return multipart.Part{}, fmt.Errorf("part %d: %w", p.PartNumber, providers.ErrCorrupt)
	}
	return part(p), nil
}

func (s *store) Complete(ctx context.Context, key, upload string, parts []multipart.Part) (string, error) {
	var done []minio.CompletePart
	for _, p := range parts {
		c := minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
		if p.SHA256 != [32]byte{} {
			c.ChecksumSHA256 = base64.StdEncoding.EncodeToString(p.SHA256[:])
		}
		done = append(done, c)
	}
	info, err := s.core.CompleteMultipartUpload(ctx, s.bucket, key, upload, done, s.options(multipart.Retention{}))
	return info.ETag, translate(err)
}

func (s *store) Abort(ctx context.Context, key, upload string) error {
	return translate(s.core.AbortMultipartUpload(ctx, s.bucket, key, upload))
}

func (s *store) Stat(ctx context.Context, key string) (multipart.Object, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{Checksum: s.sums})
	return multipart.Object{Size: info.Size, ETag: info.ETag, SHA256: info.ChecksumSHA256}, translate(err)
}

func (s *store) Remove(ctx context.Context, key string) error {
	return translate(s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
}

func (s *store) Get(ctx context.Context, key, version, ranged string) (body io.ReadCloser, given string, err error) {
	o := minio.GetObjectOptions{VersionID: version}
	o.Set("Accept-Encoding", "identity")
	if ranged != "" {
		o.Set("Range", ranged)
	}
	body, _, header, err := s.core.GetObject(ctx, s.bucket, key, o)
	switch {
	case minio.ToErrorResponse(err).Code == "InvalidRange":
		return http.NoBody, "", nil
	case err != nil:
		return nil, "", translate(err)
	}
	return body, header.Get("Content-Range"), nil
}

func (s *store) Head(ctx context.Context, key string) (providers.Object, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	return providers.Object{Name: key, Size: info.Size, Modified: info.LastModified}, translate(err)
}

func (s *store) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if !yield(providers.Object{Name: o.Key, Size: o.Size, Modified: o.LastModified}, translate(o.Err)) || o.Err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil { // which the client takes for the end
			yield(providers.Object{}, err)
		}
	}
}
