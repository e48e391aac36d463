package s3_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"offsite/providers"
	"offsite/providers/s3"
	"offsite/providers/targettest"
	"offsite/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, at targettest.S3) providers.Target {
	t.Helper()
	return start(t, config(at))
}

func config(at targettest.S3) s3.Config {
	return s3.Config{
		Endpoint: at.Endpoint, Bucket: at.Bucket, Prefix: at.Prefix, CAFile: at.CAFile, PathStyle: true,
		AccessKey: at.AccessKey, SecretKey: at.SecretKey, Checksums: at.Checksums, Versions: at.Versions, Lock: at.Lock, IdleTimeout: at.IdleTimeout,
	}
}

func start(t testing.TB, cfg s3.Config) providers.Target {
	t.Helper()
	target, err := s3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

func TestContractOnMinIO(t *testing.T) { targettest.RunS3Contract(t, servers.MinIO(t, false), open) }
func TestContractOnMinIOWithTLS(t *testing.T) {
	targettest.RunS3Contract(t, servers.MinIO(t, true), open)
}
func TestContractOnVersityGW(t *testing.T) { targettest.RunS3Contract(t, servers.VersityGW(t), open) }

func TestContractWithoutChecksums(t *testing.T) {
	targettest.RunS3WithoutChecksums(t, servers.VersityGW(t), open)
}

func TestChecksumsMayBeSwitchedWhileAnUploadIsUnfinished(t *testing.T) {
	targettest.RunS3Switch(t, servers.MinIO(t, false), open)
}

func TestLocksOnMinIO(t *testing.T)     { targettest.RunS3Locks(t, servers.MinIO(t, false), open) }
func TestLocksOnVersityGW(t *testing.T) { targettest.RunS3Locks(t, servers.VersityGW(t), open) }

func TestInspectMinIO(t *testing.T) { targettest.RunS3Inspect(t, servers.MinIO(t, true), open, true) }
func TestInspectVersityGW(t *testing.T) {
	targettest.RunS3Inspect(t, servers.VersityGW(t), open, false)
}

func TestWhatAPersonMustMend(t *testing.T) { targettest.RunS3Mistakes(t, servers.MinIO(t, true), open) }

func TestASilentServerIsAnError(t *testing.T) { targettest.RunS3Silence(t, open) }

func TestATargetDoesNotShowItsKeys(t *testing.T) { targettest.RunS3Secrets(t, open) }

func TestHostileServers(t *testing.T) { targettest.RunS3(t, open) }

func TestHeaders(t *testing.T) {
	t.Run("auto", func(t *testing.T) { targettest.RunS3Headers(t, open, true) })
	t.Run("off", func(t *testing.T) { targettest.RunS3Headers(t, open, false) })
}

func TestAListingComesPageByPage(t *testing.T) { targettest.RunS3Crowd(t, open) }

func BenchmarkListPage(b *testing.B) { targettest.BenchmarkS3Crowd(b, open) }

func TestChecksumsAreCheckedAndMayBeWrittenBare(t *testing.T) {
	for text, ok := range map[string]bool{"checksums: off": true, "checksums: auto": true, "bucket: backups": true, "checksums: on": false, "checksums: crc32": false} {
		cfg := s3.Config{Endpoint: "https://s3.example.org", Bucket: "backups"}
		if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// versitygw accepts sse and ignores it: nothing that is not encrypted as asked may stay, nor an upload of it.
func TestEncryptionThatTheServerIgnoresIsAnError(t *testing.T) {
	cfg := config(targettest.On(servers.VersityGW(t)))
	cfg.SSE = "AES256"
	target := start(t, cfg)
	for _, size := range []int64{10, 12 << 20} {
		err := target.Put(t.Context(), "x", targettest.NewSource(1, size, 5<<20))
		if !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "does not encrypt as asked") {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := target.Stat(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// "Not found" is what the services say that are asked for credentials, too, and the file system.
func TestMissingCredentialsAreNoMissingObject(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "missing")
	metadata := httptest.NewServer(http.NotFoundHandler())
	defer metadata.Close()
	for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(key, "")
	}
	t.Setenv("AWS_CONFIG_FILE", nowhere)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	cfg := s3.Config{Endpoint: "http://127.0.0.1:1", Bucket: "backups", PathStyle: true}

	t.Run("an instance without a role", func(t *testing.T) {
		_, err := start(t, cfg).Stat(t.Context(), "x")
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "404") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a token file that is missing", func(t *testing.T) {
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup")
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", nowhere)
		_, err := start(t, cfg).Stat(t.Context(), "x")
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), nowhere) {
			t.Errorf("%v", err)
		}
	})
}
