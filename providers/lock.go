package providers

import (
	"context"
	"fmt"
	"time"
)

// Lock is how objects are kept from being removed (S3 Object Lock), as the configuration has it.
type Lock struct {
	// Mode is governance (who has a special right may remove them all the same) or compliance (nobody may).
	Mode string `yaml:"mode"`
}

// Locker is a Target whose store can keep objects from being removed until an instant, and may go on keeping, unseen, what
// was deleted. The S3 kinds are; whether the bucket allows it is another question.
type Locker interface {
	// Now is the store's clock, by which locks end.
	Now(ctx context.Context) (time.Time, error)

	// Locked says why the object cannot be removed now, by the store's clock; nil: it can be, or the store does not say,
	// or these credentials may not ask. A missing object is fs.ErrNotExist.
	Locked(ctx context.Context, name string) (*Retained, error)

	// CheckLock says why the store would refuse the locks that the target was configured with; nil: it would not, or these
	// credentials may not ask.
	CheckLock(ctx context.Context) error

	// Lock keeps the object from being removed until that instant at least, in the mode that the target was configured
	// with: a lock that ends later, or is of a stronger mode, stays as it is.
	Lock(ctx context.Context, name string, until time.Time) error

	// Hidden counts what the store keeps unseen below the directory dir, of this host's and of anybody's deleting: old
	// versions, which are billed. Where there are no versions, or these credentials may not ask, it is nothing.
	Hidden(ctx context.Context, dir string) (Hidden, error)
}

// Hidden is what was deleted or replaced, and is kept all the same.
type Hidden struct {
	Versions int
	Bytes    int64
}

// Retained can occur in Delete: the store keeps the object, by a lock. It is fs.ErrPermission too.
type Retained struct {
	// Until is when the lock ends, by the store's clock; the zero time is a legal hold, which has no end.
	Until time.Time
}

func (e *Retained) Error() string {
	if e.Until.IsZero() {
		return "retained until its legal hold is lifted"
	}
	return fmt.Sprintf("retained until %s", e.Until.UTC().Format(time.RFC3339))
}

// LockedSource is src, to be stored so that it cannot be removed before the instant: Put of a Locker that was told to
// lock does that. The zero time: no lock.
func LockedSource(src Source, until time.Time) Source {
	if until.IsZero() {
		return src
	}
	return lockedSource{src, until}
}

type lockedSource struct {
	Source
	until time.Time
}

// LockOf is the instant that LockedSource gave; the zero time if there is none.
func LockOf(src Source) time.Time {
	if l, ok := src.(lockedSource); ok {
		return l.until
	}
	return time.Time{}
}

// Historian is a Target whose store keeps what was deleted or written over: a bucket with versions.
type Historian interface {
	// AsOf is the target as it was at that instant, by the store's clock, to the second: List, Stat and Get show the versions of then,
	// whatever was done since, as far as the store still has them. Put and Delete are ErrPermanent. Of a bucket that keeps no
	// versions it shows what has lain there since then. Close closes the Target that it is of.
	AsOf(at time.Time) Target
}
