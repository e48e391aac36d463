// Package targettest is the conformance suite of providers.Target: a subtest for each sentence of the contract.
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
	"sync"
	"testing"
	"testing/iotest"
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
		{"a cancelled put ends promptly and shows nothing", (*suite).cancelled},
		{"an interrupted put goes on where it stopped", (*suite).resumes},
		{"another source under the same name is never mixed in", (*suite).neverMixes},
		{"delete removes the object and leftovers, and a missing object is success", (*suite).deletes},
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

func (s *suite) empty(t *testing.T) {
	if got := s.list(t, s.open(t), s.prefix+"never"); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func (s *suite) sizes(t *testing.T) {
	target := s.open(t)
	for i, size := range []int64{0, 1, s.Block - 1, s.Block, s.Block + 1, 5*s.Block + 3} {
		name := fmt.Sprintf("%ssize%d", s.prefix, size)
		src := NewSource(byte(i), size, s.Block)
		src.HideSums = i%2 == 0
		s.put(t, target, name, src)
		s.want(t, target, name, src.bytes)
		s.noLeftovers(t, name)
	}
	name := s.prefix + "bytes"
	if err := target.Put(s.ctx(t), name, providers.Bytes([]byte("manifest"))); err != nil {
		t.Fatal(err)
	}
	s.want(t, target, name, []byte("manifest"))
}

func (s *suite) replaces(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	for i, size := range []int64{2*s.Block + 1, 10, 3 * s.Block, 0} {
		src := NewSource(byte(i), size, s.Block)
		s.put(t, target, name, src)
		s.want(t, target, name, src.bytes)
	}
	if got := s.list(t, target, s.prefix); !slices.Equal(got, []string{name}) {
		t.Errorf("%q", got)
	}
}

func (s *suite) failingSource(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	old := NewSource(1, s.Block+5, s.Block)
	s.put(t, target, name, old)
	broken := errors.New("disk read error")
	for _, at := range []int{0, 2} {
		src := NewSource(2, 4*s.Block, s.Block)
		src.Fail = func(_ context.Context, i int) error {
			if i == at {
				return broken
			}
			return nil
		}
		if err := target.Put(s.ctx(t), name, src); !errors.Is(err, broken) {
			t.Errorf("Put: %v, want the source's error", err)
		}
		if err := src.check(); err != nil {
			t.Error(err)
		}
		s.want(t, target, name, old.bytes)
	}
	fresh := s.prefix + "fresh"
	src := NewSource(2, 4*s.Block, s.Block)
	src.Fail = func(_ context.Context, i int) error { return broken }
	if err := target.Put(s.ctx(t), fresh, src); err == nil {
		t.Error("Put of a failing source succeeded")
	}
	s.nothing(t, fresh)
}

func (s *suite) changedSource(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	for _, blocks := range []int64{1, 5} {
		src := NewSource(2, blocks*s.Block, s.Block)
		src.Fail = func(_ context.Context, i int) error {
			if i == int(blocks-1) {
				return fmt.Errorf("test: %w", providers.ErrSourceChanged)
			}
			return nil
		}
		if err := target.Put(s.ctx(t), name, src); !errors.Is(err, providers.ErrSourceChanged) {
			t.Errorf("Put: %v, want ErrSourceChanged", err)
		}
		s.nothing(t, name)
		s.noLeftovers(t, name)
	}
}

// interrupt starts a Put and cancels it when block at is asked for.
func (s *suite) interrupt(t *testing.T, name string, src *Source, at int) {
	t.Helper()
	target := s.open(t)
	ctx, cancel := context.WithCancel(s.ctx(t))
	defer cancel()
	src.Fail = func(ctx context.Context, i int) error {
		if i >= at {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	begin := time.Now()
	if err := target.Put(ctx, name, src); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Put: %v, want context.Canceled", err)
	}
	if took := time.Since(begin); took > patience/4 {
		t.Errorf("the cancelled Put took %v to end", took)
	}
	if err := src.check(); err != nil {
		t.Error(err)
	}
	target.Close()
	src.Fail = nil
}

// RunSwitch interrupts a Put through one handle to a store and ends it through another, which has other settings.
func RunSwitch(t *testing.T, before, after providers.Target, block int64) {
	s := &suite{Config{Open: func(testing.TB) providers.Target { return before }}, ""}
	src := NewSource(1, 6*block, block)
	s.interrupt(t, "switched", src, 4)
	s.put(t, after, "switched", src)
	s.want(t, after, "switched", src.bytes)
	if err := after.Delete(s.ctx(t), "switched"); err != nil {
		t.Error(err)
	}
}

func (s *suite) cancelled(t *testing.T) {
	name := s.prefix + "object"
	s.interrupt(t, name, NewSource(1, 4*s.Block, s.Block), 2)
	s.nothing(t, name)
	s.interrupt(t, name+"1", NewSource(1, s.Block, s.Block), 0)
	s.nothing(t, name+"1")
}

func (s *suite) resumes(t *testing.T) {
	const blocks, at = 12, 8
	name := s.prefix + "object"
	src := NewSource(1, blocks*s.Block-7, s.Block)
	s.interrupt(t, name, src, at)
	again := NewSource(1, blocks*s.Block-7, s.Block)
	s.put(t, s.open(t), name, again)
	s.want(t, s.open(t), name, again.bytes)
	s.noLeftovers(t, name)
	if most := blocks - at + s.InFlight; again.Made() > most {
		t.Errorf("%d blocks were made after the interruption at %d of %d, want at most %d", again.Made(), at, blocks, most)
	}
}

func (s *suite) neverMixes(t *testing.T) {
	name := s.prefix + "object"
	for _, hide := range []bool{false, true} {
		s.interrupt(t, name, NewSource(1, 6*s.Block, s.Block), 4)
		other := NewSource(2, 6*s.Block, s.Block)
		other.HideSums = hide
		s.put(t, s.open(t), name, other)
		s.want(t, s.open(t), name, other.bytes)
		s.noLeftovers(t, name)
	}
	s.interrupt(t, name+"2", NewSource(1, 6*s.Block, s.Block), 4)
	shorter := NewSource(1, s.Block+1, s.Block)
	s.put(t, s.open(t), name+"2", shorter)
	s.want(t, s.open(t), name+"2", shorter.bytes)
}

func (s *suite) deletes(t *testing.T) {
	target, name := s.open(t), s.prefix+"sub/object"
	if err := target.Delete(s.ctx(t), name); err != nil {
		t.Errorf("Delete of a missing object: %v", err)
	}
	s.put(t, target, name, NewSource(1, 10, s.Block))
	s.put(t, target, name+"2", NewSource(1, 10, s.Block))
	if err := target.Delete(s.ctx(t), name); err != nil {
		t.Errorf("Delete: %v", err)
	}
	_, err := target.Stat(s.ctx(t), name)
	isMissing(t, "stat", name, err)
	if got := s.list(t, target, s.prefix); !slices.Equal(got, []string{name + "2"}) {
		t.Errorf("%q", got)
	}
	s.interrupt(t, name, NewSource(1, 6*s.Block, s.Block), 4)
	if s.Leftovers != nil && len(s.Leftovers(t, name)) == 0 {
		t.Error("an interrupted Put left nothing to go on from")
	}
	if err := target.Delete(s.ctx(t), name); err != nil {
		t.Errorf("Delete: %v", err)
	}
	s.noLeftovers(t, name)
}

func (s *suite) sweeps(t *testing.T) {
	target := s.open(t)
	sweeper, ok := target.(providers.Sweeper)
	if !ok {
		t.Fatal("it is no Sweeper")
	}
	dir := s.prefix + "dir"
	name, other := dir+"/object", s.prefix+"other/object"
	s.put(t, target, dir+"/whole", NewSource(3, 10, s.Block))
	s.interrupt(t, name, NewSource(1, 8*s.Block, s.Block), 6)
	s.interrupt(t, other, NewSource(2, 8*s.Block, s.Block), 6)
	sweep := func(before time.Time, want int, spare ...string) {
		t.Helper()
		if removed, err := sweeper.Sweep(s.ctx(t), dir, before, spare); err != nil || removed != want {
			t.Errorf("Sweep: %d, %v; want %d", removed, err, want)
		}
	}
	sweep(time.Now().Add(-time.Hour), 0)
	sweep(time.Now().Add(time.Hour), 0, name)
	sweep(time.Now().Add(time.Hour), 1)
	sweep(time.Now().Add(time.Hour), 0)
	s.noLeftovers(t, name)
	s.want(t, target, dir+"/whole", NewSource(3, 10, s.Block).bytes)
	src := NewSource(2, 8*s.Block, s.Block)
	s.put(t, target, other, src) // what lies elsewhere was not touched: it goes on
	if made := src.Made(); made > 8-6+s.InFlight+1 {
		t.Errorf("%d blocks were sent again, of an upload that was not swept", made)
	}
}

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
