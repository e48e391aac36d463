package dir

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"syscall"

	"offsite/providers"
	"offsite/providers/files"
)

// List is part of providers.Target. Each directory is read whole and sorted.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		err := t.with(ctx, "list", prefix, func(root *os.Root) error {
			return tree(root).Walk(ctx, ".", prefix, func(o providers.Object) bool { return yield(o, nil) })
		})
		if err != nil && !errors.Is(err, files.ErrStop) {
			yield(providers.Object{}, err)
		}
	}
}

func tree(root *os.Root) files.Tree {
	return files.Tree{
		ReadDir: func(dir string) ([]fs.DirEntry, error) { return fs.ReadDir(root.FS(), dir) },
		Stat: func(name string) (fs.FileInfo, error) {
			info, err := root.Stat(name)
			var number syscall.Errno
			if err != nil && !errors.As(err, &number) || number == syscall.ELOOP || number == syscall.ENOTDIR { // or out of the root
				return nil, fs.ErrNotExist
			}
			return info, err
		},
	}
}
