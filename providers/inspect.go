package providers

import (
	"context"
	"time"
)

// Inspector is a Target that can say more of its place than a round trip shows. Those that keep objects somewhere else than in
// memory all are.
type Inspector interface {
	// Inspect asks the place. What it does not say, or these credentials may not ask, is left out; an error is that it cannot
	// be asked at all.
	Inspect(ctx context.Context) (Facts, error)
}

// Facts are what a place says of itself. What is nil, zero or empty is not known.
type Facts struct {
	// Ahead is how far the clock there is ahead of this host's.
	Ahead *time.Duration
	// Free is the space that is left, in bytes.
	Free *int64
	// Device is the file system on this host (stat(2)).
	Device *uint64
	// Certificate is when the first certificate of its TLS chain expires.
	Certificate time.Time
	// HostKey is the fingerprint of the key that an SSH server shows, and Extensions what its SFTP offers beyond version 3.
	HostKey    string
	Extensions []string
	// Versions says whether a bucket keeps what is removed.
	Versions *bool
	// Lock is the bucket's Object Lock.
	Lock *DefaultLock
	// Lifecycle is what the bucket removes by itself below our prefix.
	Lifecycle *Lifecycle
}

// DefaultLock is the Object Lock of a bucket.
type DefaultLock struct {
	// Enabled: objects can be locked.
	Enabled bool
	// Mode (governance or compliance) and Days are those of the lock that each new object gets; 0 days: none.
	Mode string
	Days int
}

// Lifecycle is after how many days a bucket removes things by itself; 0: it does not.
type Lifecycle struct {
	// Objects that are seen, versions that are not seen any more, and uploads that were not finished.
	Objects, Versions, Uploads int
}
