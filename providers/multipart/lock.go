package multipart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"offsite/providers"
)

// Client is a client of S3: a Store with the calls that read, and those for buckets that keep versions and locks.
type Client interface {
	Store
	// Get opens that version of an object, or the current one when it is empty: the part of it that the header Range asks
	// for, unless that is empty. It gives the answer's Content-Range. What begins beyond the end is http.NoBody.
	Get(ctx context.Context, key, version, ranged string) (body io.ReadCloser, given string, err error)
	// Head describes an object, by its key.
	Head(ctx context.Context, key string) (providers.Object, error)
	// List yields the objects whose keys start with prefix, which are their names, in the order of the keys.
	List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error]
	// Missing makes sure, as Missing of this package does, that it is the object that is missing and not the bucket.
	Missing(ctx context.Context, object error) error
	// Ask asks the store for the bucket: a small question, whose answer has the store's clock.
	Ask(ctx context.Context) error
	// DefaultLock is the mode of S3, and the days, of the lock that the bucket gives each new object; 0 days: none. That
	// the bucket has no Object Lock is fs.ErrNotExist.
	DefaultLock(ctx context.Context) (mode string, days int, err error)
	// Versions yields those of all keys that start with prefix, in the order of the keys.
	Versions(ctx context.Context, prefix string) iter.Seq2[Version, error]
	RemoveVersion(ctx context.Context, key, version string) error
	// Retention is of that version, or the current one when it is empty.
	Retention(ctx context.Context, key, version string) (Retention, error)
	// Retain locks the current version, in a mode of S3.
	Retain(ctx context.Context, key, mode string, until time.Time) error
	// Versioning says whether the bucket keeps versions of what is stored from now on.
	Versioning(ctx context.Context) (bool, error)
	// Lifecycle is the rules of the bucket that are in force. That there are none is no error, or fs.ErrNotExist.
	Lifecycle(ctx context.Context) ([]Rule, error)
}

// Version is one version of an object, or a marker that it was deleted.
type Version struct {
	Key, ID        string
	Size           int64
	Stored         time.Time
	Latest, Marker bool
}

// Retention is how an object is locked: until an instant, in a mode of S3, by a legal hold, by both or not at all.
type Retention struct {
	Mode  string
	Until time.Time
	Hold  bool
	// Stored is when the object was stored, by the store's clock.
	Stored time.Time
}

// compliance is the mode of S3 that nobody can take back.
const compliance = "COMPLIANCE"

// Mode is a mode of the configuration as S3 has it; empty without a lock.
func Mode(l *providers.Lock) string {
	if l == nil {
		return ""
	}
	return strings.ToUpper(l.Mode)
}

// CheckLock says what is wrong with a lock of the configuration, if anything.
func CheckLock(l *providers.Lock, checksums string) error {
	switch {
	case l == nil:
		return nil
	case l.Mode != "governance" && l.Mode != "compliance":
		return &providers.FieldError{Key: "lock.mode", Problem: "is unknown", Remedy: "write governance, or compliance, which nobody can take back"}
	case checksums == "off":
		return &providers.FieldError{Key: "checksums", Problem: "cannot be off with lock", Remedy: "leave it out: stores want a checksum of what they lock"}
	}
	return nil
}

// CheckVersions says what is wrong with versions of the configuration, if anything.
func CheckVersions(versions string) error {
	if versions == "" || versions == "hide" || versions == "delete" {
		return nil
	}
	return &providers.FieldError{Key: "versions", Problem: "is unknown", Remedy: "write hide, or delete to remove what a bucket with versions would go on keeping, unseen"}
}

// remove removes an object, or all of its versions, and the unfinished uploads of its key.
func remove(ctx context.Context, s Client, key string, versions bool) error {
	var err error
	if versions {
		err = removeVersions(ctx, s, key)
	} else {
		err = s.Remove(ctx, key)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = tidy(ctx, s, key)
	}
	return err
}

// removeVersions takes the oldest first: as long as something is left, what is seen of the object is what it was. A
// marker over older versions goes last for the same reason: without it they would be seen again.
func removeVersions(ctx context.Context, s Client, key string) error {
	var all []Version
	for v, err := range s.Versions(ctx, key) {
		if err != nil {
			return err
		}
		if v.Key > key {
			break
		}
		if v.Key == key {
			all = append(all, v)
		}
	}
	slices.SortStableFunc(all, func(a, b Version) int {
		if a.Latest != b.Latest {
			return map[bool]int{false: -1, true: 1}[a.Latest]
		}
		return a.Stored.Compare(b.Stored)
	})
	for _, v := range all {
		err := s.RemoveVersion(ctx, key, v.ID)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if r, lookErr := s.Retention(ctx, key, v.ID); lookErr == nil && (r.Hold || !r.Until.IsZero()) {
			return retained(r) // stores have several words for it
		}
		return err
	}
	return nil
}

func retained(r Retention) error {
	why := &providers.Retained{Until: r.Until}
	if r.Hold {
		why.Until = time.Time{}
	}
	return &refusal{fs.ErrPermission, "", why}
}

