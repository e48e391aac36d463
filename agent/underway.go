package agent

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"offsite/agent/status"
)

// underway is the transfers that go on now. It is an Observer that passes on what it is told.
type underway struct {
	Observer
	now     func() time.Time
	changed *bell

	mu  sync.Mutex
	all map[[2]string]*transfer // by target and file name
}

type transfer struct {
	status.Transfer
	sampled time.Time // when Rate was reckoned last, of the bytes since
	since   int64
}

func newUnderway(o Observer, now func() time.Time, changed *bell) *underway {
	return &underway{Observer: o, now: now, changed: changed, all: map[[2]string]*transfer{}}
}

// in says which series a file is of, before Started.
func (u *underway) in(target, file, series string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	u.all[[2]string{target, file}] = &transfer{Transfer: status.Transfer{Target: target, Series: series, Name: file, Began: now}, sampled: now}
}

func (u *underway) Started(target, file string, total int64) {
	u.Observer.Started(target, file, total)
	u.with(target, file, func(t *transfer) { t.Total = total })
}

func (u *underway) Had(target, file string, n int64) {
	u.Observer.Had(target, file, n)
	u.with(target, file, func(t *transfer) { t.Done += n })
}

func (u *underway) Sent(target, file string, n int64) {
	u.Observer.Sent(target, file, n)
	u.with(target, file, func(t *transfer) {
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

func (u *underway) Ended(target, file string, err error) {
	u.Observer.Ended(target, file, err)
	u.mu.Lock()
	delete(u.all, [2]string{target, file})
	u.mu.Unlock()
	u.changed.ring()
}

func (u *underway) with(target, file string, change func(*transfer)) {
	u.mu.Lock()
	if t := u.all[[2]string{target, file}]; t != nil {
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
