package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"offsite/agent/statefile"
)

// closedSuffix is of the file beside a journal that says in what state it was closed.
const closedSuffix = ".closed"

// wasClosed says whether the journal is as it was when it was closed. The mark is gone after that: it is made by Close.
func wasClosed(path string) (bool, error) {
	mark, err := os.ReadFile(path + closedSuffix)
	if err != nil {
		return false, nil
	}
	if err := os.Remove(path + closedSuffix); err != nil {
		return false, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return false, err
	}
	now, err := state(path)
	return err == nil && now == string(mark), nil
}

// markClosed leaves the mark if it can: without it the next start takes longer.
func markClosed(path string) {
	if now, err := state(path); err == nil {
		f, err := statefile.Open(path+closedSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err == nil {
			f.WriteString(now)
			f.Close()
		}
	}
}

// state tells one version of a file from another.
func state(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes, %d", info.Size(), info.ModTime().UnixNano()), nil
}

// rewrite puts a fresh copy in the place of the journal at path. A journal that cannot be read is ErrUnusable and stays as
// it is; one that cannot be written, for lack of space, is used as it is.
func rewrite(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := openOld(path)
	if err != nil {
		return err
	}
	fresh := path + ".new"
	if err := copyAll(old, fresh, info.Size()); err != nil {
		os.Remove(fresh)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return old.Close()
		}
		return errors.Join(fmt.Errorf("journal %s: %w", path, err), old.Close())
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok { // root may only ask: the journal stays the agent's
		os.Lchown(fresh, int(owner.Uid), int(owner.Gid))
	}
	if err := os.Rename(fresh, path); err != nil { // while old still holds the lock of what was there
		return errors.Join(err, old.Close())
	}
	return old.Close()
}

// openOld opens the journal for reading, and for this process alone.
func openOld(path string) (db *bolt.DB, err error) {
	alone, err := statefile.Open(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	if err := syscall.Flock(int(alone.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("journal %s: %w", path, ErrLocked)
	}
	if err := syscall.Flock(int(alone.Fd()), syscall.LOCK_UN); err != nil {
		return nil, err
	}
	err = guarded(func() error {
		db, err = bolt.Open(path, 0o600, options(true))
		return err
	})
	if err != nil {
		return nil, opening(path, err)
	}
	return db, nil
}

// guarded turns what bbolt does with a torn page into ErrUnusable: it panics, or reads beyond the end of the file that it
// has mapped.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if damage := recover(); damage != nil {
			err = fmt.Errorf("%w: it is damaged (%v)", ErrUnusable, damage)
		}
	}()
	return do()
}

// copyAll copies what is in old into a new file, durably, and looks at each entry. There cannot be more bytes of them than
// the old file has, unless its pages go round in a circle.
func copyAll(old *bolt.DB, path string, size int64) (err error) {
	os.Remove(path) // of a start that was cut off
	fresh, err := bolt.Open(path, 0o600, options(false))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	c := &copier{left: size}
	return fresh.Update(func(to *bolt.Tx) error {
		return guarded(func() error {
			return old.View(func(from *bolt.Tx) error {
				return from.ForEach(func(name []byte, b *bolt.Bucket) error {
					if string(name) == string(bucketMet) {
						return nil // an index, which Open makes anew
					}
					copied, err := to.CreateBucket(name)
					if err != nil {
						return damaged(name, err)
					}
					c.check = check(string(name))
					return c.bucket(b, copied)
				})
			})
		})
	})
}

type copier struct {
	left  int64
	check func(v []byte) error // of the bucket that is being copied
}

func (c *copier) bucket(from, to *bolt.Bucket) error {
	to.FillPercent = 0.9 // keys come in their order
	return from.ForEach(func(k, v []byte) error {
		if v == nil && from.Bucket(k) != nil {
			within, err := to.CreateBucket(k)
			if err != nil {
				return damaged(k, err)
			}
			return c.bucket(from.Bucket(k), within)
		}
		if c.left -= int64(len(k) + len(v)); c.left < 0 {
			return fmt.Errorf("%w: it has no end", ErrUnusable)
		}
		if err := c.check(v); err != nil {
			return damaged(k, err)
		}
		if err := to.Put(k, v); err != nil {
			return damaged(k, err)
		}
		return nil
	})
}

// damaged: what is under key is nothing that was ever written. Until the copy is committed bbolt keeps it in memory, so that
// an error of its own tells of a key or a value that cannot be (an empty one, for instance), and not of the disk.
func damaged(key []byte, err error) error {
	return fmt.Errorf("%w: entry %q is damaged: %w", ErrUnusable, key, err)
}

// check is how the values of a bucket are looked at.
func check(bucket string) func(v []byte) error {
	switch bucket {
	case string(bucketDumps), string(bucketTargets), string(bucketVerdicts), string(bucketRemote):
		return func(v []byte) error {
			if !json.Valid(v) {
				return errors.New("no JSON")
			}
			return nil
		}
	case string(bucketDigests):
		return func(v []byte) error {
			if len(v) != 64 {
				return fmt.Errorf("a digest has 64 bytes, not %d", len(v))
			}
			return nil
		}
	}
	return func([]byte) error { return nil }
}
