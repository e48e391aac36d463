// Package sftp keeps objects as files of an SSH server (pkg/sftp over x/crypto/ssh).
//
// The server proves itself with a host key that is known beforehand; there is no way to leave that out. It may be
// chrooted, restricted to SFTP, and without extensions: what fsync@openssh.com, posix-rename@openssh.com,
// statvfs@openssh.com and limits@openssh.com add is used where it is offered.
//
// An object is a file of mode 0600 in directories of mode 0700, where the server lets us say so. Put writes to a
// hidden file beside the object, whose name follows from the object's, makes it durable, checks its size, and renames
// it. A later Put of the same name goes on with that file: see resume.
package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"
	"sync/atomic"

	"github.com/pkg/sftp"

	"offsite/providers"
	"offsite/providers/files"
)

// Target is a directory of an SSH server. It connects when it is used, and again after a failure.
type Target struct {
	base   string
	cfg    Config
	pool   *pool
	closed atomic.Bool
}

var _ providers.Target = (*Target)(nil)

// New needs no server yet.
func New(cfg Config) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Connections == 0 {
		cfg.Connections = defaultConnections
	}
	t := &Target{base: path.Clean(cfg.Path), cfg: cfg}
	t.pool = newPool(cfg.Connections, t.connect)
	return t, nil
}

// Init makes the directory for the backups if it is not there. Put does not: a directory that is gone may be one
// whose disk is not mounted on the server.
func Init(ctx context.Context, cfg Config) error {
	t, err := New(cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	return t.do(ctx, "open", "", func(c *conn) error { return c.watch(c.idle, func() error { return c.MkdirAll(t.base) }) })
}

func (t *Target) connect(ctx context.Context) (*conn, error) {
	keys, err := t.cfg.hostKeys()
	if err != nil {
		return nil, err
	}
	creds, err := t.cfg.credentials()
	if err != nil {
		return nil, err
	}
	defer creds.Close()
	return dial(ctx, t.cfg, keys, creds)
}

// path is where an object lies on the server.
func (t *Target) path(name string) string { return path.Join(t.base, name) }

// borrow lends a connection that is closed when ctx ends. done gives it back.
func (t *Target) borrow(ctx context.Context, take func(context.Context) (*conn, func(well bool), error)) (c *conn, done func(), err error) {
	if t.closed.Load() {
		return nil, nil, fs.ErrClosed
	}
	c, give, err := take(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, c.Close)
	return c, func() { give(stop()) }, nil
}

// with runs one call for an object.
func (t *Target) with(ctx context.Context, op, name string, call func(*conn) error) error {
	if err := providers.CheckName(name); err != nil {
		return translate(ctx, op, name, err)
	}
	return t.do(ctx, op, name, call)
}

// do runs one call on a connection of its own and translates its error.
func (t *Target) do(ctx context.Context, op, name string, call func(*conn) error) error {
	err := ctx.Err()
	if err == nil {
		var c *conn
		var done func()
		if c, done, err = t.borrow(ctx, t.pool.take); err == nil {
			defer done()
			err = t.checkBase(c, call(c))
		}
	}
	return translate(ctx, op, name, err)
}

// checkBase tells a missing object from a missing directory for all of them.
func (t *Target) checkBase(c *conn, err error) error {
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, providers.ErrPermanent) {
		return err
	}
	if _, baseErr := stat(c, c.Stat, t.base); errors.Is(baseErr, fs.ErrNotExist) {
		return fmt.Errorf("the directory %s is not on the server %s: either its disk is not mounted there, or `offsite init` has not prepared it: %w", t.base, t.cfg.Host, providers.ErrPermanent)
	}
	return err
}

func stat(c *conn, how func(string) (fs.FileInfo, error), p string) (info fs.FileInfo, err error) {
	err = c.watch(c.idle, func() (err error) {
		info, err = how(p)
		return err
	})
	return info, err
}

// Stat is part of providers.Target.
func (t *Target) Stat(ctx context.Context, name string) (o providers.Object, err error) {
	err = t.with(ctx, "stat", name, func(c *conn) error {
		info, err := stat(c, c.Lstat, t.path(name))
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fs.ErrNotExist
		}
		o = providers.Object{Name: name, Size: info.Size(), Modified: info.ModTime()}
		return nil
	})
	return o, err
}

