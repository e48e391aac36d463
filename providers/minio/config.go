package minio

import (
	"errors"
	"net/url"
	"time"

	"offsite/providers"
	"offsite/providers/multipart"
)

// Config is a bucket of an S3-compatible store.
type Config struct {
	// Endpoint is a URL, https://host:port.
	Endpoint string `yaml:"endpoint"`
	Bucket   string `yaml:"bucket"`
	// Prefix comes before every object's name, with a slash.
	Prefix string `yaml:"prefix"`
	Region string `yaml:"region"`
	// Without keys, AWS_* and MINIO_* of the environment are taken.
	AccessKey     providers.Secret `yaml:"access_key"`
	AccessKeyFile string           `yaml:"access_key_file"`
	SecretKey     providers.Secret `yaml:"secret_key"`
	SecretKeyFile string           `yaml:"secret_key_file"`
	// CAFile holds certificates to trust beside the system's.
	CAFile       string `yaml:"ca_file"`
	StorageClass string `yaml:"storage_class"`
	// PathStyle puts the bucket into the path instead of the host name; found by itself unless set.
	PathStyle bool `yaml:"path_style"`
	// Checksums is auto, or off for a store that refuses x-amz-checksum-sha256. The signature covers the SHA-256 of what
	// is sent in any case.
	Checksums string `yaml:"checksums"`
	// Versions is hide (the default: what a bucket with versions goes on keeping, unseen, is told) or delete, which
	// removes all versions of what retention removes.
	Versions string `yaml:"versions"`
	// Lock, if set, keeps each backup from being removed until the policy would let it go: the bucket must have Object Lock.
	Lock *providers.Lock `yaml:"lock"`
	// IdleTimeout is how long the server may be silent; 0: 1 minute.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
}

// Validate says what is wrong with it, without asking the server.
func (c *Config) Validate() error {
	var errs []error
	u, err := url.Parse(c.Endpoint)
	if c.Endpoint == "" || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" && u.Path != "/" || u.User != nil {
		errs = append(errs, &providers.FieldError{Key: "endpoint", Problem: "is not the address of a server", Remedy: "write one such as https://minio.lan:9000"})
	}
	if c.Bucket == "" {
		errs = append(errs, &providers.FieldError{Key: "bucket", Problem: "is missing", Remedy: "write the name of a bucket that exists"})
	}
	if c.Checksums != "" && c.Checksums != "auto" && c.Checksums != "off" {
		errs = append(errs, &providers.FieldError{Key: "checksums", Problem: "is unknown", Remedy: "write auto, or off for a store that refuses them"})
	}
	errs = append(errs, multipart.CheckVersions(c.Versions), multipart.CheckLock(c.Lock, c.Checksums))
	errs = append(errs, providers.CheckSecret("access_key", c.AccessKey, c.AccessKeyFile), providers.CheckSecret("secret_key", c.SecretKey, c.SecretKeyFile))
	return errors.Join(errs...)
}
