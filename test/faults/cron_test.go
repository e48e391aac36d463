package faults_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// cron is what happens in the directory of dumps. It remembers every content that ever was complete.
type cron struct {
	t        *testing.T
	dir      string
	r        *rand.Rand
	n        int
	complete map[[32]byte]string
}

func newCron(t *testing.T, dir string, r *rand.Rand) *cron {
	return &cron{t: t, dir: dir, r: r, complete: map[[32]byte]string{}}
}

// act does one thing with dumps: usually a new one.
func (c *cron) act() {
	old := c.any()
	switch n := c.r.IntN(12); {
	case old == "" || n < 5:
		c.write(c.fresh(), c.size())
	case n < 7: // written elsewhere, and renamed in
		name := c.fresh()
		c.write(filepath.Join(c.dir, "."+filepath.Base(name)), c.size())
		c.must(os.Rename(filepath.Join(c.dir, "."+filepath.Base(name)), name))
	case n < 8: // written over in place
		c.write(old, c.size())
	case n < 9: // replaced
		tmp := filepath.Join(c.dir, ".tmp")
		c.write(tmp, c.size())
		c.must(os.Rename(tmp, old))
	case n < 10:
		c.truncate(old)
	case n < 11:
		c.must(os.Remove(old))
	default:
		c.must(os.Rename(old, c.fresh()))
	}
}

func (c *cron) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// fresh is the name of a dump that never was.
func (c *cron) fresh() string {
	c.n++
	at := time.Date(2026, 1, 1, 0, 0, c.n, 0, time.UTC)
	return filepath.Join(c.dir, fmt.Sprintf("db%d_%s.sql", c.r.IntN(3), at.Format("20060102_150405")))
}

// any is one of the dumps, or empty.
func (c *cron) any() string {
	found, err := filepath.Glob(filepath.Join(c.dir, "db*"))
	c.must(err)
	if len(found) == 0 {
		return ""
	}
	return found[c.r.IntN(len(found))]
}

// size is small for most, and several blocks for some.
func (c *cron) size() int {
	if c.r.IntN(6) == 0 {
		return 8<<20 + c.r.IntN(24<<20)
	}
	return 1 + c.r.IntN(100_000)
}

// write writes a dump as pg_dump does: open all the time, in pieces, with pauses.
func (c *cron) write(path string, size int) {
	c.t.Helper()
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(c.r.Uint32())
	}
	f, err := os.Create(path)
	c.must(err)
	h := sha256.New()
	source := io.LimitReader(rand.NewChaCha8(seed), int64(size))
	for pieces := 1 + c.r.IntN(3); pieces > 0; pieces-- {
		if pieces == 1 {
			_, err = io.Copy(io.MultiWriter(f, h), source)
		} else {
			_, err = io.CopyN(io.MultiWriter(f, h), source, int64(c.r.IntN(size+1)))
			time.Sleep(time.Duration(c.r.IntN(30)) * time.Millisecond)
		}
		if err == io.EOF {
			err = nil
		}
		c.must(err)
	}
	c.complete[[32]byte(h.Sum(nil))] = path
	c.must(f.Close())
}

// truncate cuts a dump short: what is left is a dump of its own.
func (c *cron) truncate(path string) {
	c.t.Helper()
	info, err := os.Stat(path)
	c.must(err)
	if info.Size() < 2 {
		return
	}
	c.must(os.Truncate(path, 1+c.r.Int64N(info.Size()-1)))
	b, err := os.ReadFile(path)
	c.must(err)
	c.complete[sha256.Sum256(b)] = path
}

// onDisk is the contents of all dumps that are there.
func (c *cron) onDisk() map[[32]byte]string {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.dir, "db*"))
	c.must(err)
	all := map[[32]byte]string{}
	for _, path := range found {
		b, err := os.ReadFile(path)
		c.must(err)
		all[sha256.Sum256(b)] = path
	}
	return all
}
