package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"offsite/providers"
)

var _ providers.Sweeper = (*Target)(nil)

// Sweep is part of providers.Sweeper. A file that another process has locked is in use, however old it looks.
func (t *Target) Sweep(ctx context.Context, dir string, before time.Time, spare []string) (removed int, err error) {
	err = t.with(ctx, "delete", dir, func(root *os.Root) error {
		found, err := tree(root).Abandoned(ctx, dir, before, spare)
		for _, name := range found {
			f, lockErr := openPartial(root, name)
			if lockErr != nil {
				continue
			}
			removeErr := root.Remove(name)
			f.Close()
			if removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
				return removeErr
			}
			removed++
		}
		return err
	})
	return removed, err
}
