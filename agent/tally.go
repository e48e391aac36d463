package agent

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"offsite/agent/status"
	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
)

// tally is what a worker has done since the agent was started, for people and metrics.
type tally struct {
	mu        sync.Mutex
	counts    status.Counts
	failing   time.Time // since when every try has failed; zero: the last one did not
	trouble   string    // why
	worked    bool      // a try has succeeded since the start
	delivered time.Time
	strangers int // backups that another machine wrote under this host's name
	changed   *bell
}

func newTally(changed *bell) *tally {
	return &tally{counts: status.Counts{Errors: map[string]int64{}, Took: make([]int64, len(status.Buckets)+1)}, changed: changed}
}

// failed: a try did not succeed, and will be repeated.
func (t *tally) failed(now time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failing.IsZero() {
		t.failing = now
	}
	t.trouble = err.Error()
	t.counts.Retries++
	t.counts.Errors[errorKind(err)]++
	t.changed.ring()
}

// miscarried: a dump could not be shipped, and the target is not to blame.
func (t *tally) miscarried(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Retries++
	t.counts.Errors[errorKind(err)]++
	t.changed.ring()
}

// succeeded: the target has answered as it should.
func (t *tally) succeeded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.worked, t.failing, t.trouble = true, time.Time{}, ""
}

// deliveredDump counts a dump that the target has got.
func (t *tally) deliveredDump(now time.Time, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Delivered++
	t.counts.Seconds += took.Seconds()
	t.counts.Took[sort.SearchFloat64s(status.Buckets, took.Seconds())]++
	t.delivered = now
	t.changed.ring()
}

func (t *tally) sent(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Bytes += n
}

func (t *tally) removed(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Removed += int64(n)
	t.changed.ring()
}

func (t *tally) compared(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Compared += n
}

func (t *tally) foundStrangers(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strangers = n
}

// into writes what is known since the start into what is shown.
func (t *tally) into(s *status.Target) (strangers int, worked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Counts = t.counts
	s.Counts.Errors, s.Counts.Took = maps.Clone(t.counts.Errors), slices.Clone(t.counts.Took)
	s.Failing, s.Error = t.failing, t.trouble
	if t.delivered.After(s.Delivered) {
		s.Delivered = t.delivered
	}
	return t.strangers, t.worked
}

// errorKind is one of the kinds of status.Counts.Errors.
func errorKind(err error) string {
	switch {
	case errors.As(err, new(*sourceFailure)), errors.Is(err, crypto.ErrSourceChanged), errors.Is(err, errVanished):
		return "source"
	case errors.Is(err, fs.ErrPermission):
		return "permission"
	case errors.Is(err, providers.ErrPermanent):
		return "permanent"
	case errors.Is(err, vault.ErrIntegrity):
		return "integrity"
	case errors.As(err, new(*providers.Error)):
		return "network"
	}
	return "other"
}

// bell tells whoever waits that something worth showing has changed. Its zero value is ready.
type bell struct {
	mu   sync.Mutex
	next chan struct{} // nil: nobody waits
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// wait gives a channel that is closed by the next ring.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}
