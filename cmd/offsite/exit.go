package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"offsite/agent"
	"offsite/agent/vault"
	"offsite/configs"
	"offsite/crypto"
)

// Exit codes are part of the interface: scripts and systemd act on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // usage or configuration
	exitPartly      = 3 // some target failed
	exitNotFound    = 4
	exitIntegrity   = 5 // signature, hash, decryption
	exitInterrupted = 130
)

// usageError is a mistake in the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errPartly: some target failed, and another did not.
var errPartly = errors.New("not every target has every dump: the next run goes on")

// These are errPartly in other words.
var (
	errUnpruned   error = partly("every dump is shipped, but retention could not do its part: the next run tries again")
	errUnaccepted error = partly("not every target was reached: accept it again when they are")
	errUnrepaired error = partly("not every target was reached: repair again when they are")
	errUnprepared error = partly("the set-up is there, but these targets do not work yet; `offsite doctor` says what is wrong, and `offsite init` tries them again")
	errUnverified error = partly("not every target could be looked at")
	errUnlisted   error = partly("not all of the target could be read")
)

type partly string

func (p partly) Error() string { return string(p) }

func (p partly) Is(target error) bool { return target == errPartly }

// errNotFound: there is no such series, backup or target.
var errNotFound = errors.New("not found")

func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, new(*verdict)):
		return verdictOf(err)
	case errors.As(err, new(usageError)) || errors.As(err, new(*configs.Error)) || strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.Is(err, errPartly):
		return exitPartly
	case errors.Is(err, vault.ErrIntegrity) || errors.Is(err, crypto.ErrCorrupt) || errors.Is(err, crypto.ErrNoIdentity):
		return exitIntegrity
	case errors.Is(err, errNotFound) || errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	}
	return exitFailed
}

// outcome is the error that a summary deserves.
func outcome(s agent.Summary) error {
	switch {
	case s.Complete():
		return nil
	case s.Shipped():
		return errUnpruned
	case s.Delivered() > 0:
		return errPartly
	}
	for _, r := range s.Targets {
		if r.Failed == 0 {
			return errPartly // this target was reached: it had everything before, or what it lacks is lost
		}
	}
	return errors.New("no target could be reached")
}
