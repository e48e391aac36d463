package files

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"offsite/providers"
)

// ErrStop ends a walk whose caller has had enough.
var ErrStop = errors.New("the caller has had enough")

// maxLinks bounds the symbolic links on the way to one file, since they can lead in a circle.
const maxLinks = 3

// Tree is a target's files. ReadDir gives a directory's entries, and Stat follows links, as reading and writing a file does: a
// directory that was moved to a bigger disk and linked must not look empty. Of a link that leads nowhere it says fs.ErrNotExist.
type Tree struct {
	ReadDir func(dir string) ([]fs.DirEntry, error)
	Stat    func(name string) (fs.FileInfo, error)
}

// Walk gives the files below dir whose names start with prefix, in byte order of their names: a directory sorts as
// its name with a slash, so that a-b comes before a/x, and a/x before a.b would be wrong. It enters only directories
// that can hold such names, reads each whole, and passes over hidden files, what is deleted meanwhile, and links that lead nowhere,
// out of the tree or in a circle.
func (t Tree) Walk(ctx context.Context, dir, prefix string, give func(providers.Object) bool) error {
	return t.walk(ctx, dir, prefix, 0, give)
}

func (t Tree) walk(ctx context.Context, dir, prefix string, links int, give func(providers.Object) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := t.ReadDir(dir)
	if err != nil {
		return err
	}
	linked := map[string]bool{}
	if links < maxLinks {
		if linked, err = t.follow(dir, entries); err != nil {
			return err
		}
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
			further := links
			if linked[e.Name()] {
				further++
			}
			if err := t.walk(ctx, path.Clean(name), prefix, further, give); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case e.Type().IsRegular() && strings.HasPrefix(name, prefix):
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if !give(providers.Object{Name: name, Size: info.Size(), Modified: info.ModTime()}) {
				return ErrStop
			}
		}
	}
	return nil
}

// follow puts what the links among the entries of a directory lead to in their places, and says which they were. A link that
// leads nowhere stays one.
func (t Tree) follow(dir string, entries []fs.DirEntry) (linked map[string]bool, err error) {
	linked = map[string]bool{}
	for i, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		info, err := t.Stat(path.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries[i], linked[e.Name()] = fs.FileInfoToDirEntry(info), true
	}
	return linked, nil
}

// Abandoned gives the hidden files below dir that unfinished Puts left and that were last written before the given
// time, but for those of the names in spare. (Not what sftp put aside: after a crash it may be all that is left of an
// object.)
func (t Tree) Abandoned(ctx context.Context, dir string, before time.Time, spare []string) (found []string, err error) {
	kept := map[string]bool{}
	for _, name := range spare {
		kept[Partial(name)] = true
	}
	var look func(dir string) error
	look = func(dir string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := t.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.IsDir() && e.Name()[0] != '.' {
				if err := look(name); err != nil {
					return err
				}
			}
			left := strings.HasPrefix(e.Name(), ".offsite-") && strings.HasSuffix(e.Name(), ".partial")
			if !left || !e.Type().IsRegular() || kept[name] {
				continue
			}
			if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
				found = append(found, name)
			}
		}
		return nil
	}
	return found, look(dir)
}
