package targettest

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/providers"
	"offsite/test/servers"
)

// RunS3Locks tests versions, Object Lock, providers.Locker and providers.Historian on a real server.
func RunS3Locks(t *testing.T, s *servers.S3, open OpenS3) {
	l := &locks{s, open, s.MakeBucket(t, "versioned", false)}
	s.MakeBucket(t, "locked", true)
	t.Run("hide keeps what was deleted and says so", l.hide)
	t.Run("delete removes every version", l.remove)
	t.Run("a bucket without versions", l.plain)
	t.Run("what is locked stays", l.locked)
	t.Run("a lock ends", l.ended)
	t.Run("a lock is extended and never shortened", l.extended)
	t.Run("a legal hold has no end", l.hold)
	t.Run("the default of the bucket", l.defaults)
	t.Run("a bucket without Object Lock", l.refused)
	t.Run("the clock of the store", l.clock)
	t.Run("as it was", l.past)
	t.Run("as it was, without versions", l.present)
}

type locks struct {
	server *servers.S3
	kind   OpenS3
	owner  *minio.Client
}

// open opens a target in that bucket of the server, with these settings.
func (l *locks) open(t testing.TB, bucket, versions string, lock *providers.Lock) providers.Target {
	t.Helper()
	at := On(l.server)
	at.Bucket, at.Versions, at.Lock = bucket, versions, lock
	return l.kind(t, at)
}

const object = "host/series/object.age"

// put stores an object of two blocks, and beside it what has its name and more.
func put(t testing.TB, target providers.Target, seed byte, until time.Time) {
	t.Helper()
	const block = 5 << 20
	for _, name := range []string{object, object + ".manifest"} {
		size := int64(block + 1)
		if name != object {
			size = 100
		}
		if err := target.Put(t.Context(), name, providers.LockedSource(NewSource(seed, size, block), until)); err != nil {
			t.Fatal(err)
		}
	}
}

// count is how many versions and markers of a name the bucket holds.
func (l *locks) count(t testing.TB, bucket, name string) (n int) {
	t.Helper()
	for o := range l.owner.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if strings.HasSuffix(o.Key, name) {
			n++
		}
	}
	return n
}