// List is part of providers.Target. Each directory is read whole and sorted; no connection is held while the caller
// looks at an object.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	tree := files.Tree{ReadDir: func(dir string) (entries []fs.DirEntry, err error) {
		err = t.do(ctx, "list", prefix, func(c *conn) error {
			entries, err = c.tree(ctx, t).ReadDir(dir)
			return err
		})
		return entries, err
	}, Stat: func(name string) (info fs.FileInfo, err error) {
		err = t.do(ctx, "list", prefix, func(c *conn) error {
			info, err = c.tree(ctx, t).Stat(name)
			return err
		})
		return info, err
	}}
	return func(yield func(providers.Object, error) bool) {
		err := tree.Walk(ctx, ".", prefix, func(o providers.Object) bool { return yield(o, nil) })
		if err != nil && !errors.Is(err, files.ErrStop) {
			yield(providers.Object{}, translate(ctx, "list", prefix, err))
		}
	}
}

// tree is the target's files as one connection sees them.
func (c *conn) tree(ctx context.Context, t *Target) files.Tree {
	return files.Tree{ReadDir: func(dir string) (entries []fs.DirEntry, err error) {
		err = c.watch(c.idle, func() error {
			infos, err := c.ReadDirContext(ctx, t.path(dir))
			for _, info := range infos {
				entries = append(entries, fs.FileInfoToDirEntry(info))
			}
			return err
		})
		return entries, err
	}, Stat: func(name string) (info fs.FileInfo, err error) {
		err = c.watch(c.idle, func() (err error) {
			info, err = c.Client.Stat(t.path(name))
			return err
		})
		return info, err
	}}
}

// Preserve is part of providers.Preserver, on servers with hardlink@openssh.com.
func (t *Target) Preserve(ctx context.Context, name string) error {
	return t.with(ctx, "preserve", name, func(c *conn) error {
		if !c.offers("hardlink@openssh.com") {
			return errors.ErrUnsupported
		}
		return c.watch(c.idle, func() error {
			kept := t.path(files.Damaged(name))
			if err := c.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := c.Link(t.path(name), kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
	})
}

// Delete is part of providers.Target. Directories that it leaves empty go too.
func (t *Target) Delete(ctx context.Context, name string) error {
	return t.with(ctx, "delete", name, func(c *conn) error {
		for _, n := range []string{name, files.Partial(name), aside(name), files.Damaged(name)} {
			err := c.watch(c.idle, func() error { return c.Remove(t.path(n)) })
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err = t.checkBase(c, err); errors.Is(err, providers.ErrPermanent) {
				return err
			}
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if c.watch(c.idle, func() error { return c.RemoveDirectory(t.path(dir)) }) != nil { // not empty, or gone
				break
			}
		}
		return nil
	})
}

// Close is part of providers.Target.
func (t *Target) Close() error {
	if !t.closed.Swap(true) {
		t.pool.Close()
	}
	return nil
}

// kindError carries the contract's word for an error of the server.
type kindError struct {
	kind error
	error
}

func (e *kindError) Unwrap() []error { return []error{e.kind, e.error} }

// Status codes of draft-ietf-secsh-filexfer-13, 9.1, that servers use beside those of version 3.
const (
	statusWriteProtect = 12
	statusNoSpace      = 14
	statusQuota        = 15
)

// translate gives every error of the target its form and its kind.
func translate(ctx context.Context, op, name string, err error) error {
	if err == nil || errors.As(err, new(*providers.Error)) {
		return err
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var status *sftp.StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case statusWriteProtect:
			err = &kindError{providers.ErrPermanent, err}
		case statusNoSpace, statusQuota:
			err = fmt.Errorf("no space left on the server: %w", err)
		}
	}
	if strings.Contains(err.Error(), "unable to authenticate") { // x/crypto/ssh has no value for it
		err = &kindError{fs.ErrPermission, fmt.Errorf("%w; check user, key_file, password_file, and what the server allows", err)}
	}
	e := &providers.Error{Op: op, Name: name, Err: err}
	for _, k := range []error{fs.ErrNotExist, fs.ErrPermission, providers.ErrSourceChanged, providers.ErrCorrupt, providers.ErrPermanent} {
		if errors.Is(err, k) {
			e.Kind = k
		}
	}
	if errors.Is(err, io.EOF) {
		e.Err = fmt.Errorf("the server ended the connection: %w", err)
	}
	return e
}
