// Package s3 keeps objects in AWS S3, by aws-sdk-go-v2: the whole AWS credential chain, storage classes, server-side
// encryption.
//
// The SDK's default trailing checksums are off. Each block goes out with its SHA-256 as signed payload and, unless that
// is switched off, as x-amz-checksum-sha256, which the store keeps; it is not hashed again.
package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"offsite/providers"
	"offsite/providers/multipart"
)

// Target is one bucket, below a prefix.
type Target struct {
	*multipart.Locker
	client    *s3.Client
	transport *multipart.Transport
	cfg       Config
	prefix    string // with its slash
	closed    atomic.Bool
}

var (
	_ providers.Target    = (*Target)(nil)
	_ providers.Historian = (*Target)(nil)
)

// New reads the files that cfg and the AWS configuration name, and asks no server.
func New(cfg Config) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ca := cfg.CAFile
	if ca == "" {
		ca = os.Getenv("AWS_CA_BUNDLE") // part of the AWS configuration, which the SDK reads for its own client only
	}
	transport, err := multipart.NewTransport(ca, cfg.IdleTimeout)
	if err != nil {
		return nil, err
	}
	load := []func(*config.LoadOptions) error{
		config.WithRetryMaxAttempts(2),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if cfg.Region != "" {
		load = append(load, config.WithRegion(cfg.Region))
	}
	if cfg.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(cfg.Profile))
	}
	keys, err := cfg.keys()
	if err != nil {
		return nil, err
	}
	if keys != nil {
		load = append(load, config.WithCredentialsProvider(keys))
	}
	sdk, err := config.LoadDefaultConfig(context.Background(), load...) // reads files only
	if err != nil {
		return nil, err
	}
	if sdk.Region == "" {
		sdk.Region = "us-east-1"
	}
	client := s3.NewFromConfig(sdk, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: transport, CheckRedirect: stay}
		o.UsePathStyle = cfg.PathStyle
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
	})
	prefix := strings.Trim(cfg.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	cfg.AccessKey, cfg.SecretKey = providers.Secret{}, providers.Secret{} // the client has them, and fmt would show them here
	t := &Target{client: client, transport: transport, cfg: cfg, prefix: prefix}
	t.Locker = t.locker(multipart.Mode(cfg.Lock))
	return t, nil
}

// stay follows no redirect: of a PUT the client would make a GET, and take its answer for success.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// keys are those of the configuration; nil: the AWS chain is asked.
func (c *Config) keys() (aws.CredentialsProvider, error) {
	access, err := providers.ReadSecret(c.AccessKey, c.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	secret, err := providers.ReadSecret(c.SecretKey, c.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	token, err := providers.ReadSecret(providers.Secret{}, c.SessionTokenFile)
	if err != nil || !access.IsSet() {
		return nil, err
	}
	return credentials.NewStaticCredentialsProvider(access.Reveal(), secret.Reveal(), token.Reveal()), nil
}

// ready is what every call checks first.
func (t *Target) ready(ctx context.Context, name string) error {
	if t.closed.Load() {
		return fs.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return providers.CheckName(name)
}

// Put is part of providers.Target.
func (t *Target) Put(ctx context.Context, name string, src providers.Source) error {
	err := t.ready(ctx, name)
	if err == nil {
		var lock multipart.Retention
		if lock, err = t.Locker.New(ctx, src); err == nil {
			err = multipart.Put(ctx, (*store)(t), t.prefix+name, src, lock)
		}
	}
	return multipart.Wrap(ctx, "put", name, err)
}

// Get is part of providers.Target.
func (t *Target) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := t.ready(ctx, name); err != nil {
		return nil, multipart.Wrap(ctx, "get", name, err)
	}
	if length == 0 {
		if _, err := t.Stat(ctx, name); err != nil {
			return nil, err
		}
		return http.NoBody, nil
	}
	return t.open(ctx, name, "", offset, length)
}

// AsOf is part of providers.Historian.
func (t *Target) AsOf(at time.Time) providers.Target {
	return &multipart.Past{Of: t.Locker, At: at, Open: t.open, Shut: t.Close}
}

// open is Get of a version, or the current one when it is empty, of a length other than 0.
func (t *Target) open(ctx context.Context, name, version string, offset, length int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &t.cfg.Bucket, Key: aws.String(t.prefix + name)}
	if version != "" {
		in.VersionId = &version
	}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := t.client.GetObject(ctx, in)
	if code(err) == "InvalidRange" {
		return http.NoBody, nil
	}
	if err = translate(err); isMissing(err) {
		err = t.missing(ctx, err)
	}
	if err == nil && in.Range != nil {
		if err = multipart.Ranged(aws.ToString(out.ContentRange), offset); err != nil {
			out.Body.Close()
		}
	}
	if err != nil {
		return nil, multipart.Wrap(ctx, "get", name, err)
	}
	return &reader{out.Body, func(err error) error { return multipart.Wrap(ctx, "get", name, err) }}, nil
}

// reader gives the errors of a body the contract's form.
type reader struct {
	io.ReadCloser
	wrap func(error) error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.wrap(err)
	}
	return n, err
}

