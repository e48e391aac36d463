package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// partial is the file beside an output which holds what has come so far. Its name carries the id of the backup, so that
// another dump is never mixed in; and nothing of what lies in it is believed: see [vault.Copies].
type partial struct {
	f    *os.File // not embedded: its ReadFrom would go around Write
	had  int64    // bytes that lay there
	at   int64    // where the next byte goes
	seen []byte
}

// openPartial opens the partial of a backup, or makes it, for this process alone.
func openPartial(dir, id string) (*partial, error) {
	path := filepath.Join(dir, ".offsite-restore-"+id+".partial")
	for range 10 {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if errors.Is(err, syscall.ELOOP) {
			if err = os.Remove(path); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		p, err := takePartial(f)
		if p != nil || err != nil {
			return p, err
		}
	}
	return nil, fmt.Errorf("%s: somebody else uses it all the time", path)
}

// takePartial locks the file and looks whether it can be trusted with a dump; neither: it was not, and is gone. Who else
// may read it, or own it, could have laid it there to get the dump.
func takePartial(f *os.File) (p *partial, err error) {
	defer func() {
		if p == nil {
			f.Close()
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another restore of the same backup writes to %s", f.Name())
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// The one who had the lock may have finished, and given the file its name, before it was ours.
	if now, err := os.Lstat(f.Name()); err != nil || !os.SameFile(info, now) {
		return nil, nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || int(st.Uid) != os.Geteuid() || st.Nlink != 1 {
		return nil, os.Remove(f.Name())
	}
	return &partial{f: f, had: info.Size()}, nil
}

// Write puts b where the next byte goes. What is there already is left alone, so that to go on costs reading and no
// writing.
func (p *partial) Write(b []byte) (int, error) {
	if p.at < p.had && p.same(b) {
		p.at += int64(len(b))
		return len(b), nil
	}
	n, err := p.f.WriteAt(b, p.at)
	p.at += int64(n)
	return n, err
}

func (p *partial) same(b []byte) bool {
	if len(p.seen) < len(b) {
		p.seen = make([]byte, len(b))
	}
	n, _ := p.f.ReadAt(p.seen[:len(b)], p.at)
	return bytes.Equal(p.seen[:n], b)
}

// again begins anew over what lies there.
func (p *partial) again() { p.had, p.at = max(p.had, p.at), 0 }

// allocated is how much room the file takes.
func (p *partial) allocated() (int64, error) {
	info, err := p.f.Stat()
	if err != nil {
		return 0, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(st.Blocks*512, info.Size()), nil
	}
	return 0, nil
}

// keep leaves the file for another try, as openPartial takes it.
func (p *partial) keep() error {
	err := p.f.Chmod(0o600)
	if os.Geteuid() == 0 {
		err = errors.Join(err, p.f.Chown(0, -1))
	}
	return errors.Join(err, p.f.Close())
}

// drop removes the file.
func (p *partial) drop() error {
	p.f.Close()
	return os.Remove(p.f.Name())
}
