package docs

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/test/servers"
)

const policies = "../../docs/howto/policies"

// A host with keys that may only write, and another that prunes.
func TestTheHowtoOfWritingOnlyIsTrue(t *testing.T) {
	t.Parallel()
	store := servers.MinIO(t, false)
	store.MakeBucket(t, "corp-backups", false)
	for _, user := range []string{"write-only", "prune"} {
		addUser(t, store, user)
	}
	r := sit(t)
	r.names[store.Endpoint] = "http://minio.lan:9000"
	r.follows("docs/howto/write-only.md")
}

// addUser gives MinIO a user that has one of the policies of the documents.
func addUser(t *testing.T, store *servers.S3, policy string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(policies, policy+".json"))
	must(t, err)
	store.AddUser(t, policy, policy+"-secret", text)
}

// What the documents say that a policy is enough for works with a user who has just that, and what it must not allow is refused.
func TestPoliciesAreEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	store := servers.MinIO(t, false)
	store.MakeBucket(t, "corp-backups", true)
	for _, policy := range []string{"agent", "ship", "ship-locked", "write-only", "prune", "prune-versions", "restore"} {
		addUser(t, store, policy)
	}
	h := newHost(t)
	days := 0
	dump := func(size int) {
		days++
		h.write("dumps/shop_"+time.Now().AddDate(0, 0, days-7).UTC().Format("20060102_150405")+".sql", string(random(byte(days), size)))
	}
	dump(20 << 20) // in parts
	h.offsite(0, "init", "--yes", "--host", "db-server", "--zone", "UTC", "--state", h.path("state"), "--watch", h.path("dumps"), "--target", "aws="+h.path("nas"))
	h.identity()

	h.become(store, "ship", "retention: off")
	if _, said := h.offsite(0, "init"); !strings.Contains(said, "target aws works: wrote and read a probe") {
		t.Error(said)
	}
	delivers(h, 1)
	must(t, os.RemoveAll(h.path("state")))
	if _, said := h.offsite(0, "agent", "--once"); !strings.Contains(said, "is there already") {
		t.Errorf("after its state was lost:\n%s", said)
	}
	h.offsite(0, "verify")
	there := objects(t, store)
	must(t, may(t, store, "ship", "get", there[0]))
	h.refused(store, "ship", "delete", there[0])
	h.refused(store, "ship", "put", "db/other-host/shop/x")

	h.become(store, "write-only", "retention: off")
	dump(20 << 20)
	if _, said := h.offsite(0, "init"); !strings.Contains(said, "target aws works: wrote a probe") {
		t.Error(said)
	}
	delivers(h, 1)
	h.offsite(1, "list")
	for _, op := range []string{"get", "delete", "list"} {
		h.refused(store, "write-only", op, there[0])
	}

	h.become(store, "restore", "retention: off")
	out, _ := h.offsite(0, "restore", "--identity", h.path("id.txt"), "-o", "-", "shop")
	if out != string(random(byte(days), 20<<20)) {
		t.Errorf("%d bytes came back", len(out))
	}
	h.refused(store, "restore", "put", there[0])
	h.refused(store, "restore", "delete", there[0])
	then := time.Now().Truncate(time.Second).Add(time.Second) // --as-of counts in seconds
	time.Sleep(time.Until(then))

	h.become(store, "agent", "keep: {daily: 3}")
	for range 3 {
		dump(1 << 10)
	}
	delivers(h, 3)
	if left := objects(t, store); len(left) != 2*3 {
		t.Errorf("the agent left %q", left)
	}
	h.become(store, "restore", "retention: off")
	if before, _ := h.offsite(0, "restore", "--as-of", then.Format(time.RFC3339), "--identity", h.path("id.txt"), "-o", "-", "shop"); before != out {
		t.Errorf("as it was before that, %d bytes came back", len(before))
	}

	h.become(store, "ship", "retention: off", "keep: {daily: 3}")
	dump(1 << 10)
	delivers(h, 1)
	h.become(store, "prune", "keep: {daily: 3}")
	h.offsite(0, "init")
	h.offsite(0, "prune", "--confirm")
	if left := objects(t, store); len(left) != 2*3 {
		t.Errorf("the pruning machine left %q", left)
	}
	h.refused(store, "prune", "put", there[0])

	h.become(store, "ship-locked", "retention: off", "keep: {daily: 3}", "lock: {mode: governance}")
	dump(20 << 20)
	delivers(h, 1)
	newest := objects(t, store)
	h.locked(store, newest[len(newest)-1])
	h.become(store, "prune-versions", "keep: {daily: 3}", "lock: {mode: governance}", "versions: delete")
	before := versions(t, store)
	h.offsite(0, "prune", "--confirm")
	if after := versions(t, store); after >= before {
		t.Errorf("%d versions before, %d after", before, after)
	}
}

