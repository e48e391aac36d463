package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"offsite/providers"
)

// kindError carries the contract's word for an error of the store.
type kindError struct {
	kind error
	error
}

func (e *kindError) Unwrap() []error { return []error{e.kind, e.error} }

// code is the store's own word for an error, or empty.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// translate sorts an answer of the store.
func translate(err error) error {
	if err == nil {
		return nil
	}
	switch code(err) {
	case "NoSuchKey", "NoSuchUpload", "NotFound":
		return &kindError{fs.ErrNotExist, err}
	case "NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidBucketName":
		return &kindError{providers.ErrPermanent, fmt.Errorf("%w; check bucket, region and endpoint", err)}
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled", "AccountProblem", "ExpiredToken":
		return &kindError{fs.ErrPermission, fmt.Errorf("%w; check the keys and what they may do", err)}
	case "RequestTimeTooSkewed":
		return &kindError{providers.ErrPermanent, fmt.Errorf("%w; check this host's clock", err)}
	case "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest":
		return &kindError{providers.ErrCorrupt, err}
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		switch answer.HTTPStatusCode() {
		case http.StatusNotFound:
			return &kindError{fs.ErrNotExist, err}
		case http.StatusForbidden, http.StatusUnauthorized:
			return &kindError{fs.ErrPermission, err}
		}
	}
	return err
}

// wrap gives every error of the target its form.
func (t *Target) wrap(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError)) {
		err = &kindError{providers.ErrPermanent, fmt.Errorf("%w; ca_file names the certificate of a private authority", err)}
	}
	e := &providers.Error{Op: op, Name: name, Err: err}
	for _, k := range []error{fs.ErrNotExist, fs.ErrPermission, providers.ErrSourceChanged, providers.ErrCorrupt, providers.ErrPermanent} {
		if errors.Is(err, k) {
			e.Kind = k
		}
	}
	return e
}
