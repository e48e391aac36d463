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

// Missing asks for the bucket whatever the code of object says: where the store sent none, the client has made one up.
func (s *store) Missing(ctx context.Context, object error) error {
	return multipart.Missing(object, s.Ask(ctx))
}

func (s *store) Ask(ctx context.Context) error {
	there, err := s.core.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = minio.ErrorResponse{Code: "NoSuchBucket"}
	}
	return translate(err)
}
