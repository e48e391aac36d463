// Package servers starts real servers for tests: MinIO, versitygw, OpenSSH, PostgreSQL, MariaDB, and toxiproxy between them.
package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3 is a running S3 server.
type S3 struct {
	*Process
	// Endpoint is its URL, and Bucket a directory of that name where MinIO and versitygw take directories for buckets.
	Endpoint, Bucket, AccessKey, SecretKey string
	// CAFile is the certificate of a server with TLS.
	CAFile string
	// Data is its directory.
	Data string
	// Redates: unlike S3, it gives an old version the time at which it was replaced.
	Redates bool
}

const (
	accessKey = "testadmin"
	secretKey = "testadmin-secret"
)

// MinIO starts MinIO, with TLS and a certificate of its own if asked to. It ends with the test.
func MinIO(t testing.TB, withTLS bool) *S3 {
	t.Helper()
	data, certs := t.TempDir(), t.TempDir()
	s := newS3(t, data)
	scheme := "http"
	if withTLS {
		scheme = "https"
		s.CAFile = certificate(t, certs)
	}
	address := FreePort(t)
	s.Endpoint = scheme + "://" + address
	start(t, func() *exec.Cmd {
		cmd := exec.Command(Binary(t, "minio"), "server", data, "--certs-dir", certs, "--address", address)
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+secretKey, "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off", "MINIO_BROWSER=off")
		return cmd
	}, s, "/minio/health/ready")
	return s
}

// VersityGW starts versitygw, the second implementation of S3. It ends with the test.
func VersityGW(t testing.TB) *S3 {
	t.Helper()
	data, iam, versions := t.TempDir(), t.TempDir(), t.TempDir()
	s := newS3(t, data)
	s.Redates = true
	address := FreePort(t)
	s.Endpoint = "http://" + address
	start(t, func() *exec.Cmd {
		cmd := exec.Command(Binary(t, "versitygw"), "--port", address, "--iam-dir", iam, "--health", "/health", "--quiet", "posix", "--versioning-dir", versions, data)
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
		return cmd
	}, s, "/health")
	return s
}

func newS3(t testing.TB, data string) *S3 {
	t.Helper()
	s := &S3{Bucket: "backups", AccessKey: accessKey, SecretKey: secretKey, Data: data}
	if err := os.Mkdir(filepath.Join(data, s.Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// MakeBucket makes another bucket, with versions and, if asked for, with Object Lock.
func (s *S3) MakeBucket(t testing.TB, name string, locks bool) *minio.Client {
	t.Helper()
	owner := s.Owner(t)
	if err := owner.MakeBucket(t.Context(), name, minio.MakeBucketOptions{ObjectLocking: locks}); err != nil {
		t.Fatal(err)
	}
	if err := owner.EnableVersioning(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return owner
}

// Transport reaches the server, whose certificate it trusts, and keeps no connection.
func (s *S3) Transport(t testing.TB) *http.Transport {
	t.Helper()
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: roots(t, s.CAFile)}
}

// Owner is a client that may do everything.
func (s *S3) Owner(t testing.TB) *minio.Client {
	t.Helper()
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: s.CAFile != "", Transport: s.Transport(t), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

// Binary is a server that `make servers` built.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("OFFSITE_TEST_BIN")
	if dir == "" {
		root, err := os.Getwd()
		for err == nil && root != "/" {
			if _, missing := os.Stat(filepath.Join(root, "go.sum")); missing == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, ".cache", "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: make servers (%v)", name, err)
	}
	return path
}

// start runs the server until the test ends, and waits until it answers, and knows who its users are: MinIO says that
// it is ready before it does.
func start(t testing.TB, make func() *exec.Cmd, s *S3, health string) {
	t.Helper()
	transport := s.Transport(t)
	client := &http.Client{Timeout: time.Second, Transport: transport}
	s.Process = run(t, make, func() bool {
		answer, err := client.Get(s.Endpoint + health)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK && s.code(t, transport, s.AccessKey) == "" && s.code(t, transport, "nobody") != "XMinioServerNotInitialized"
	})
}

// code is what the server answers to a user who asks for the bucket's list: empty, or an error's code.
func (s *S3) code(t testing.TB, transport *http.Transport, user string) string {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(user, s.SecretKey, ""), Secure: u.Scheme == "https", Transport: transport,
		BucketLookup: minio.BucketLookupPath, Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for o := range client.ListObjects(ctx, s.Bucket, minio.ListObjectsOptions{MaxKeys: 1}) {
		if o.Err != nil {
			return minio.ToErrorResponse(o.Err).Code
		}
	}
	return ""
}

func roots(t testing.TB, caFile string) *tls.Config {
	if caFile == "" {
		return nil
	}
	b, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &tls.Config{RootCAs: pool}
}

// certificate writes a self-signed certificate and its key as MinIO wants them, and gives the certificate's path.
func certificate(t testing.TB, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"public.crt": {Type: "CERTIFICATE", Bytes: cert}, "private.key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(fmt.Errorf("certificate: %w", err))
		}
	}
	return filepath.Join(dir, "public.crt")
}
