package s3_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"offsite/providers"
	"offsite/providers/multipart"
	"offsite/providers/s3"
	"offsite/providers/targettest"
	"offsite/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(s *servers.S3) s3.Config {
	return s3.Config{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Prefix: "some/prefix", CAFile: s.CAFile, PathStyle: true,
		AccessKey: providers.NewSecret(s.AccessKey), SecretKey: providers.NewSecret(s.SecretKey),
	}
}

func open(t testing.TB, cfg s3.Config) providers.Target {
	t.Helper()
	target, err := s3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

// awake waits until the server knows its users: before that it says that it is not initialized.
func awake(t *testing.T, s *servers.S3) {
	t.Helper()
	stranger := config(s)
	stranger.AccessKey = providers.NewSecret("nobody")
	target, other := open(t, config(s)), open(t, stranger)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_, err := target.Stat(t.Context(), "x")
		if refused := other.Delete(t.Context(), "x"); errors.Is(err, fs.ErrNotExist) && errors.Is(refused, fs.ErrPermission) {
			return
		}
	}
	t.Fatal("the server does not wake up")
}

func contract(t *testing.T, s *servers.S3) {
	awake(t, s)
	targettest.Run(t, targettest.Config{
		Open:      func(t testing.TB) providers.Target { return open(t, config(s)) },
		Block:     5 << 20,
		Leftovers: func(t testing.TB, name string) []string { return leftovers(t, s, name) },
		Checksums: true,
	})
	t.Run("the answer to the completion is lost", func(t *testing.T) {
		targettest.RunS3LostAnswer(t, func(t testing.TB, endpoint string, _ time.Duration) providers.Target {
			cfg := config(s)
			cfg.Endpoint = endpoint
			return open(t, cfg)
		}, s.Endpoint, transport(t, s), 5<<20)
	})
	t.Run("a missing bucket is not a missing object", func(t *testing.T) {
		cfg := config(s)
		cfg.Bucket = "no-such-bucket"
		target := open(t, cfg)
		_, statErr := target.Stat(t.Context(), "x")
		_, getErr := target.Get(t.Context(), "x", 0, -1)
		for _, err := range []error{statErr, getErr} {
			if !errors.Is(err, providers.ErrPermanent) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "check bucket") {
				t.Errorf("%v", err)
			}
		}
	})
}

