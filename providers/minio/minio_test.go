package minio_test

import (
	"testing"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"offsite/providers"
	"offsite/providers/minio"
	"offsite/providers/targettest"
	"offsite/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, at targettest.S3) providers.Target {
	t.Helper()
	return start(t, config(at))
}

func config(at targettest.S3) minio.Config {
	return minio.Config{
		Endpoint: at.Endpoint, Bucket: at.Bucket, Prefix: at.Prefix, CAFile: at.CAFile, PathStyle: true,
		AccessKey: at.AccessKey, SecretKey: at.SecretKey, Checksums: at.Checksums, Versions: at.Versions, Lock: at.Lock, IdleTimeout: at.IdleTimeout,
	}
}

func start(t testing.TB, cfg minio.Config) providers.Target {
	t.Helper()
	target, err := minio.New(cfg)
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
	targettest.RunS3WithoutChecksums(t, servers.MinIO(t, false), open)
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
		cfg := minio.Config{Endpoint: "https://s3.example.org", Bucket: "backups"}
		if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
