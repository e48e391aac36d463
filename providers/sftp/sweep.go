package sftp

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"offsite/providers"
)

var _ providers.Sweeper = (*Target)(nil)

// Sweep is part of providers.Sweeper.
func (t *Target) Sweep(ctx context.Context, dir string, before time.Time, spare []string) (removed int, err error) {
	err = t.with(ctx, "delete", dir, func(c *conn) error {
		found, err := c.tree(ctx, t).Abandoned(ctx, dir, before, spare)
		for _, name := range found {
			err := c.watch(c.idle, func() error { return c.Remove(t.path(name)) })
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			removed++
		}
		return err
	})
	return removed, err
}
