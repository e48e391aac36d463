// Package fleet looks at what one target holds of all hosts, for somebody who can only list and read there. One listing says most:
// which hosts and series there are, how much they hold, and when their backups were taken. Of the manifests only the newest of each
// series are read, many at once, to say whether they are healthy and who signed them. Nothing is written, no dump is opened, no key but
// the hosts' verifier keys is needed.
//
// Memory grows with the number of series, and not with that of their backups.
package fleet

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent/status"
	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
)

const (
	// newest is how many backups of a series are looked at for a healthy one.
	newest = 3
	// times is how many of the last times a rhythm is learnt from.
	times = 2000
	// parallel is how many manifests are read at once.
	parallel = 32
	// ahead is how far the clock of a host may be before this one's.
	ahead = 24 * time.Hour
)

// Options say what to look at.
type Options struct {
	Target providers.Target
	Name   string // of the target
	// Keys are those whose manifests count; nil: nobody knows, and anybody's do.
	Keys *crypto.Verifiers
	// Match says which hosts to look at, and Prefix how the names of all of these begin. nil and empty: all.
	Match  func(host string) bool
	Prefix string
	// Due says from when its dumps were taken, oldest first, when the next one of a series is to be there at the latest; false: that
	// cannot be told. It is called from many goroutines. nil: Due of this package.
	Due func(taken []time.Time, zone *time.Location) (time.Time, bool)
	Now time.Time
}

// Read reads the target. An error says that not all of it could be read; what could be is given all the same. Damage is no error: it is
// in what is given.
func Read(ctx context.Context, o Options) (*status.Fleet, error) {
	if o.Due == nil {
		o.Due = Due
	}
	r := &reader{Options: o, vault: vault.New(o.Target, o.Keys), hosts: map[string]*status.FleetHost{}}
	strange, listErr := r.read(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.findShared()
	f := &status.Fleet{Target: o.Name, At: o.Now.UTC(), Whole: listErr == nil, Checked: o.Keys != nil, Strange: strange, Hosts: []status.FleetHost{}}
	for _, h := range r.hosts {
		f.Hosts = append(f.Hosts, *h)
	}
	f.Sum()
	return f, errors.Join(listErr, r.unread)
}

type reader struct {
	Options
	vault *vault.Vault

	mu     sync.Mutex
	hosts  map[string]*status.FleetHost
	unread error // the first manifest that could not be read
}

// read lists, and reads manifests at the same time.
func (r *reader) read(ctx context.Context) (strange int, err error) {
	var group errgroup.Group
	group.SetLimit(parallel)
	survey := vault.Survey{
		Hosts: r.Prefix, Until: r.Now.Add(ahead), Newest: newest, Times: times,
		Strange: func(string) { strange++ },
	}
	for stream, listErr := range r.vault.Streams(ctx, survey) {
		if listErr != nil {
			err = listErr
			break
		}
		if r.Match != nil && !r.Match(stream.Host) {
			continue
		}
		group.Go(func() error {
			r.stream(ctx, stream)
			return nil
		})
	}
	group.Wait()
	return strange, err
}

// stream looks at one series.
func (r *reader) stream(ctx context.Context, st *vault.Stream) {
	l := look{FleetSeries: status.FleetSeries{
		Name: st.Series, Backups: st.Backups, Stored: st.Stored, Unfinished: st.Unfinished, Lost: st.Lost, Future: st.Future,
	}, zone: time.UTC}
	if len(st.Newest) > 0 {
		l.Last = st.Newest[0].Taken
	}
	for i, e := range st.Newest {
		m, signer, err := r.vault.Manifest(ctx, e.Name)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention has removed it meanwhile
		}
		if l.manifest(e, m, signer, err, i == 0) {
			break
		}
	}
	if due, known := r.Due(st.Times, l.zone); known {
		l.Due, l.Overdue = due.UTC(), r.Now.After(due)
	}
	l.Problems = l.problems()
	r.add(st.Host, &l)
}

// add puts a series to its host.
func (r *reader) add(host string, l *look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[host]
	if h == nil {
		h = &status.FleetHost{Host: host, Signers: []string{}}
		r.hosts[host] = h
	}
	if l.program != "" && !l.Newest.Before(h.Newest) {
		h.Program = l.program
	}
	if l.Newest.After(h.Newest) {
		h.Newest = l.Newest
	}
	if at, found := slices.BinarySearch(h.Signers, l.signer); !found && l.signer != "" {
		h.Signers = slices.Insert(h.Signers, at, l.signer)
	}
	h.Series = append(h.Series, l.FleetSeries)
	if r.unread == nil {
		r.unread = l.unread
	}
}

// findShared finds keys that sign for several hosts.
func (r *reader) findShared() {
	by := map[string][]string{}
	for _, host := range slices.Sorted(maps.Keys(r.hosts)) {
		for _, signer := range r.hosts[host].Signers {
			by[signer] = append(by[signer], host)
		}
	}
	for host, h := range r.hosts {
		others := map[string]bool{}
		for _, signer := range h.Signers {
			for _, other := range by[signer] {
				others[other] = true
			}
		}
		delete(others, host)
		h.Shared = slices.Sorted(maps.Keys(others))
	}
}

// Due is a simple rhythm: after half as much again as the longest of the last gaps. It takes three dumps for it; those within a minute
// are one.
func Due(taken []time.Time, _ *time.Location) (time.Time, bool) {
	const recent = 5
	var longest time.Duration
	gaps := 0
	for i := len(taken) - 1; i > 0 && gaps < recent; i-- {
		if gap := taken[i].Sub(taken[i-1]); gap >= time.Minute {
			longest = max(longest, gap)
			gaps++
		}
	}
	if gaps < 2 {
		return time.Time{}, false
	}
	return taken[len(taken)-1].Add(longest + longest/2), true
}

// Literal is how all names begin that match a pattern of path.Match.
func Literal(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		return pattern[:i]
	}
	return pattern
}
