package targettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"offsite/providers"
)

// The sentences of the contract on Get, Stat and List, and on all methods.

func (s *suite) ranges(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	src := NewSource(1, 2*s.Block+100, s.Block)
	s.put(t, target, name, src)
	n := src.Size()
	for _, r := range [][2]int64{{0, -1}, {0, 1}, {0, n}, {5, 10}, {s.Block - 3, 6}, {n - 1, -1}, {n - 1, 1}, {n - 5, 100}, {s.Block, -1}, {3, 0}} {
		want := src.bytes[r[0]:]
		if r[1] >= 0 {
			want = want[:min(r[1], int64(len(want)))]
		}
		if got := s.get(t, target, name, r[0], r[1]); !bytes.Equal(got, want) {
			t.Errorf("Get from %d, %d bytes: got %d bytes, want %d, or others", r[0], r[1], len(got), len(want))
		}
	}
	if r, err := target.Get(s.ctx(t), name, n+10, 5); err == nil {
		b, err := io.ReadAll(r)
		if r.Close(); len(b) > 0 || err != nil {
			t.Errorf("Get beyond the end: %d bytes, %v", len(b), err)
		}
	}
}

func (s *suite) reader(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	src := NewSource(1, 5000, s.Block)
	s.put(t, target, name, src)
	r, err := target.Get(s.ctx(t), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(struct{ io.Reader }{r}, src.bytes); err != nil {
		t.Error(err)
	}
}

func (s *suite) missing(t *testing.T) {
	target, name := s.open(t), s.prefix+"no/such/object"
	_, err := target.Get(s.ctx(t), name, 0, -1)
	isMissing(t, "get", name, err)
	_, err = target.Stat(s.ctx(t), name)
	isMissing(t, "stat", name, err)
	s.put(t, target, s.prefix+"dir/file", NewSource(1, 1, s.Block))
	_, err = target.Stat(s.ctx(t), s.prefix+"dir")
	isMissing(t, "stat", s.prefix+"dir", err)
}

func (s *suite) lists(t *testing.T) {
	target := s.open(t)
	names := []string{"a-b", "a.b/x", "a/x", "a/x.manifest", "a/y", "ab/x", "b"}
	for i := range names {
		names[i] = s.prefix + names[i]
	}
	slices.Sort(names)
	each(names, func(name string) { s.put(t, target, name, NewSource(1, 3, s.Block)) })
	if got := s.list(t, target, s.prefix); !slices.Equal(got, names) {
		t.Errorf("got %q\nwant %q", got, names)
	}
	for _, prefix := range []string{"a", "a/", "a/x", "a.", "zzz", "a/x.manifest"} {
		var want []string
		for _, n := range names {
			if strings.HasPrefix(n, s.prefix+prefix) {
				want = append(want, n)
			}
		}
		if got := s.list(t, target, s.prefix+prefix); !slices.Equal(got, want) {
			t.Errorf("prefix %q: got %q, want %q", prefix, got, want)
		}
	}
	for o, err := range target.List(s.ctx(t), s.prefix) {
		if age := time.Since(o.Modified); err != nil || o.Size != 3 || age > time.Hour || age < -time.Hour {
			t.Errorf("listed as %+v, %v", o, err)
		}
		break
	}
}

func (s *suite) listsMany(t *testing.T) {
	target := s.open(t)
	var names []string
	for i := range s.Many {
		names = append(names, fmt.Sprintf("%smany/%05d", s.prefix, i))
	}
	each(names, func(name string) {
		if err := target.Put(s.ctx(t), name, providers.Bytes([]byte("x"))); err != nil {
			t.Error(err)
		}
	})
	if got := s.list(t, target, s.prefix+"many/"); !slices.Equal(got, names) {
		t.Errorf("got %d names, want %d, or others", len(got), len(names))
	}
}

func (s *suite) oddNames(t *testing.T) {
	target := s.open(t)
	long := strings.Repeat("n", 255)
	for i, name := range []string{"with space", "100%2Fpercent%20", "plus+equals=at@tilde~", "a,b;c&d'e(f)!*$", "x:y|z<q>\"?#[]{}^`", long, "deep/" + strings.Repeat("d/", 20) + "x", "ends.", "UPPER/lower", "-dash", "a..b"} {
		name = s.prefix + name
		src := NewSource(byte(i), 10, s.Block)
		s.put(t, target, name, src)
		s.want(t, target, name, src.bytes)
		if got := s.list(t, target, name); !slices.Equal(got, []string{name}) {
			t.Errorf("listed %q as %q", name, got)
		}
	}
}

func (s *suite) invalidNames(t *testing.T) {
	target := s.open(t)
	for _, name := range []string{"", "/abs", "a//b", "a/", "../up", "a/../b", ".", ".hidden", "a/.b", "back\\slash", "new\nline", "ümlaut", strings.Repeat("n", 256), strings.Repeat("n/", 500) + "x"} {
		_, getErr := target.Get(s.ctx(t), name, 0, -1)
		_, statErr := target.Stat(s.ctx(t), name)
		for op, err := range map[string]error{
			"put": target.Put(s.ctx(t), name, providers.Bytes(nil)), "get": getErr, "stat": statErr, "delete": target.Delete(s.ctx(t), name),
		} {
			if !errors.Is(err, providers.ErrPermanent) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of %q: %v, want ErrPermanent", op, name, err)
			}
		}
	}
}

func (s *suite) parallel(t *testing.T) {
	target := s.open(t)
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("%sparallel/%d", s.prefix, i))
	}
	each(names, func(name string) {
		src := NewSource(name[len(name)-1], s.Block+9, s.Block)
		if err := target.Put(s.ctx(t), name, src); err != nil {
			t.Error(err)
			return
		}
		r, err := target.Get(s.ctx(t), name, 0, -1)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, src.bytes) {
			t.Errorf("%s: %v", name, err)
		}
		if err := target.Delete(s.ctx(t), name); err != nil {
			t.Error(err)
		}
	})
	if got := s.list(t, target, s.prefix); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func (s *suite) cancelledCalls(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	s.put(t, target, name, NewSource(1, 10, s.Block))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := target.Get(ctx, name, 0, -1)
	_, statErr := target.Stat(ctx, name)
	var listErr error
	for _, listErr = range target.List(ctx, s.prefix) {
	}
	for op, err := range map[string]error{
		"put": target.Put(ctx, name, NewSource(2, 10, s.Block)), "get": getErr, "stat": statErr, "list": listErr, "delete": target.Delete(ctx, name),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", op, err)
		}
	}
	s.want(t, target, name, NewSource(1, 10, s.Block).bytes)
}

func (s *suite) closed(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	s.put(t, target, name, NewSource(1, 10, s.Block))
	for range 2 {
		if err := target.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, getErr := target.Get(s.ctx(t), name, 0, -1)
	_, statErr := target.Stat(s.ctx(t), name)
	var listErr error
	for _, listErr = range target.List(s.ctx(t), s.prefix) {
	}
	for op, err := range map[string]error{
		"put": target.Put(s.ctx(t), name, NewSource(2, 10, s.Block)), "get": getErr, "stat": statErr, "list": listErr, "delete": target.Delete(s.ctx(t), name),
	} {
		if err == nil {
			t.Errorf("%s works after Close", op)
		}
	}
}
