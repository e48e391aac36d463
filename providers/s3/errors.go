package s3

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"offsite/providers/multipart"
)

// code is the store's own word for an error, or empty.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// translate sorts an answer of the store.
func translate(err error) error {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) {
		return multipart.Translate(err, code(err), 0)
	}
	if answer.HTTPStatusCode() == http.StatusNotFound && aboutCredentials(err) {
		return multipart.Translate(err, "", 0) // no object is missing
	}
	return multipart.Translate(err, code(err), answer.HTTPStatusCode())
}

// aboutCredentials says whether it was not the store that answered, but a service that was asked for credentials.
func aboutCredentials(err error) bool {
	var call, within *smithy.OperationError
	return errors.As(err, &call) && errors.As(call.Err, &within)
}

// Missing asks for the bucket, unless the store has said that it is the object.
func (s *store) Missing(ctx context.Context, object error) error {
	if code(object) == "NoSuchKey" {
		return object
	}
	return multipart.Missing(object, s.Ask(ctx))
}

func (s *store) Ask(ctx context.Context) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.cfg.Bucket})
	return translate(err)
}
