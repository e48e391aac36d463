package s3

import (
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"offsite/providers"
	"offsite/providers/multipart"
)

// Config is a bucket of AWS S3.
type Config struct {
	Bucket string `yaml:"bucket"`
	// Prefix comes before every object's name, with a slash.
	Prefix string `yaml:"prefix"`
	Region string `yaml:"region"`
	// Endpoint is a URL, for VPC endpoints and other stores that are to be reached by the AWS SDK.
	Endpoint  string `yaml:"endpoint"`
	PathStyle bool   `yaml:"path_style"`
	// Profile of the shared AWS configuration. Without keys the whole AWS chain is asked.
	Profile          string           `yaml:"profile"`
	AccessKey        providers.Secret `yaml:"access_key"`
	AccessKeyFile    string           `yaml:"access_key_file"`
	SecretKey        providers.Secret `yaml:"secret_key"`
	SecretKeyFile    string           `yaml:"secret_key_file"`
	SessionTokenFile string           `yaml:"session_token_file"`
	StorageClass     string           `yaml:"storage_class"`
	// SSE is AES256 or aws:kms, with KMSKey or the account's own key.
	SSE    string `yaml:"sse"`
	KMSKey string `yaml:"kms_key"`
	CAFile string `yaml:"ca_file"`
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
	wrong := func(key, problem, remedy string) {
		errs = append(errs, &providers.FieldError{Key: key, Problem: problem, Remedy: remedy})
	}
	if c.Bucket == "" {
		wrong("bucket", "is missing", "write the name of a bucket that exists")
	}
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		wrong("endpoint", "is not a URL", "write one such as https://s3.example.org, or leave it out for AWS")
	}
	if c.SSE != "" && !slices.Contains([]string{"AES256", "aws:kms"}, c.SSE) {
		wrong("sse", "is unknown", "write AES256 or aws:kms")
	}
	if c.KMSKey != "" && c.SSE != "aws:kms" {
		wrong("kms_key", "has no use", "write sse: aws:kms too")
	}
	if c.StorageClass != "" && !slices.Contains(types.StorageClass("").Values(), types.StorageClass(c.StorageClass)) {
		wrong("storage_class", "is unknown", "write one such as STANDARD_IA")
	}
	if c.StorageClass == string(types.StorageClassGlacier) || c.StorageClass == string(types.StorageClassDeepArchive) {
		wrong("storage_class", "cannot be read back at once", "write GLACIER_IR or another class that can")
	}
	if c.Checksums != "" && c.Checksums != "auto" && c.Checksums != "off" {
		wrong("checksums", "is unknown", "write auto, or off for a store that refuses them")
	}
	errs = append(errs, multipart.CheckVersions(c.Versions), multipart.CheckLock(c.Lock, c.Checksums))
	errs = append(errs, providers.CheckSecret("access_key", c.AccessKey, c.AccessKeyFile), providers.CheckSecret("secret_key", c.SecretKey, c.SecretKeyFile))
	return errors.Join(errs...)
}
