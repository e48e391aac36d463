package minio

import (
	"context"
	"errors"

	"github.com/minio/minio-go/v7"

	"offsite/providers/multipart"
)

// translate sorts an answer of the store.
func translate(err error) error {
	var answer minio.ErrorResponse
	errors.As(err, &answer) // without one it stays zero
	return multipart.Translate(err, answer.Code, answer.StatusCode)
}

// missing makes sure that it is the object that is missing and not the bucket. It asks whatever the code says: where
// the store sent none, the client has made one up.
func (t *Target) missing(ctx context.Context, object error) error {
	there, err := t.core.BucketExists(ctx, t.bucket)
	if err == nil && !there {
		err = minio.ErrorResponse{Code: "NoSuchBucket"}
	}
	return multipart.Missing(object, translate(err))
}