func hidden(t testing.TB, target providers.Target) providers.Hidden {
	t.Helper()
	h, err := target.(providers.Locker).Hidden(t.Context(), "host")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func gone(t testing.TB, target providers.Target, name string) {
	t.Helper()
	if _, err := target.Stat(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: %v, want that it is not there", name, err)
	}
}

func (l *locks) hide(t *testing.T) {
	target := l.open(t, "versioned", "", nil)
	put(t, target, 1, time.Time{})
	if h := hidden(t, target); h != (providers.Hidden{}) {
		t.Errorf("hidden %+v before anything was deleted", h)
	}
	put(t, target, 2, time.Time{}) // over it
	for range 2 {
		if err := target.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	gone(t, target, object)
	if h, want := hidden(t, target), (providers.Hidden{Versions: 3, Bytes: 2*(5<<20+1) + 100}); h != want {
		t.Errorf("hidden %+v, want %+v", h, want)
	}
}

func (l *locks) remove(t *testing.T) {
	target := l.open(t, "versioned", "delete", nil)
	put(t, target, 3, time.Time{}) // over what was hidden
	if err := target.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	gone(t, target, object)
	if n := l.count(t, "versioned", object); n != 0 {
		t.Errorf("%d versions are left", n)
	}
	if _, err := target.Stat(t.Context(), object+".manifest"); err != nil {
		t.Errorf("an object whose name starts the same: %v", err)
	}
	if err := target.Delete(t.Context(), object); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
}

func (l *locks) plain(t *testing.T) {
	target := l.open(t, l.server.Bucket, "delete", nil)
	put(t, target, 4, time.Time{})
	if why, err := target.(providers.Locker).Locked(t.Context(), object); why != nil || err != nil {
		t.Errorf("locked %v, %v", why, err)
	}
	if err := target.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	gone(t, target, object)
	if h := hidden(t, target); h != (providers.Hidden{}) {
		t.Errorf("hidden %+v", h)
	}
}

// until is what the target says of an object's lock; the zero time: none.
func until(t testing.TB, target providers.Target, name string) time.Time {
	t.Helper()
	why, err := target.(providers.Locker).Locked(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if why == nil {
		return time.Time{}
	}
	return why.Until
}

func (l *locks) locked(t *testing.T) {
	target := l.open(t, "locked", "delete", &providers.Lock{Mode: "governance"})
	end := storeNow(t, target).Add(time.Hour)
	put(t, target, 5, end)
	for _, name := range []string{object, object + ".manifest"} {
		if got := until(t, target, name); !got.Equal(end) {
			t.Errorf("%s is locked until %v, want %v", name, got, end)
		}
	}
	err := target.Delete(t.Context(), object)
	var why *providers.Retained
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &why) || !why.Until.Equal(end) {
		t.Errorf("%v, want that it is retained until %v", err, end)
	}
	if _, err := target.Stat(t.Context(), object); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
}

// ended: a lock ends by itself. The store refuses one that has ended before it comes, as on a machine that was busy.
func (l *locks) ended(t *testing.T) {
	const name = "host/series/ended"
	target := l.open(t, "locked", "delete", &providers.Lock{Mode: "governance"})
	for wait := 2 * time.Second; ; wait *= 4 {
		err := target.Put(t.Context(), name, providers.LockedSource(NewSource(10, 10, 10), storeNow(t, target).Add(wait)))
		if err == nil {
			break
		}
		if wait > time.Minute {
			t.Fatal(err)
		}
	}
	for !until(t, target, name).IsZero() { // the store's time goes by
		time.Sleep(200 * time.Millisecond)
	}
	if err := target.Delete(t.Context(), name); err != nil {
		t.Errorf("after the lock has ended: %v", err)
	}
	if n := l.count(t, "locked", name); n != 0 {
		t.Errorf("%d versions are left", n)
	}
}

func storeNow(t testing.TB, target providers.Target) time.Time {
	t.Helper()
	now, err := target.(providers.Locker).Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func (l *locks) extended(t *testing.T) {
	const name = "host/series/extended"
	target := l.open(t, "locked", "", &providers.Lock{Mode: "compliance"})
	if err := target.Put(t.Context(), name, NewSource(6, 10, 10)); err != nil {
		t.Fatal(err)
	}
	if got := until(t, target, name); !got.IsZero() {
		t.Errorf("locked until %v before anybody did", got)
	}
	now := storeNow(t, target)
	for _, c := range []struct{ ask, want time.Duration }{{2 * time.Hour, 2 * time.Hour}, {time.Hour, 2 * time.Hour}, {2 * time.Hour, 2 * time.Hour}, {3 * time.Hour, 3 * time.Hour}} {
		if err := target.(providers.Locker).Lock(t.Context(), name, now.Add(c.ask)); err != nil {
			t.Fatal(err)
		}
		if got := until(t, target, name); !got.Equal(now.Add(c.want)) {
			t.Errorf("asked for %v, locked for %v, want %v", c.ask, got.Sub(now), c.want)
		}
	}
	if err := target.(providers.Locker).Lock(t.Context(), "host/series/missing", now.Add(time.Hour)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing object: %v", err)
	}
	if err := target.Delete(t.Context(), name); err != nil { // hides it: a lock holds versions
		t.Fatal(err)
	}
	if n := l.count(t, "locked", name); n != 2 {
		t.Errorf("%d versions, want the object and a marker", n)
	}
}

func (l *locks) hold(t *testing.T) {
	const name = "host/series/held"
	target := l.open(t, "locked", "delete", nil)
	if err := target.Put(t.Context(), name, NewSource(7, 10, 10)); err != nil {
		t.Fatal(err)
	}
	prefixed := ""
	for o := range l.owner.ListObjectsIter(t.Context(), "locked", minio.ListObjectsOptions{Recursive: true}) {
		if strings.HasSuffix(o.Key, name) {
			prefixed = o.Key
		}
	}
	for _, status := range []minio.LegalHoldStatus{minio.LegalHoldEnabled, minio.LegalHoldDisabled} {
		if err := l.owner.PutObjectLegalHold(t.Context(), "locked", prefixed, minio.PutObjectLegalHoldOptions{Status: &status}); err != nil {
			t.Fatal(err)
		}
		err := target.Delete(t.Context(), name)
		var why *providers.Retained
		if on := status == minio.LegalHoldEnabled; on != errors.As(err, &why) || on && !why.Until.IsZero() {
			t.Errorf("hold %s: %v", status, err)
		}
	}
	gone(t, target, name)
}

func (l *locks) defaults(t *testing.T) {
	const name = "host/series/default"
	l.server.MakeBucket(t, "defaulted", true)
	mode, days, unit := minio.Compliance, uint(1), minio.Days
	if err := l.owner.SetBucketObjectLockConfig(t.Context(), "defaulted", &mode, &days, &unit); err != nil {
		t.Fatal(err)
	}
	target := l.open(t, "defaulted", "delete", &providers.Lock{Mode: "governance"})
	now := storeNow(t, target)
	if err := target.Put(t.Context(), name, NewSource(8, 10, 10)); err != nil {
		t.Fatal(err)
	}
	if err := target.Delete(t.Context(), name); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v, want that it is retained", err)
	}
	for _, c := range []struct{ ask, want time.Duration }{{time.Hour, 24 * time.Hour}, {48 * time.Hour, 48 * time.Hour}} {
		if err := target.(providers.Locker).Lock(t.Context(), name, now.Add(c.ask)); err != nil {
			t.Fatal(err)
		}
		if got := until(t, target, name).Sub(now); got < c.want || got > c.want+time.Minute {
			t.Errorf("asked for %v: locked for %v, want %v", c.ask, got, c.want)
		}
	}
	if err := target.Put(t.Context(), name+"2", providers.LockedSource(NewSource(8, 10, 10), now.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if got := until(t, target, name+"2").Sub(now); got < 24*time.Hour {
		t.Errorf("what was stored for an hour is locked for %v, less than by default", got)
	}
}

func (l *locks) refused(t *testing.T) {
	target := l.open(t, "versioned", "", &providers.Lock{Mode: "governance"})
	if err := target.(providers.Locker).CheckLock(t.Context()); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("%v, want that the bucket cannot lock", err)
	}
	if err := l.open(t, "locked", "", &providers.Lock{Mode: "governance"}).(providers.Locker).CheckLock(t.Context()); err != nil {
		t.Error(err)
	}
	for _, size := range []int64{10, 5<<20 + 1} {
		const name = "host/series/refused"
		src := providers.LockedSource(NewSource(9, size, 5<<20), time.Now().Add(time.Hour))
		err := target.Put(t.Context(), name, src)
		if !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "the bucket has no Object Lock") {
			t.Errorf("%d bytes: %v, want a permanent error with its remedy", size, err)
		}
		gone(t, target, name)
	}
}

func (l *locks) clock(t *testing.T) {
	now := storeNow(t, l.open(t, "locked", "", nil))
	if off := time.Until(now); off > 5*time.Second || off < -time.Minute {
		t.Errorf("the store says %v", now)
	}
	none := l.open(t, "no-such-bucket", "", nil)
	if got := storeNow(t, none); got.IsZero() {
		t.Error("a refusal has a date too")
	}
}
