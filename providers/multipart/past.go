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

// Past is a target of the S3 kinds as it was at an instant. See providers.Historian.
type Past struct {
	// Of is the target's Locker.
	Of *Locker
	// At is the instant.
	At time.Time
	// Open is Get of one version.
	Open func(ctx context.Context, name, version string, offset, length int64) (io.ReadCloser, error)
	// Shut closes the target.
	Shut func() error

	mu    sync.Mutex
	known map[string]Version // by name: a backup is read in many pieces, and its past does not change
}

var _ providers.Target = (*Past)(nil)

// errPast is what nobody can change.
var errPast = fmt.Errorf("%w: what was there at an earlier time can only be read", providers.ErrPermanent)

// Put is part of providers.Target.
func (p *Past) Put(ctx context.Context, name string, _ providers.Source) error {
	return Wrap(ctx, "put", name, errPast)
}

// Delete is part of providers.Target.
func (p *Past) Delete(ctx context.Context, name string) error {
	return Wrap(ctx, "delete", name, errPast)
}

// Close is part of providers.Target.
func (p *Past) Close() error { return p.Shut() }

// Stat is part of providers.Target.
func (p *Past) Stat(ctx context.Context, name string) (providers.Object, error) {
	v, err := p.find(ctx, name)
	if err != nil {
		return providers.Object{}, Wrap(ctx, "stat", name, err)
	}
	return p.object(v), nil
}

// Get is part of providers.Target.
func (p *Past) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	v, err := p.find(ctx, name)
	if err != nil {
		return nil, Wrap(ctx, "get", name, err)
	}
	if length == 0 {
		return http.NoBody, nil
	}
	return p.Open(ctx, name, v.ID, offset, length)
}

// List is part of providers.Target.
func (p *Past) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		for v, err := range p.current(ctx, p.Of.Prefix+prefix) {
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

func (p *Past) object(v Version) providers.Object {
	return providers.Object{Name: strings.TrimPrefix(v.Key, p.Of.Prefix), Size: v.Size, Modified: v.Stored}
}

// find is the version of one name.
func (p *Past) find(ctx context.Context, name string) (Version, error) {
	if err := p.Of.Ready(ctx, name); err != nil {
		return Version{}, err
	}
	p.mu.Lock()
	v, ok := p.known[name]
	p.mu.Unlock()
	if ok {
		return v, nil
	}
	for v, err := range p.current(ctx, p.Of.Prefix+name) {
		if err != nil {
			return Version{}, err
		}
		if v.Key != p.Of.Prefix+name { // those that only begin with it come after it
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
func (p *Past) current(ctx context.Context, prefix string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		var best Version // of the key whose versions are coming; its Key is empty if none is old enough
		for v, err := range p.Of.Keeper.Versions(ctx, prefix) {
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
			if !v.Stored.After(p.At) && (best.Key == "" || v.Stored.After(best.Stored) || best.Marker && !v.Marker && v.Stored.Equal(best.Stored)) {
				best = v
			}
		}
		if best.Key != "" && !best.Marker {
			yield(best, nil)
		}
	}
}
