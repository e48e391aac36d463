// Package targettest is the conformance suite of providers.Target: a subtest for each sentence of the contract.
package targettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"testing"
	"time"

	"offsite/providers"
)

// Config says what the suite runs on.
type Config struct {
	// Open gives a fresh handle to the same store on every call. The suite closes it.
	Open func(t testing.TB) providers.Target
	// Block is the size of block to use, the smallest that the store takes in an object of several.
	Block int64
	// Many is how many objects the listing test makes: more than the store puts on a page.
	Many int
	// Leftovers, if set, says what an unfinished Put of the name left, as the owner of the store sees it.
	Leftovers func(t testing.TB, name string) []string
	// Checksums says that the store keeps them.
	Checksums bool
	// InFlight is how many blocks of an interrupted Put may have to be sent again.
	InFlight int
}

// patience is how long one call of the suite may take before it counts as hanging.
const patience = 2 * time.Minute

type suite struct {
	Config
	prefix string
}

// Run runs the suite. The store should be empty below the names that it uses, all of which start with "suite".
func Run(t *testing.T, cfg Config) {
	if cfg.InFlight == 0 {
		cfg.InFlight = 4
	}
	if cfg.Many == 0 {
		cfg.Many = 1100
	}
	for _, c := range []struct {
		name string
		test func(*suite, *testing.T)
	}{
		{"an empty store lists nothing", (*suite).empty},
		{"what was put is got, whatever its size", (*suite).sizes},
		{"put replaces", (*suite).replaces},
		{"a failing source leaves the old object", (*suite).failingSource},
		{"a changed source leaves nothing behind", (*suite).changedSource},
		{"a source that fails while a block is read is no object, and a changed one leaves nothing behind", (*suite).changedBody},
		{"a cancelled put ends promptly and shows nothing", (*suite).cancelled},
		{"an interrupted put goes on where it stopped", (*suite).resumes},
		{"another source under the same name is never mixed in", (*suite).neverMixes},
		{"delete removes the object and leftovers, and a missing object is success", (*suite).deletes},
		{"the checksums that the store keeps are those of the blocks", (*suite).compares},
		{"what is preserved stays aside until delete", (*suite).preserves},
		{"a sweep removes what was left long ago and is not spared", (*suite).sweeps},
		{"ranges", (*suite).ranges},
		{"the reader reads as readers should", (*suite).reader},
		{"missing objects", (*suite).missing},
		{"list is sorted, by string prefix, and stops when asked", (*suite).lists},
		{"list goes past one page", (*suite).listsMany},
		{"odd names", (*suite).oddNames},
		{"invalid names are refused", (*suite).invalidNames},
		{"parallel use", (*suite).parallel},
		{"a cancelled context ends every call", (*suite).cancelledCalls},
		{"after close every call fails, and close again does not", (*suite).closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{cfg, fmt.Sprintf("suite%x/", time.Now().UnixNano())}
			t.Cleanup(func() { s.sweep(t) })
			c.test(s, t)
		})
	}
}

func (s *suite) open(t testing.TB) providers.Target {
	t.Helper()
	target := s.Open(t)
	t.Cleanup(func() { target.Close() })
	return target
}

func (s *suite) sweep(t *testing.T) {
	target := s.Open(t)
	defer target.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var names []string
	for o, err := range target.List(ctx, s.prefix) {
		if err != nil {
			t.Errorf("sweep: %v", err)
			return
		}
		names = append(names, o.Name)
	}
	each(names, func(name string) {
		if err := target.Delete(ctx, name); err != nil {
			t.Errorf("sweep: %v", err)
		}
	})
}

// each calls do for every name, several at once.
func each(names []string, do func(string)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(name)
		})
	}
	wg.Wait()
}

func (s *suite) ctx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (s *suite) put(t testing.TB, target providers.Target, name string, src *Source) {
	t.Helper()
	if err := target.Put(s.ctx(t), name, src); err != nil {
		t.Fatalf("Put %s: %v", name, err)
	}
	if err := src.check(); err != nil {
		t.Errorf("Put %s: %v", name, err)
	}
}

func (s *suite) get(t testing.TB, target providers.Target, name string, offset, length int64) []byte {
	t.Helper()
	r, err := target.Get(s.ctx(t), name, offset, length)
	if err != nil {
		t.Fatalf("Get %s: %v", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("Get %s: reading: %v", name, err)
	}
	return b
}

func (s *suite) want(t testing.TB, target providers.Target, name string, want []byte) {
	t.Helper()
	if got := s.get(t, target, name, 0, -1); !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes, want %d, or others", name, len(got), len(want))
	}
	o, err := target.Stat(s.ctx(t), name)
	if err != nil || o.Size != int64(len(want)) || o.Name != name {
		t.Errorf("Stat %s: %+v, %v", name, o, err)
	}
}

func (s *suite) list(t testing.TB, target providers.Target, prefix string) (names []string) {
	t.Helper()
	for o, err := range target.List(s.ctx(t), prefix) {
		if err != nil {
			t.Fatalf("List %s: %v", prefix, err)
		}
		names = append(names, o.Name)
	}
	return names
}

func isMissing(t testing.TB, op, name string, err error) {
	t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s of a missing object: %v, want fs.ErrNotExist", op, err)
	}
	var e *providers.Error
	if !errors.As(err, &e) || e.Op != op || e.Name != name {
		t.Errorf("%s: error is %#v, want a *providers.Error with operation and name", op, err)
	}
}

func (s *suite) nothing(t testing.TB, name string) {
	t.Helper()
	target := s.open(t)
	if got := s.list(t, target, name); len(got) > 0 {
		t.Errorf("listed: %q", got)
	}
	_, err := target.Stat(s.ctx(t), name)
	isMissing(t, "stat", name, err)
}

func (s *suite) noLeftovers(t testing.TB, name string) {
	t.Helper()
	if s.Leftovers != nil {
		if left := s.Leftovers(t, name); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}
