package multipart

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"offsite/providers"
)

// Rule is one of a bucket's lifecycle, in days; 0: it does no such thing. What it is for beside a prefix (tags, sizes) is in Part.
type Rule struct {
	Prefix                     string
	Part                       bool
	Objects, Versions, Uploads int
}

var _ providers.Inspector = (*Bucket)(nil)

// Inspect is part of providers.Inspector.
func (b *Bucket) Inspect(ctx context.Context) (f providers.Facts, err error) {
	before := time.Now()
	if now, err := b.Now(ctx); err != nil {
		return f, err // nobody answers, or no store does
	} else if !now.IsZero() {
		f.Ahead = ahead(now, before, time.Now())
	}
	f.Certificate = b.Transport.certificate()
	if on, err := b.Client.Versioning(ctx); err == nil {
		f.Versions = &on
	}
	mode, days, err := b.Client.DefaultLock(ctx)
	if err == nil || errors.Is(err, fs.ErrNotExist) || unknownCall(err) {
		f.Lock = &providers.DefaultLock{Enabled: err == nil, Mode: strings.ToLower(mode), Days: days}
	}
	rules, err := b.Client.Lifecycle(ctx)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		f.Lifecycle = lifecycle(rules, b.Prefix)
	}
	return f, ctx.Err()
}

// ahead is how far the store's clock, which it tells to the second, is ahead of ours, which was between two instants when it was
// read.
func ahead(theirs, from, to time.Time) *time.Duration {
	d := theirs.Add(time.Second / 2).Sub(from.Add(to.Sub(from) / 2)).Round(time.Second)
	return &d
}

// lifecycle is what the rules do to keys below prefix.
func lifecycle(rules []Rule, prefix string) *providers.Lifecycle {
	all := &providers.Lifecycle{}
	for _, r := range rules {
		whole := strings.HasPrefix(prefix, r.Prefix) && !r.Part
		if whole || strings.HasPrefix(r.Prefix, prefix) || strings.HasPrefix(prefix, r.Prefix) {
			all.Objects = sooner(all.Objects, r.Objects) // a danger, if only to some
		}
		if whole {
			all.Versions, all.Uploads = sooner(all.Versions, r.Versions), sooner(all.Uploads, r.Uploads)
		}
	}
	return all
}

func sooner(a, b int) int {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// certificate is when that of the newest answer expires; the zero time: there was none.
func (t *Transport) certificate() time.Time {
	if c := t.clock.Load(); c != nil {
		return c.certificate
	}
	return time.Time{}
}
