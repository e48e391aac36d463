package targettest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/providers"
	"offsite/test/servers"
)

// smallestPart is the least that S3 takes as a part, unless it is the last.
const smallestPart = 5 << 20

// On is the bucket of a real server, for its owner.
func On(s *servers.S3) S3 {
	return S3{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Prefix: "some/prefix", CAFile: s.CAFile,
		AccessKey: providers.NewSecret(s.AccessKey), SecretKey: providers.NewSecret(s.SecretKey),
	}
}

// RunS3Contract runs the suite on a real server, and what else every store must do.
func RunS3Contract(t *testing.T, s *servers.S3, open OpenS3) {
	open.contract(t, s, Config{Checksums: true}, On(s))
	t.Run("the answer to the completion is lost", func(t *testing.T) {
		open.lostAnswer(t, On(s), s.Transport(t))
	})
	t.Run("a missing bucket is not a missing object", func(t *testing.T) {
		at := On(s)
		at.Bucket = "no-such-bucket"
		target := open(t, at)
		_, statErr := target.Stat(t.Context(), "x")
		_, getErr := target.Get(t.Context(), "x", 0, -1)
		for _, err := range []error{statErr, getErr} {
			if !errors.Is(err, providers.ErrPermanent) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "check bucket") {
				t.Errorf("%v", err)
			}
		}
	})
}

// RunS3WithoutChecksums runs the suite without checksums: the parts of an unfinished upload are known by their MD5, for which
// every block has to be made.
func RunS3WithoutChecksums(t *testing.T, s *servers.S3, open OpenS3) {
	at := On(s)
	at.Checksums = "off"
	open.contract(t, s, Config{InFlight: 12}, at)
}

func (open OpenS3) contract(t *testing.T, s *servers.S3, cfg Config, at S3) {
	cfg.Open = func(t testing.TB) providers.Target { return open(t, at) }
	cfg.Block = smallestPart
	cfg.Leftovers = func(t testing.TB, name string) []string { return unfinished(t, s, at.Prefix+"/"+name) }
	Run(t, cfg)
}

// unfinished are the unfinished uploads of a key, as the owner of the bucket sees them. (MinIO lists them by the exact key only.)
func unfinished(t testing.TB, s *servers.S3, key string) (ids []string) {
	t.Helper()
	owner := minio.Core{Client: s.Owner(t)}
	found, err := owner.ListMultipartUploads(t.Context(), s.Bucket, key, "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range found.Uploads {
		ids = append(ids, u.UploadID)
	}
	return ids
}

// RunS3Switch switches checksums while an upload is unfinished: it may have been begun before the key was changed. (On MinIO:
// versitygw refuses such a part too, but in the middle of reading it, so that one hears of a broken connection at times.)
func RunS3Switch(t *testing.T, s *servers.S3, open OpenS3) {
	for _, change := range [][2]string{{"auto", "off"}, {"off", "auto"}} {
		before, after := On(s), On(s)
		before.Checksums, after.Checksums = change[0], change[1]
		runSwitch(t, open(t, before), open(t, after))
	}
}

// RunS3Mistakes makes those that a person must mend, on a MinIO with TLS.
func RunS3Mistakes(t *testing.T, s *servers.S3, open OpenS3) {
	for _, c := range []struct {
		name   string
		change func(*S3)
		kind   error
		words  string
	}{
		{"wrong secret", func(at *S3) { at.SecretKey = providers.NewSecret("wrong-secret") }, fs.ErrPermission, "check the keys"},
		{"wrong user", func(at *S3) { at.AccessKey = providers.NewSecret("nobody") }, fs.ErrPermission, "check the keys"},
		{"no such bucket", func(at *S3) { at.Bucket = "no-such-bucket" }, providers.ErrPermanent, "check bucket"},
		{"unknown authority", func(at *S3) { at.CAFile = "" }, providers.ErrPermanent, "ca_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := On(s)
			c.change(&at)
			err := open(t, at).Put(t.Context(), "x", providers.Bytes([]byte("x")))
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// RunS3Silence asks a server that takes the connection and never answers.
func RunS3Silence(t *testing.T, open OpenS3) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const idle = 100 * time.Millisecond
	if _, err := open.stub(t, "http://"+l.Addr().String(), idle).Stat(t.Context(), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := open.stub(t, "http://"+l.Addr().String(), idle).Put(t.Context(), "x", providers.Bytes(make([]byte, 16<<20))); err == nil {
		t.Error("Put to a silent server succeeded")
	}
}

// RunS3Secrets prints a target, which must show no keys: fmt does not ask the types of unexported fields how they want to be
// shown.
func RunS3Secrets(t *testing.T, open OpenS3) {
	at := played("https://s3.example.org", 0)
	at.AccessKey, at.SecretKey = providers.NewSecret("access-word"), providers.NewSecret("secret-word")
	target := open(t, at)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb, target); strings.Contains(shown, "-word") {
			t.Errorf("%s: %s", verb, shown)
		}
	}
}