// locked says why the object cannot be removed now, by the store's clock; nil: it can be.
func locked(ctx context.Context, s Client, key string, clock func(context.Context) (time.Time, error)) (*providers.Retained, error) {
	r, err := s.Retention(ctx, key, "")
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, nil
	case err != nil:
		return nil, err
	case r.Hold:
		return &providers.Retained{}, nil
	case r.Until.IsZero():
		return nil, nil
	}
	now, err := clock(ctx)
	if err != nil || !r.Until.After(now) {
		return nil, err
	}
	return &providers.Retained{Until: r.Until}, nil
}

// ParseRetention reads the headers of S3 that say how an object is locked.
func ParseRetention(h http.Header) (r Retention, err error) {
	r.Mode = h.Get("X-Amz-Object-Lock-Mode")
	r.Hold = h.Get("X-Amz-Object-Lock-Legal-Hold") == "ON"
	if until := h.Get("X-Amz-Object-Lock-Retain-Until-Date"); until != "" {
		r.Until, err = time.Parse(time.RFC3339, until)
	}
	return r, err
}

// newLock is the lock for a new object that is to be kept until that instant at least, in that mode: what a request
// asks for takes the place of the bucket's default, which is neither to be shortened nor made weaker. The zero Retention
// is for an empty mode or the zero time.
func newLock(
	ctx context.Context, s Client, mode string, until time.Time, clock func(context.Context) (time.Time, error),
) (Retention, error) {
	if mode == "" || until.IsZero() {
		return Retention{}, nil
	}
	days, mode, err := defaultLock(ctx, s, mode)
	if err != nil || days == 0 {
		return Retention{Mode: mode, Until: until}, err
	}
	now, err := clock(ctx)
	return Retention{Mode: mode, Until: later(until, now.AddDate(0, 0, days))}, err
}

// extend locks the object until that instant at least. A lock that is there is neither shortened nor made weaker.
func extend(ctx context.Context, s Client, key, mode string, until time.Time) error {
	r, err := s.Retention(ctx, key, "")
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if r.Until.IsZero() { // some stores apply the bucket's default and do not show it
		var days int
		if days, mode, err = defaultLock(ctx, s, mode); err != nil {
			return err
		}
		if days > 0 && !r.Stored.IsZero() {
			until = later(until, r.Stored.AddDate(0, 0, days))
		}
	}
	if !r.Until.Before(until) {
		return nil
	}
	return s.Retain(ctx, key, stronger(mode, r.Mode), until)
}

// checkDefault says why the bucket would refuse locks of that mode, as far as it can be asked; there is nothing to refuse
// when it is empty.
func checkDefault(ctx context.Context, s Client, mode string) error {
	if mode == "" {
		return nil
	}
	_, _, err := defaultLock(ctx, s, mode)
	return err
}

// defaultLock is the bucket's, and the stronger of its mode and the one asked for. Whoever may not ask goes without.
func defaultLock(ctx context.Context, s Client, mode string) (days int, strong string, err error) {
	bucket, days, err := s.DefaultLock(ctx)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return 0, mode, nil
	case errors.Is(err, fs.ErrNotExist) || unknownCall(err):
		return 0, "", &refusal{providers.ErrPermanent, "", fmt.Errorf("the bucket has no Object Lock (%v): that is chosen when a bucket is made; name another one, or take lock out", err)}
	}
	return days, stronger(mode, bucket), err
}

func stronger(mode, other string) string {
	if other == compliance {
		return compliance
	}
	return mode
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// countHidden adds up the versions below prefix that are not the latest of their key.
func countHidden(ctx context.Context, s Client, prefix string) (h providers.Hidden, err error) {
	for v, err := range s.Versions(ctx, prefix) {
		if errors.Is(err, fs.ErrPermission) || unknownCall(err) {
			return providers.Hidden{}, nil
		}
		if err != nil {
			return h, err
		}
		if !v.Latest && !v.Marker {
			h.Versions++
			h.Bytes += v.Size
		}
	}
	return h, nil
}

// unknownCall: the store has no such thing.
func unknownCall(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == "NotImplemented"
}

// Now is the store's clock, to the second, as its answer to the call of ask has it, which may be a refusal.
func (t *Transport) Now(ask func() error) (time.Time, error) {
	before := t.clock.Load()
	err := ask()
	if now := t.clock.Load(); now != before { // of this answer, or of another that came meanwhile
		return now.time, nil
	}
	if err == nil {
		err = errors.New("the store does not say what time it is")
	}
	return time.Time{}, err
}

// note remembers what the store says that time it is, and until when its certificate is good.
func (t *Transport) note(answer *http.Response) {
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return
	}
	r := &reading{time: date}
	if answer.TLS != nil && len(answer.TLS.PeerCertificates) > 0 {
		r.certificate = answer.TLS.PeerCertificates[0].NotAfter
	}
	t.clock.Store(r)
}
