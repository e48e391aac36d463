package docs

import (
	"os"
	"path/filepath"
	"strings"

	"offsite/test/servers"
)

const policies = "../../docs/howto/policies"

// account is a user of MinIO with one of the policies of the documents, and a host whose configuration has its keys.
func account(h *host, store *servers.S3, policy, more string) {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(policies, policy+".json"))
	must(h.t, err)
	store.AddUser(h.t, policy, policy+"-secret", text)
	h.write("access", policy+"\n")
	h.write("secret", policy+"-secret\n")
	h.target(store, more)
}

// target writes the configuration anew, with more keys for the target.
func (h *host) target(store *servers.S3, more string) {
	h.t.Helper()
	text, err := os.ReadFile(h.path("offsite.yaml"))
	must(h.t, err)
	before, _, ok := strings.Cut(string(text), "\ntargets:")
	if !ok {
		h.t.Fatal(string(text))
	}
	h.write("offsite.yaml", before+"\ntargets:\n  aws:\n    s3: {bucket: corp-backups, prefix: db, region: us-east-1, path_style: true, endpoint: '"+store.Endpoint+
		"', access_key_file: "+h.path("access")+", secret_key_file: "+h.path("secret")+"}\n"+more)
}
