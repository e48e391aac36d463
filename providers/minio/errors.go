package minio

import (
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
