package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"offsite/providers"
	"offsite/providers/files"
)

// Put is part of providers.Target.
func (t *Target) Put(ctx context.Context, name string, src providers.Source) error {
	return t.with(ctx, "put", name, func(root *os.Root) error {
		f, err := begin(root, name)
		if err != nil {
			return err
		}
		defer f.Close()
		err = fill(ctx, f, src)
		if errors.Is(err, providers.ErrSourceChanged) {
			return errors.Join(err, root.Remove(files.Partial(name)))
		}
		if err != nil {
			return err
		}
		return publish(root, f, name)
	})
}

// begin makes the directories and opens the hidden file. A Delete of the last other object may take the directories away in
// between.
func begin(root *os.Root, name string) (*os.File, error) {
	for try := 0; ; try++ {
		err := makeParents(root, path.Dir(name))
		if err == nil {
			var f *os.File
			if f, err = openPartial(root, files.Partial(name)); err == nil {
				return f, nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 10 {
			return nil, err
		}
	}
}

// openPartial opens the hidden file, new or of an earlier Put, and locks it against another process.
func openPartial(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another process is writing this object")
		}
		if !errors.Is(err, syscall.ENOLCK) && !errors.Is(err, syscall.ENOTSUP) {
			return nil, err
		}
		return root.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0o600) // a file system without locks
	}
	giveFile(root, f, name)
	// Whoever held the lock before may have renamed or removed the file.
	mine, err1 := f.Stat()
	there, err2 := root.Lstat(name)
	if err1 != nil || err2 != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, errors.Join(errors.New("another process has just written this object"), err1)
	}
	if !mine.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(fmt.Errorf("%s was no file, and is removed", name), root.Remove(name))
	}
	return f, nil
}

// fill writes the blocks that the file does not have yet.
func fill(ctx context.Context, f *os.File, src providers.Source) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	first, err := files.Verified(ctx, f, info.Size(), src, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(min(int64(first)*src.BlockSize(), src.Size())); err != nil {
		return err
	}
	providers.Resumed(src, 0, first)
	if err := files.NewFiller(1<<20).Fill(ctx, f, src, first, providers.Blocks(src)); err != nil {
		return err
	}
	return complete(f, src)
}

// complete makes sure that every block was written.
func complete(f *os.File, src providers.Source) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != src.Size() {
		return fmt.Errorf("wrote %d bytes of %d", info.Size(), src.Size())
	}
	return nil
}

// publish makes the finished file durable, then visible, then durably visible.
func publish(root *os.Root, f *os.File, name string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := root.Rename(files.Partial(name), name); err != nil {
		return err
	}
	return syncDir(root, path.Dir(name))
}

// makeParents makes what is missing of a directory, and each new entry durable.
func makeParents(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if _, err := root.Lstat(dir); err == nil {
		return nil
	}
	if err := makeParents(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		giveDirectory(root, dir)
	}
	return syncDir(root, path.Dir(dir))
}

func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err // SMB and some FUSE file systems cannot sync a directory
	}
	return nil
}
