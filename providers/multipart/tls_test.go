package multipart_test

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"offsite/providers/multipart"
)

// A store must speak TLS 1.2 at least, and show a certificate that is trusted.
func TestTLSIsNotOld(t *testing.T) {
	for _, c := range []struct {
		version        uint16
		trusted, works bool
	}{{tls.VersionTLS13, true, true}, {tls.VersionTLS12, true, true}, {tls.VersionTLS11, true, false}, {tls.VersionTLS10, true, false}, {tls.VersionTLS13, false, false}} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: c.version}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		ca := ""
		if c.trusted {
			ca = filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		transport, err := multipart.NewTransport(ca, 0)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{Transport: transport}).Get(s.URL)
		if (err == nil) != c.works {
			t.Errorf("%s, trusted %v: %v", tls.VersionName(c.version), c.trusted, err)
		}
		if err == nil {
			answer.Body.Close()
		}
		transport.Close()
		s.Close()
	}
}
