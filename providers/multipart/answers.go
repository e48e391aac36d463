package multipart

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"offsite/providers"
)

// refusal carries the contract's word for an error of the store.
type refusal struct {
	kind error
	code string
	error
}

func (e *refusal) Unwrap() []error { return []error{e.kind, e.error} }

// Translate sorts the error of a client by what the store answered: its code, in the words of S3, and the HTTP status,
// which is all there is when a proxy answered, or the answer has no body. Without an answer both are zero.
func Translate(err error, code string, status int) error {
	if err == nil {
		return nil
	}
	if remedy, kind := meaning(code, status); kind != nil {
		if remedy != "" {
			err = fmt.Errorf("%w; %s", err, remedy)
		}
		return &refusal{kind, code, err}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		// A file of this host that the client wanted, such as one with credentials: no object is missing.
		return &refusal{providers.ErrPermanent, code, errors.New(err.Error())}
	}
	return err
}

// meaning is what a person can do about an answer, and its kind, nil for what is worth another try.
func meaning(code string, status int) (remedy string, kind error) {
	switch code {
	case "NoSuchKey", "NoSuchUpload":
		return "", fs.ErrNotExist
	case "NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidBucketName":
		return "check bucket, region and endpoint", providers.ErrPermanent
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled", "AccountProblem", "ExpiredToken", "InvalidToken":
		return "check the keys and what they may do", fs.ErrPermission
	case "RequestTimeTooSkewed":
		return "check this host's clock", providers.ErrPermanent
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidPart":
		return "", providers.ErrCorrupt
	case "EntityTooLarge":
		return "the store takes no object, or no part, that is so large", providers.ErrPermanent
	case "NotImplemented":
		return "the store lacks what was asked of it: checksums (off leaves them out), a storage class, encryption", providers.ErrPermanent
	case "RequestTimeout", "IncompleteBody":
		return "", nil // the connection was too slow or broke off; S3 says 400, like for mistakes
	}
	return statusMeaning(status)
}

func statusMeaning(status int) (remedy string, kind error) {
	switch status {
	case http.StatusNotFound:
		return "", fs.ErrNotExist
	case http.StatusForbidden, http.StatusUnauthorized:
		return "check the keys and what they may do", fs.ErrPermission
	case http.StatusRequestEntityTooLarge:
		return "a proxy limits the size of requests: raise that, or lower block_size", providers.ErrPermanent
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusPermanentRedirect:
		return "the server sends us elsewhere: check endpoint and region", providers.ErrPermanent
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusNotImplemented:
		return "", providers.ErrPermanent
	}
	return "", nil
}

// Missing decides what it means that an object is not there: object is that error, and bucket what the store answers
// when asked for the bucket, for a 404 without a body does not say which of the two is missing. Credentials that may
// not ask for the bucket have to take it as it is.
func Missing(object, bucket error) error {
	switch {
	case bucket == nil, errors.Is(bucket, fs.ErrPermission):
		return object
	case errors.Is(bucket, fs.ErrNotExist):
		return &refusal{providers.ErrPermanent, "", fmt.Errorf("there is no such bucket: %v; check bucket, region and endpoint", bucket)}
	}
	return bucket
}

// Wrap gives every error of a target its form.
func Wrap(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var r *refusal
	if op != "get" && op != "stat" && op != "lock" && errors.As(err, &r) && r.kind == fs.ErrNotExist {
		// No object was asked for, so it is the bucket, or the address is not that of a store.
		err = &refusal{providers.ErrPermanent, r.code, fmt.Errorf("%v; check bucket, region and endpoint", err)}
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError)) {
		err = &refusal{providers.ErrPermanent, "", fmt.Errorf("%w; ca_file names the certificate of a private authority", err)}
	}
	e := &providers.Error{Op: op, Name: name, Err: err}
	for _, k := range []error{fs.ErrNotExist, fs.ErrPermission, providers.ErrSourceChanged, providers.ErrCorrupt, providers.ErrPermanent} {
		if errors.Is(err, k) {
			e.Kind = k
		}
	}
	return e
}
