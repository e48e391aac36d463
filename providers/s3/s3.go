// Package s3 keeps objects in AWS S3, by aws-sdk-go-v2: the whole AWS credential chain, storage classes, server-side
// encryption.
//
// The SDK's default trailing checksums are off. Each block goes out with its SHA-256 as signed payload and, unless that
// is switched off, as x-amz-checksum-sha256, which the store keeps; it is not hashed again.
package s3

import (
	"context"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"offsite/providers"
	"offsite/providers/multipart"
)

// Target is one bucket, below a prefix.
type Target struct{ *multipart.Bucket }

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
	cfg.AccessKey, cfg.SecretKey = providers.Secret{}, providers.Secret{} // the client has them, and fmt would show them here
	return &Target{&multipart.Bucket{
		Client: &store{client, cfg}, Transport: transport,
		Prefix: multipart.Prefix(cfg.Prefix), Mode: multipart.Mode(cfg.Lock), AllVersions: cfg.Versions == "delete",
	}}, nil
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