// transport reaches the server around the target.
func transport(t testing.TB, s *servers.S3) *multipart.Transport {
	t.Helper()
	direct, err := multipart.NewTransport(s.CAFile, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(direct.Close)
	return direct
}

// leftovers are the unfinished uploads, as the owner of the bucket sees them. (MinIO lists them by the exact key only.)
func leftovers(t testing.TB, s *servers.S3, name string) (ids []string) {
	t.Helper()
	owner := client.New(client.Options{
		BaseEndpoint: &s.Endpoint, Region: "us-east-1", UsePathStyle: true, HTTPClient: &http.Client{Transport: transport(t, s)},
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
	found, err := owner.ListMultipartUploads(t.Context(), &client.ListMultipartUploadsInput{Bucket: &s.Bucket, Prefix: aws.String("some/prefix/" + name)})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range found.Uploads {
		ids = append(ids, *u.UploadId)
	}
	return ids
}

// Without checksums the parts of an unfinished upload are known by their MD5, for which every block has to be made.
func TestContractWithoutChecksums(t *testing.T) {
	s := servers.VersityGW(t)
	awake(t, s)
	cfg := config(s)
	cfg.Checksums = "off"
	targettest.Run(t, targettest.Config{
		Open:      func(t testing.TB) providers.Target { return open(t, cfg) },
		Block:     5 << 20,
		Leftovers: func(t testing.TB, name string) []string { return leftovers(t, s, name) },
		InFlight:  12,
	})
}

func TestContractOnMinIO(t *testing.T)        { contract(t, servers.MinIO(t, false)) }
func TestContractOnMinIOWithTLS(t *testing.T) { contract(t, servers.MinIO(t, true)) }
func TestContractOnVersityGW(t *testing.T)    { contract(t, servers.VersityGW(t)) }

func locks(t *testing.T, s *servers.S3) {
	targettest.RunS3Locks(t, s, func(t testing.TB, bucket, versions string, lock *providers.Lock) providers.Target {
		cfg := config(s)
		cfg.Bucket, cfg.Versions, cfg.Lock = bucket, versions, lock
		return open(t, cfg)
	})
}

func TestLocksOnMinIO(t *testing.T)     { locks(t, servers.MinIO(t, false)) }
func TestLocksOnVersityGW(t *testing.T) { locks(t, servers.VersityGW(t)) }

// stub opens a target on a server that only plays S3.
func stub(t testing.TB, endpoint string, idle time.Duration) providers.Target {
	t.Helper()
	return open(t, stubConfig(endpoint, idle))
}

func stubConfig(endpoint string, idle time.Duration) s3.Config {
	return s3.Config{
		Endpoint: endpoint, Bucket: "backups", PathStyle: true, IdleTimeout: idle,
		AccessKey: providers.NewSecret("a"), SecretKey: providers.NewSecret("b"),
	}
}

func TestHostileServers(t *testing.T) { targettest.RunS3(t, stub) }

func TestHeaders(t *testing.T) {
	for _, checksums := range []string{"auto", "off"} {
		t.Run(checksums, func(t *testing.T) {
			targettest.RunS3Headers(t, func(t testing.TB, endpoint string, idle time.Duration) providers.Target {
				cfg := stubConfig(endpoint, idle)
				cfg.Checksums = checksums
				return open(t, cfg)
			}, checksums == "auto")
		})
	}
}

// Whoever prints a target prints no keys: fmt does not ask the types of unexported fields how they want to be shown.
func TestATargetDoesNotShowItsKeys(t *testing.T) {
	cfg := stubConfig("https://s3.example.org", 0)
	cfg.AccessKey, cfg.SecretKey = providers.NewSecret("access-word"), providers.NewSecret("secret-word")
	target := open(t, cfg)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb, target); strings.Contains(shown, "-word") {
			t.Errorf("%s: %s", verb, shown)
		}
	}
}

func TestWhatAPersonMustMend(t *testing.T) {
	s := servers.MinIO(t, true)
	awake(t, s)
	for _, c := range []struct {
		name   string
		change func(*s3.Config)
		kind   error
		words  string
	}{
		{"wrong secret", func(c *s3.Config) { c.SecretKey = providers.NewSecret("wrong-secret") }, fs.ErrPermission, "check the keys"},
		{"wrong user", func(c *s3.Config) { c.AccessKey = providers.NewSecret("nobody") }, fs.ErrPermission, "check the keys"},
		{"no such bucket", func(c *s3.Config) { c.Bucket = "no-such-bucket" }, providers.ErrPermanent, "check bucket"},
		{"unknown authority", func(c *s3.Config) { c.CAFile = "" }, providers.ErrPermanent, "ca_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s)
			c.change(&cfg)
			err := open(t, cfg).Put(t.Context(), "x", providers.Bytes([]byte("x")))
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A server that takes the connection and never answers.
func TestASilentServerIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &servers.S3{Endpoint: "http://" + l.Addr().String(), Bucket: "backups", AccessKey: "a", SecretKey: "b"}
	cfg := config(s)
	cfg.IdleTimeout = 100 * time.Millisecond
	if _, err := open(t, cfg).Stat(t.Context(), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := open(t, cfg).Put(t.Context(), "x", providers.Bytes(make([]byte, 16<<20))); err == nil {
		t.Error("Put to a silent server succeeded")
	}
}

// versitygw accepts sse and ignores it: nothing that is not encrypted as asked may stay, nor an upload of it.
func TestEncryptionThatTheServerIgnoresIsAnError(t *testing.T) {
	s := servers.VersityGW(t)
	awake(t, s)
	cfg := config(s)
	cfg.SSE = "AES256"
	target := open(t, cfg)
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
		_, err := open(t, cfg).Stat(t.Context(), "x")
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "404") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a token file that is missing", func(t *testing.T) {
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup")
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", nowhere)
		_, err := open(t, cfg).Stat(t.Context(), "x")
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), nowhere) {
			t.Errorf("%v", err)
		}
	})
}

func TestChecksumsAreCheckedAndMayBeWrittenBare(t *testing.T) {
	for text, ok := range map[string]bool{"checksums: off": true, "checksums: auto": true, "bucket: backups": true, "checksums: on": false, "checksums: crc32": false} {
		cfg := stubConfig("https://s3.example.org", 0)
		if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// An unfinished upload may have been begun before the key was changed. (versitygw refuses such a part too, but in the
// middle of reading it, so that one hears of a broken connection at times.)
func TestChecksumsMayBeSwitchedWhileAnUploadIsUnfinished(t *testing.T) {
	s := servers.MinIO(t, false)
	awake(t, s)
	for _, change := range [][2]string{{"auto", "off"}, {"off", "auto"}} {
		before, after := config(s), config(s)
		before.Checksums, after.Checksums = change[0], change[1]
		targettest.RunSwitch(t, open(t, before), open(t, after), 5<<20)
	}
}

func TestInspectMinIO(t *testing.T) { inspect(t, servers.MinIO(t, true), true) }

func TestInspectVersityGW(t *testing.T) { inspect(t, servers.VersityGW(t), false) }

func inspect(t *testing.T, s *servers.S3, rules bool) {
	targettest.RunS3Inspect(t, s, func(t testing.TB, bucket, versions string, lock *providers.Lock) providers.Target {
		cfg := config(s)
		cfg.Bucket = bucket
		return open(t, cfg)
	}, rules)
}

func TestAListingComesPageByPage(t *testing.T) { targettest.RunS3Crowd(t, stub) }

func BenchmarkListPage(b *testing.B) { targettest.BenchmarkS3Crowd(b, stub) }
