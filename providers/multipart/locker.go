package multipart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"offsite/providers"
)

// Locker is providers.Locker for the targets of the S3 kinds, which embed it.
type Locker struct {
	// Keeper is the store, and Prefix, with its slash, what comes before each name.
	Keeper Keeper
	Prefix string
	// Mode of S3 in which objects are locked; empty: they are not.
	Mode string
	// Ready is what every call checks first, and Ask any call of the store: the clock is in the answer.
	Ready     func(ctx context.Context, name string) error
	Ask       func(ctx context.Context) error
	Transport *Transport
}

var _ providers.Locker = (*Locker)(nil)

// Now is part of providers.Locker.
func (l *Locker) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Transport.Now(func() error { return l.Ask(ctx) })
	return now, Wrap(ctx, "open", "", err)
}

// Locked is part of providers.Locker.
func (l *Locker) Locked(ctx context.Context, name string) (why *providers.Retained, err error) {
	if err = l.Ready(ctx, name); err == nil {
		why, err = Locked(ctx, l.Keeper, l.Prefix+name, l.Now)
	}
	return why, Wrap(ctx, "stat", name, err)
}

// CheckLock is part of providers.Locker.
func (l *Locker) CheckLock(ctx context.Context) error {
	return Wrap(ctx, "open", "", CheckDefault(ctx, l.Keeper, l.Mode))
}

// Lock is part of providers.Locker.
func (l *Locker) Lock(ctx context.Context, name string, until time.Time) error {
	err := l.Ready(ctx, name)
	if err == nil && l.Mode == "" {
		err = fmt.Errorf("%w: no lock is configured", errors.ErrUnsupported)
	}
	if err == nil {
		err = Extend(ctx, l.Keeper, l.Prefix+name, l.Mode, until)
	}
	return Wrap(ctx, "lock", name, err)
}

// Hidden is part of providers.Locker.
func (l *Locker) Hidden(ctx context.Context, dir string) (h providers.Hidden, err error) {
	if err = l.Ready(ctx, dir); err == nil {
		h, err = CountHidden(ctx, l.Keeper, l.Prefix+dir+"/")
	}
	return h, Wrap(ctx, "list", dir, err)
}

// New is the lock for what src is to become: none unless LockedSource asks for one.
func (l *Locker) New(ctx context.Context, src providers.Source) (Retention, error) {
	return LockNew(ctx, l.Keeper, l.Mode, providers.LockOf(src), l.Now)
}
