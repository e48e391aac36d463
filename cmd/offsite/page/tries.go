package page

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// From one address so many wrong tokens are heard at once, and then one in a while; after that none is looked at, right or wrong. A token
// cannot be guessed anyhow: this keeps the log short.
const (
	triesAtOnce  = 10
	triesEvery   = 6 * time.Second
	maxAddresses = 1000
)

// tries counts the wrong tokens of each address, or network as far as one person has a whole one.
type tries struct {
	now func() time.Time
	mu  sync.Mutex
	all map[netip.Prefix]*rate.Limiter
}

func newTries(now func() time.Time) *tries {
	return &tries{now: now, all: map[netip.Prefix]*rate.Limiter{}}
}

// try asks right, unless there were too many wrong ones: then wait says for how long there are.
func (t *tries) try(remote string, right func() bool) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, from := t.now(), network(remote)
	l := t.all[from]
	if l != nil && l.TokensAt(now) < 1 {
		return false, time.Duration((1 - l.TokensAt(now)) * float64(triesEvery))
	}
	if right() {
		return true, 0
	}
	if l == nil {
		t.makeRoom(now)
		l = rate.NewLimiter(rate.Every(triesEvery), triesAtOnce)
		t.all[from] = l
	}
	l.AllowN(now, 1)
	return false, 0
}

// makeRoom forgets who has been quiet, and if nobody was, anybody.
func (t *tries) makeRoom(now time.Time) {
	if len(t.all) < maxAddresses {
		return
	}
	for from, l := range t.all {
		if l.TokensAt(now) >= triesAtOnce {
			delete(t.all, from)
		}
	}
	for from := range t.all {
		if len(t.all) < maxAddresses {
			return
		}
		delete(t.all, from)
	}
}

// network is the address, or the /64 of IPv6; the zero one is that of unix sockets.
func network(remote string) netip.Prefix {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := a.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

func setRetryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	setRetryAfter(w, wait)
	http.Error(w, "too many wrong tokens came from this address; wait and try again", http.StatusTooManyRequests)
}
