// Package minio keeps objects in MinIO and every other S3-compatible store, by minio-go.
//
// It stays off the trailing checksums that break such stores: each block goes out with its SHA-256 as signed payload
// and, unless that is switched off, as x-amz-checksum-sha256.
package minio

import (
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"offsite/providers"
	"offsite/providers/multipart"
)

// Target is one bucket, below a prefix.
type Target struct{ *multipart.Bucket }

// New reads the files that cfg names, and asks no server.
func New(cfg Config) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	access, err := providers.ReadSecret(cfg.AccessKey, cfg.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	secret, err := providers.ReadSecret(cfg.SecretKey, cfg.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	keys := credentials.NewStaticV4(access.Reveal(), secret.Reveal(), "")
	if !access.IsSet() {
		keys = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}})
	}
	transport, err := multipart.NewTransport(cfg.CAFile, cfg.IdleTimeout)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	region := cfg.Region
	if region == "" {
		region = "us-east-1" // asking the server for it needs a permission that backups do not
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: keys, Secure: u.Scheme == "https", Region: region, Transport: transport, BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, err
	}
	core.SetAppInfo("offsite", "1")
	return &Target{&multipart.Bucket{
		Client: &store{core: core, bucket: cfg.Bucket, class: cfg.StorageClass, sums: cfg.Checksums != "off"}, Transport: transport,
		Prefix: multipart.Prefix(cfg.Prefix), Mode: multipart.Mode(cfg.Lock), AllVersions: cfg.Versions == "delete",
	}}, nil
}