// become gives the host the keys of a user, and more of the target: keys of its kind, and retention and keep.
func (h *host) become(store *servers.S3, user string, more ...string) {
	h.t.Helper()
	h.write("access", user+"\n")
	h.write("secret", user+"-secret\n")
	text, err := os.ReadFile(h.path("offsite.yaml"))
	must(h.t, err)
	before, _, ok := strings.Cut(string(text), "\ntargets:")
	if !ok {
		h.t.Fatal(string(text))
	}
	kind := "bucket: corp-backups, prefix: db, region: us-east-1, path_style: true, endpoint: '" + store.Endpoint + "', access_key_file: " + h.path("access") + ", secret_key_file: " + h.path("secret")
	target := ""
	for _, m := range more {
		if strings.HasPrefix(m, "lock") || strings.HasPrefix(m, "versions") {
			kind += ", " + m
		} else {
			target += "    " + m + "\n"
		}
	}
	h.write("offsite.yaml", before+"\ntargets:\n  aws:\n    s3: {"+kind+"}\n"+target)
}

func delivers(h *host, n int) {
	h.t.Helper()
	if _, said := h.offsite(0, "agent", "--once"); !strings.Contains(said, fmt.Sprintf("aws: %d delivered", n)) {
		h.t.Errorf("want %d delivered:\n%s", n, said)
	}
}

// may tries one operation with a user's keys.
func may(t *testing.T, store *servers.S3, user, op, object string) error {
	t.Helper()
	as := *store
	as.AccessKey, as.SecretKey = user, user+"-secret"
	client := as.Owner(t)
	switch op {
	case "get":
		_, err := client.StatObject(t.Context(), "corp-backups", object, minio.StatObjectOptions{})
		return err
	case "put":
		_, err := client.PutObject(t.Context(), "corp-backups", object, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	case "list":
		for o := range client.ListObjectsIter(t.Context(), "corp-backups", minio.ListObjectsOptions{}) {
			return o.Err
		}
		return nil
	}
	return client.RemoveObject(t.Context(), "corp-backups", object, minio.RemoveObjectOptions{})
}

func (h *host) refused(store *servers.S3, user, op, object string) {
	h.t.Helper()
	if err := may(h.t, store, user, op, object); err == nil || minio.ToErrorResponse(err).StatusCode != http.StatusForbidden {
		h.t.Errorf("%s may %s %s: %v", user, op, object, err)
	}
}

// locked makes sure that a version cannot be removed, not even by the owner.
func (h *host) locked(store *servers.S3, object string) {
	h.t.Helper()
	owner := store.Owner(h.t)
	info, err := owner.StatObject(h.t.Context(), "corp-backups", object, minio.StatObjectOptions{})
	must(h.t, err)
	if err := owner.RemoveObject(h.t.Context(), "corp-backups", object, minio.RemoveObjectOptions{VersionID: info.VersionID}); err == nil {
		h.t.Errorf("%s can be removed", object)
	}
}

// objects are those of the host, by name, and versions counts all of them, removed ones too.
func objects(t *testing.T, store *servers.S3) (all []string) {
	t.Helper()
	for o := range store.Owner(t).ListObjectsIter(t.Context(), "corp-backups", minio.ListObjectsOptions{Prefix: "db/db-server/", Recursive: true}) {
		must(t, o.Err)
		all = append(all, o.Key)
	}
	return all
}

func versions(t *testing.T, store *servers.S3) (n int) {
	t.Helper()
	for o := range store.Owner(t).ListObjectsIter(t.Context(), "corp-backups", minio.ListObjectsOptions{Prefix: "db/db-server/", Recursive: true, WithVersions: true}) {
		must(t, o.Err)
		n++
	}
	return n
}
