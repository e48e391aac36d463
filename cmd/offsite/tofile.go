package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"offsite/agent/vault"
	"offsite/crypto"
)

// writeFile brings a dump to a file, which appears when it is whole. What comes until then lies beside it, in a partial
// that the next restore of the same backup into this directory goes on with.
func (r *restoring) writeFile(ctx context.Context, copies vault.Copies, b *backup, path string) error {
	exists := func(err error) error {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; -o names another file, --force replaces it", err)
		}
		return err
	}
	if _, err := os.Lstat(path); err == nil && !r.force {
		return exists(&fs.PathError{Op: "write", Path: path, Err: fs.ErrExist})
	}
	p, err := openPartial(filepath.Dir(path), b.ID)
	if err != nil {
		return err
	}
	if err := r.fill(ctx, p, copies, b.m, path); err != nil {
		r.abandon(p, b.m, err)
		return exists(err)
	}
	return nil
}

func (r *restoring) fill(ctx context.Context, p *partial, copies vault.Copies, m *vault.Manifest, path string) error {
	here, err := p.allocated()
	if err != nil {
		return err
	}
	if err := roomFor(filepath.Dir(path), m.Size-here); err != nil {
		return err
	}
	if p.had > 0 {
		r.say("%s has %s of an earlier try: what is right of it is not fetched again", p.f.Name(), humanize.IBytes(uint64(p.had)))
		copies.Have = p.f
	}
	if err := r.bring(ctx, p, copies, m); err != nil {
		return err
	}
	if err := p.f.Truncate(m.Size); err != nil {
		return err
	}
	if err := r.dress(p.f, m); err != nil {
		return err
	}
	return finish(p.f, path, r.force)
}

// bring fills the partial. Of blocks that are too large to be held in memory it takes the bytes before they are proven, since
// nothing is published before all are, which spares fetching them twice. Where a copy then turns out to be damaged, what came
// is kept as after an interruption, and the rest is proven before it is taken: from the other copies.
func (r *restoring) bring(ctx context.Context, p *partial, copies vault.Copies, m *vault.Manifest) error {
	copies.Unproven = true
	err := r.plain(ctx, copies, m, p)
	damaged := errors.Is(err, vault.ErrIntegrity) || errors.Is(err, crypto.ErrCorrupt)
	if !damaged || !copies.Large(m) || len(copies.Vaults) == 1 {
		return err
	}
	r.say("warning: %v", err)
	p.again()
	copies.Unproven, copies.Have = false, p.f
	return r.plain(ctx, copies, m, p)
}

// abandon keeps what the next try can go on with, if it is at least a block, and says so. Where the disk is full it is
// in the way of others.
func (r *restoring) abandon(p *partial, m *vault.Manifest, why error) {
	came := max(p.at, min(p.had, m.Size))
	full := errors.Is(why, syscall.ENOSPC) || errors.Is(why, syscall.EDQUOT)
	if came < m.BlockSize || full {
		if err := p.drop(); err != nil {
			r.say("warning: %v", err)
		}
		return
	}
	if err := p.keep(); err != nil {
		r.say("warning: %v", err)
		return
	}
	r.say("%s of %s are kept in %s: the same command goes on there; remove it if that is not wanted", humanize.IBytes(uint64(came)), humanize.IBytes(uint64(m.Size)), p.f.Name())
}

// roomFor says that a directory's file system has too little space, before hours are spent on finding that out.
func roomFor(dir string, bytes int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil // what is wrong with it shows when the file is made
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < bytes {
		return fmt.Errorf("%s has room for %s, the dump needs %s; -o names another place", dir, humanize.IBytes(uint64(free)), humanize.IBytes(uint64(bytes)))
	}
	return nil
}

// dress gives the restored file the mode and time that the dump had on its host, and as root the owner.
func (r *restoring) dress(f *os.File, m *vault.Manifest) error {
	p, err := m.Private(r.ids...)
	if err != nil {
		r.say("warning: the file's mode and time are not known: %v", err)
		return nil
	}
	if os.Geteuid() == 0 {
		if err := f.Chown(int(p.UID), int(p.GID)); err != nil {
			r.say("warning: the file belongs to root: %v", err) // some file systems know no owners
		}
	}
	if err := f.Chmod(os.FileMode(p.Mode) & os.ModePerm); err != nil {
		r.say("warning: the file's mode is not that of the dump: %v", err)
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: p.MTime.Unix(), Nsec: int64(p.MTime.Nanosecond())}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, f.Name(), times, unix.AT_SYMLINK_NOFOLLOW); err != nil { // whoever owns the directory may have put a link there
		return &os.PathError{Op: "utimensat", Path: f.Name(), Err: err}
	}
	return nil
}
