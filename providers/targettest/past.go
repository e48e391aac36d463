package targettest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"offsite/providers"
)

// later waits until the store's clock, which tells seconds, has gone on, and gives it.
func later(t testing.TB, target providers.Target) time.Time {
	t.Helper()
	for begin := storeNow(t, target); ; time.Sleep(50 * time.Millisecond) {
		if now := storeNow(t, target); now.After(begin) {
			return now
		}
	}
}

// past: what lay there at an instant is seen and read, whatever was done to it since; and it is not to be changed.
func (l *locks) past(t *testing.T) {
	const kept, more, new = "past/series/a.age", "past/series/a.age.manifest", "past/series/b.age"
	target := l.open(t, "versioned", "", nil)
	asOf := target.(providers.Historian).AsOf
	s := &suite{Config: Config{Block: 5 << 20}}
	before := later(t, target)
	later(t, target)
	first, noise := NewSource(1, 5<<20+7, 5<<20), NewSource(2, 100, 5<<20)
	s.put(t, target, kept, first)
	s.put(t, target, more, NewSource(3, 10, 10))
	then := later(t, target)
	later(t, target)
	s.put(t, target, kept, noise) // a thief writes over it
	s.put(t, target, new, noise)
	written := later(t, target)
	later(t, target)
	for _, name := range []string{kept, more} { // and deletes it
		if err := target.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		at   time.Time
		want map[string]*Source
	}{
		{before, nil}, {then, map[string]*Source{kept: first, more: nil}},
		{written, map[string]*Source{kept: noise, more: nil, new: noise}}, {later(t, target), map[string]*Source{new: noise}},
	} {
		if l.server.Redates {
			l.readable(t, asOf(c.at)) // which version it is nobody can say
			continue
		}
		was := asOf(c.at)
		if names := s.list(t, was, "past/"); len(names) != len(c.want) {
			t.Errorf("at %v: %q, want %d", c.at, names, len(c.want))
		}
		for _, name := range []string{kept, more, new} {
			src, there := c.want[name]
			if !there {
				_, err := was.Stat(t.Context(), name)
				isMissing(t, "stat", name, err)
				_, err = was.Get(t.Context(), name, 0, -1)
				isMissing(t, "get", name, err)
			} else if src != nil {
				s.want(t, was, name, src.Bytes())
			}
		}
	}
	was := asOf(then)
	if !l.server.Redates {
		if got := s.get(t, was, kept, 5<<20-1, 3); !bytes.Equal(got, first.Bytes()[5<<20-1:5<<20+2]) {
			t.Errorf("a range: %x", got)
		}
		if got := s.get(t, was, kept, 0, 0); len(got) > 0 {
			t.Errorf("nothing was asked for, and %d bytes came", len(got))
		}
	}
	for _, err := range []error{was.Put(t.Context(), kept, noise), was.Delete(t.Context(), kept)} {
		if !errors.Is(err, providers.ErrPermanent) {
			t.Errorf("%v, want that the past is not changed", err)
		}
	}
	if err := was.Close(); err != nil {
		t.Error(err)
	}
	if _, err := was.Stat(t.Context(), more); err == nil {
		t.Error("it answers after Close")
	}
}

// readable: each name comes once, and what it is said to have can be read.
func (l *locks) readable(t *testing.T, was providers.Target) {
	t.Helper()
	s := &suite{Config: Config{Block: 5 << 20}}
	last := ""
	for o, err := range was.List(t.Context(), "past/") {
		if err != nil {
			t.Fatal(err)
		}
		if got := s.get(t, was, o.Name, 0, -1); int64(len(got)) != o.Size || o.Name <= last {
			t.Errorf("%s after %s: %d bytes, want %d", o.Name, last, len(got), o.Size)
		}
		last = o.Name
	}
}

// present: a bucket without versions has the past of what still lies there.
func (l *locks) present(t *testing.T) {
	const name = "present/series/a.age"
	target := l.open(t, l.server.Bucket, "", nil)
	s := &suite{Config: Config{Block: 5 << 20}}
	before := later(t, target)
	later(t, target)
	src := NewSource(1, 100, 5<<20)
	s.put(t, target, name, src)
	asOf := target.(providers.Historian).AsOf
	s.want(t, asOf(later(t, target)), name, src.Bytes())
	_, err := asOf(before).Stat(t.Context(), name)
	isMissing(t, "stat", name, err)
}
