package targettest

import (
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"offsite/providers"
	"offsite/test/servers"
)

// RunS3Inspect tests providers.Inspector on a real server; rules says whether that has lifecycles.
func RunS3Inspect(t *testing.T, s *servers.S3, open OpenS3, rules bool) {
	owner := s.MakeBucket(t, "watched", true)
	mode, days, unit := minio.Governance, uint(3), minio.Days
	if err := owner.SetObjectLockConfig(t.Context(), "watched", &mode, &days, &unit); err != nil {
		t.Fatal(err)
	}
	if rules {
		c := lifecycle.NewConfiguration()
		c.Rules = []lifecycle.Rule{
			{ID: "a", Status: "Enabled", NoncurrentVersionExpiration: lifecycle.NoncurrentVersionExpiration{NoncurrentDays: 30}},
			{ID: "b", Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: "some/prefix/host/"}, Expiration: lifecycle.Expiration{Days: 90}},
			{ID: "c", Status: "Disabled", Expiration: lifecycle.Expiration{Days: 1}},
			{ID: "d", Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: "elsewhere/"}, Expiration: lifecycle.Expiration{Days: 2}},
		}
		if err := owner.SetBucketLifecycle(t.Context(), "watched", c); err != nil {
			t.Fatal(err)
		}
	}
	facts := func(bucket string) providers.Facts {
		t.Helper()
		at := On(s)
		at.Bucket = bucket
		began := time.Now()
		f, err := open(t, at).(providers.Inspector).Inspect(t.Context())
		if err != nil {
			t.Fatal(bucket, err)
		}
		if f.Ahead == nil || f.Ahead.Abs() > 2*time.Second+time.Since(began) {
			t.Errorf("%s: the clock of this host is %v ahead of itself", bucket, f.Ahead)
		}
		return f
	}
	plain, watched, missing := facts(s.Bucket), facts("watched"), facts("no-such-bucket")
	if plain.Versions == nil || *plain.Versions || plain.Lock == nil || plain.Lock.Enabled || plain.Lifecycle != nil != rules || rules && *plain.Lifecycle != (providers.Lifecycle{}) {
		t.Errorf("a plain bucket: %+v", plain)
	}
	if watched.Versions == nil || !*watched.Versions || watched.Lock == nil || *watched.Lock != (providers.DefaultLock{Enabled: true, Mode: "governance", Days: 3}) {
		t.Errorf("a bucket with versions and a default lock: %+v", watched)
	}
	if rules && (watched.Lifecycle == nil || *watched.Lifecycle != (providers.Lifecycle{Objects: 90, Versions: 30})) {
		t.Errorf("a bucket with a lifecycle: %+v", watched.Lifecycle)
	}
	for _, f := range []providers.Facts{plain, watched, missing} {
		if left := time.Until(f.Certificate); (s.CAFile != "") != (left > 50*time.Minute && left < time.Hour) {
			t.Errorf("the certificate expires %v", f.Certificate)
		}
	}
}
