package dir

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"offsite/providers"
)

// List is part of providers.Target. Each directory is read whole and sorted.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		stopped := false
		err := t.with(ctx, "list", prefix, func(root *os.Root) error {
			return walk(ctx, root, ".", prefix, func(o providers.Object) bool {
				stopped = !yield(o, nil)
				return !stopped
			})
		})
		if err != nil && !stopped && !errors.Is(err, errStop) {
			yield(providers.Object{}, err)
		}
	}
}

var errStop = errors.New("the caller has had enough")

// walk gives the files below dir whose names start with prefix, in byte order of their names: a directory sorts as
// its name with a slash, so that a-b comes before a/x, and a/x before a.b would be wrong.
func walk(ctx context.Context, root *os.Root, dir, prefix string, give func(providers.Object) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return err
	}
	key := func(e fs.DirEntry) string {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			name += "/"
		}
		return name
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) })
	for _, e := range entries {
		name := key(e)
		switch {
		case e.Name()[0] == '.':
		case e.IsDir() && (strings.HasPrefix(name, prefix) || strings.HasPrefix(prefix, name)):
			if err := walk(ctx, root, path.Clean(name), prefix, give); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case e.Type().IsRegular() && strings.HasPrefix(name, prefix):
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if err != nil {
				return err
			}
			if !give(providers.Object{Name: name, Size: info.Size(), Modified: info.ModTime()}) {
				return errStop
			}
		}
	}
	return nil
}
