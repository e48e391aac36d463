package s3

import (
	"context"
	"time"

	"offsite/providers"
	"offsite/providers/multipart"
)

var _ providers.Sweeper = (*Target)(nil)

// Sweep is part of providers.Sweeper.
func (t *Target) Sweep(ctx context.Context, dir string, before time.Time, spare []string) (int, error) {
	if err := t.ready(ctx, dir); err != nil {
		return 0, multipart.Wrap(ctx, "delete", dir, err)
	}
	keys := make([]string, len(spare))
	for i, name := range spare {
		keys[i] = t.prefix + name
	}
	removed, err := multipart.Sweep(ctx, (*store)(t), t.prefix+dir+"/", before, keys)
	return removed, multipart.Wrap(ctx, "delete", dir, err)
}
