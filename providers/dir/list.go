package dir

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"

	"offsite/providers"
	"offsite/providers/files"
)

// List is part of providers.Target. Each directory is read whole and sorted.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		err := t.with(ctx, "list", prefix, func(root *os.Root) error {
			readDir := func(dir string) ([]fs.DirEntry, error) { return fs.ReadDir(root.FS(), dir) }
			return files.Walk(ctx, readDir, ".", prefix, func(o providers.Object) bool { return yield(o, nil) })
		})
		if err != nil && !errors.Is(err, files.ErrStop) {
			yield(providers.Object{}, err)
		}
	}
}
