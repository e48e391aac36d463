package multipart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"offsite/providers"
)

var _ providers.Locker = (*Bucket)(nil)

// Now is part of providers.Locker.
func (b *Bucket) Now(ctx context.Context) (time.Time, error) {
	now, err := b.Transport.Now(func() error { return b.Client.Ask(ctx) })
	return now, Wrap(ctx, "open", "", err)
}

// Locked is part of providers.Locker.
func (b *Bucket) Locked(ctx context.Context, name string) (why *providers.Retained, err error) {
	if err = b.ready(ctx, name); err == nil {
		why, err = locked(ctx, b.Client, b.Prefix+name, b.Now)
	}
	return why, Wrap(ctx, "stat", name, err)
}

// CheckLock is part of providers.Locker.
func (b *Bucket) CheckLock(ctx context.Context) error {
	return Wrap(ctx, "open", "", checkDefault(ctx, b.Client, b.Mode))
}

// Lock is part of providers.Locker.
func (b *Bucket) Lock(ctx context.Context, name string, until time.Time) error {
	err := b.ready(ctx, name)
	if err == nil && b.Mode == "" {
		err = fmt.Errorf("%w: no lock is configured", errors.ErrUnsupported)
	}
	if err == nil {
		err = extend(ctx, b.Client, b.Prefix+name, b.Mode, until)
	}
	return Wrap(ctx, "lock", name, err)
}

// Hidden is part of providers.Locker.
func (b *Bucket) Hidden(ctx context.Context, dir string) (h providers.Hidden, err error) {
	if err = b.ready(ctx, dir); err == nil {
		h, err = countHidden(ctx, b.Client, b.Prefix+dir+"/")
	}
	return h, Wrap(ctx, "list", dir, err)
}