// Stat is part of providers.Target.
func (t *Target) Stat(ctx context.Context, name string) (providers.Object, error) {
	if err := t.ready(ctx, name); err != nil {
		return providers.Object{}, multipart.Wrap(ctx, "stat", name, err)
	}
	out, err := t.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.cfg.Bucket, Key: aws.String(t.prefix + name)})
	if err = translate(err); isMissing(err) {
		err = t.missing(ctx, err)
	}
	if err != nil {
		return providers.Object{}, multipart.Wrap(ctx, "stat", name, err)
	}
	return providers.Object{Name: name, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified)}, nil
}

// Compare is part of providers.Checksummer.
func (t *Target) Compare(ctx context.Context, name string, sums [][32]byte) (same, known bool, err error) {
	if err := t.ready(ctx, name); err != nil {
		return false, false, multipart.Wrap(ctx, "stat", name, err)
	}
	same, known, err = multipart.Compare(ctx, (*store)(t), t.prefix+name, sums)
	return same, known, multipart.Wrap(ctx, "stat", name, err)
}

// List is part of providers.Target.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		if t.closed.Load() {
			yield(providers.Object{}, multipart.Wrap(ctx, "list", prefix, fs.ErrClosed))
			return
		}
		pages := s3.NewListObjectsV2Paginator(t.client, &s3.ListObjectsV2Input{Bucket: &t.cfg.Bucket, Prefix: aws.String(t.prefix + prefix)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(providers.Object{}, multipart.Wrap(ctx, "list", prefix, translate(err)))
				return
			}
			for _, o := range page.Contents {
				name := strings.TrimPrefix(aws.ToString(o.Key), t.prefix)
				if !yield(providers.Object{Name: name, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
		}
	}
}

// Delete is part of providers.Target.
func (t *Target) Delete(ctx context.Context, name string) error {
	err := t.ready(ctx, name)
	if err == nil {
		err = multipart.Delete(ctx, (*store)(t), t.prefix+name, t.cfg.Versions == "delete")
	}
	return multipart.Wrap(ctx, "delete", name, err)
}

// Close is part of providers.Target.
func (t *Target) Close() error {
	t.closed.Store(true)
	t.transport.Close()
	return nil
}

// hashed gives the signer the SHA-256 of the body, which it would compute otherwise.
func hashed(sum [32]byte) func(*s3.Options) {
	set := middleware.InitializeMiddlewareFunc("offsite payload hash", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum[:])), in)
	})
	return s3.WithAPIOptions(func(s *middleware.Stack) error { return s.Initialize.Add(set, middleware.Before) })
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func base64Sum(sum [32]byte) *string { return aws.String(base64.StdEncoding.EncodeToString(sum[:])) }
