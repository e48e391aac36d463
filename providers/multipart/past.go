package multipart

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"offsite/providers"
)

// past is a bucket as it was at an instant. See providers.Historian.
type past struct {
	of *Bucket
	at time.Time

	mu    sync.Mutex
	known map[string]Version // by name: a backup is read in many pieces, and its past does not change
}

var _ providers.Target = (*past)(nil)

// errPast is what nobody can change.
var errPast = fmt.Errorf("%w: what was there at an earlier time can only be read", providers.ErrPermanent)

// Put is part of providers.Target.
func (p *past) Put(ctx context.Context, name string, _ providers.Source) error {
	return Wrap(ctx, "put", name, errPast)
}

// Delete is part of providers.Target.
func (p *past) Delete(ctx context.Context, name string) error {
	return Wrap(ctx, "delete", name, errPast)
}

// Close is part of providers.Target.
func (p *past) Close() error { return p.of.Close() }

// Stat is part of providers.Target.
func (p *past) Stat(ctx context.Context, name string) (providers.Object, error) {
	v, err := p.find(ctx, name)
	if err != nil {
		return providers.Object{}, Wrap(ctx, "stat", name, err)
	}
	return p.object(v), nil
}

// Get is part of providers.Target.
func (p *past) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	v, err := p.find(ctx, name)
	if err != nil {
		return nil, Wrap(ctx, "get", name, err)
	}
	if length == 0 {
		return http.NoBody, nil
	}
	return p.of.open(ctx, name, v.ID, offset, length)
}

// List is part of providers.Target.
func (p *past) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		for v, err := range p.current(ctx, p.of.Prefix+prefix) {
			if err != nil {
				yield(providers.Object{}, Wrap(ctx, "list", prefix, err))
				return
			}
			if !yield(p.object(v), nil) {
				return
			}
		}
	}
}

func (p *past) object(v Version) providers.Object {
	return providers.Object{Name: strings.TrimPrefix(v.Key, p.of.Prefix), Size: v.Size, Modified: v.Stored}
}

// find is the version of one name.
func (p *past) find(ctx context.Context, name string) (Version, error) {
	if err := p.of.ready(ctx, name); err != nil {
		return Version{}, err
	}
	p.mu.Lock()
	v, ok := p.known[name]
	p.mu.Unlock()
	if ok {
		return v, nil
	}
	for v, err := range p.current(ctx, p.of.Prefix+name) {
		if err != nil {
			return Version{}, err
		}
		if v.Key != p.of.Prefix+name { // those that only begin with it come after it
			break
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.known == nil {
			p.known = map[string]Version{}
		}
		p.known[name] = v
		return v, nil
	}
	return Version{}, fs.ErrNotExist
}

// current yields, of each key that starts with prefix, the version that was current at the instant, unless it was deleted then. Of two of
// one second the store's newer one counts, which it names first, and an object rather than its deletion.
func (p *past) current(ctx context.Context, prefix string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		var best Version // of the key whose versions are coming; its Key is empty if none is old enough
		for v, err := range p.of.Client.Versions(ctx, prefix) {
			if err != nil {
				yield(Version{}, err)
				return
			}
			if v.Key != best.Key && best.Key != "" {
				if !best.Marker && !yield(best, nil) {
					return
				}
				best = Version{}
			}
			if !v.Stored.After(p.at) && (best.Key == "" || v.Stored.After(best.Stored) || best.Marker && !v.Marker && v.Stored.Equal(best.Stored)) {
				best = v
			}
		}
		if best.Key != "" && !best.Marker {
			yield(best, nil)
		}
	}
}
