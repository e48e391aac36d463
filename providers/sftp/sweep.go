package sftp

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"offsite/providers"
	"offsite/providers/files"
)

var _ providers.Sweeper = (*Target)(nil)

// Sweep is part of providers.Sweeper.
func (t *Target) Sweep(ctx context.Context, dir string, before time.Time, spare []string) (removed int, err error) {
	err = t.with(ctx, "delete", dir, func(c *conn) error {
		readDir := func(dir string) (entries []fs.DirEntry, err error) {
			err = c.watch(c.idle, func() error {
				infos, err := c.ReadDirContext(ctx, t.path(dir))
				for _, info := range infos {
					entries = append(entries, fs.FileInfoToDirEntry(info))
				}
				return err
			})
			return entries, err
		}
		found, err := files.Abandoned(ctx, readDir, dir, before, spare)
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
