package servers

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// AddUser gives MinIO a user, with a secret key and an IAM policy in JSON, beside those that it has.
func (s *S3) AddUser(t testing.TB, name, secret string, policy []byte) {
	t.Helper()
	var body bytes.Buffer
	z := zip.NewWriter(&body)
	for file, content := range map[string]any{ // as `mc admin cluster iam export` writes them
		"policies":      map[string]json.RawMessage{name: policy},
		"users":         map[string]any{name: map[string]string{"secretKey": secret, "status": "enabled"}},
		"user_mappings": map[string]any{name: map[string]any{"version": 1, "policy": name}},
	} {
		w, err := z.Create("iam-assets/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(w).Encode(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body.Bytes())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Endpoint+"/minio/admin/v3/import-iam-v2", &body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	client := &http.Client{Transport: s.Transport(t)}
	answer, err := client.Do(signer.SignV4(*request, s.AccessKey, s.SecretKey, "", "us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said struct {
		Added struct {
			Policies, Users []string
			UserPolicies    []any
		}
	}
	text, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	if err != nil || len(said.Added.Policies) != 1 || len(said.Added.Users) != 1 || len(said.Added.UserPolicies) != 1 {
		t.Fatalf("MinIO does not take the user %s: %s, %v: %s", name, answer.Status, err, text)
	}
}
