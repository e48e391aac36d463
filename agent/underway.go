package agent

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"offsite/agent/journal"
	"offsite/agent/status"
)

// underway is the transfers that go on now. The Observer is told what it is told.
type underway struct {
	observer Observer
	now      func() time.Time
	changed  *bell

	mu  sync.Mutex
	all map[[2]string]*transfer // by target and the dump's id: two dumps may have one name
}

type transfer struct {
	status.Transfer
	sampled time.Time // when Rate was reckoned last, of the bytes since
	since   int64
}

func newUnderway(o Observer, now func() time.Time, changed *bell) *underway {
	return &underway{observer: o, now: now, changed: changed, all: map[[2]string]*transfer{}}
}

// started begins the transfer of a dump to a target, of total bytes. ended must be called after it.
func (u *underway) started(target string, d *journal.Dump, total int64) {
	u.observer.Started(target, d.Name, total)
	u.mu.Lock()
	now := u.now()
	u.all[[2]string{target, d.ID}] = &transfer{
		Transfer: status.Transfer{Target: target, Series: d.Series, Name: d.Name, Began: now, Total: total}, sampled: now,
	}
	u.mu.Unlock()
	u.changed.ring()
}

// had: n bytes are on the target already.
func (u *underway) had(target string, d *journal.Dump, n int64) {
	u.observer.Had(target, d.Name, n)
	u.with(target, d, func(t *transfer) { t.Done += n })
}

// sent: n bytes more are on the target.
func (u *underway) sent(target string, d *journal.Dump, n int64) {
	u.observer.Sent(target, d.Name, n)
	u.with(target, d, func(t *transfer) {
		t.Done += n
		t.since += n
		if took := u.now().Sub(t.sampled); took >= rateSample {
			t.Rate = float64(t.since) / took.Seconds()
			t.sampled, t.since = u.now(), 0
		}
	})
}

// rateSample is over how long a rate is reckoned at least.
const rateSample = 2 * time.Second

// ended ends a transfer; err is nil when the target has the dump.
func (u *underway) ended(target string, d *journal.Dump, err error) {
	u.observer.Ended(target, d.Name, err)
	u.mu.Lock()
	delete(u.all, [2]string{target, d.ID})
	u.mu.Unlock()
	u.changed.ring()
}

// with changes a transfer, if it is under way, and rings.
func (u *underway) with(target string, d *journal.Dump, change func(*transfer)) {
	u.mu.Lock()
	if t := u.all[[2]string{target, d.ID}]; t != nil {
		change(t)
	}
	u.mu.Unlock()
	u.changed.ring()
}

// transfers are those under way, oldest first.
func (u *underway) transfers() []status.Transfer {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := []status.Transfer{}
	for _, t := range u.all {
		all = append(all, t.Transfer)
	}
	slices.SortFunc(all, func(a, b status.Transfer) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Name, b.Name))
	})
	return all
}
