package targettest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"offsite/providers"
)

// The sentences of the contract on Put, Delete and Sweep.

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

// changedBody is a block that is made while it is read, and turns out to be another one when a part of it is sent.
func (s *suite) changedBody(t *testing.T) {
	target, name := s.open(t), s.prefix+"object"
	for _, blocks := range []int64{1, 5} {
		for _, cause := range []error{providers.ErrSourceChanged, errors.New("disk read error")} {
			src := NewSource(2, blocks*s.Block, s.Block)
			src.FailRead = func(i int, end int64) error {
				if i == int(blocks-1) && end > s.Block/2 {
					return fmt.Errorf("test: %w", cause)
				}
				return nil
			}
			if err := target.Put(s.ctx(t), name, src); !errors.Is(err, cause) {
				t.Errorf("Put: %v, want %v", err, cause)
			}
			if err := src.check(); err != nil {
				t.Error(err)
			}
			s.nothing(t, name)
			if cause == providers.ErrSourceChanged {
				s.noLeftovers(t, name)
			}
		}
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

// runSwitch interrupts a Put through one handle to a store and ends it through another, which has other settings.
func runSwitch(t *testing.T, before, after providers.Target) {
	const block = smallestPart
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
	if again.resumed+again.Made() != blocks && again.Made() < blocks {
		t.Errorf("of %d blocks the source was told that %d were there, and made %d", blocks, again.resumed, again.Made())
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

// preserves is for those that can; a bucket keeps what was replaced as a version, if it has them.
func (s *suite) preserves(t *testing.T) {
	target, name := s.open(t), s.prefix+"sub/object"
	preserver, ok := target.(providers.Preserver)
	if !ok {
		return
	}
	err := preserver.Preserve(s.ctx(t), name)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		t.Errorf("Preserve of a missing object: %v", err)
	}
	for range 2 {
		s.put(t, target, name, NewSource(1, 10, s.Block))
		if err := preserver.Preserve(s.ctx(t), name); err != nil {
			t.Fatalf("Preserve: %v", err)
		}
		s.put(t, target, name, NewSource(2, 20, s.Block))
	}
	if got := s.list(t, target, s.prefix); !slices.Equal(got, []string{name}) {
		t.Errorf("%q", got)
	}
	if o, err := target.Stat(s.ctx(t), name); err != nil || o.Size != 20 {
		t.Errorf("%+v %v", o, err)
	}
	if s.Leftovers != nil && len(s.Leftovers(t, name)) != 1 {
		t.Errorf("%q is aside, want one object", s.Leftovers(t, name))
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

func (s *suite) compares(t *testing.T) {
	target := s.open(t)
	c, ok := target.(providers.Checksummer)
	if !ok {
		if s.Checksums {
			t.Fatal("it is no Checksummer")
		}
		return
	}
	for _, blocks := range []int64{1, 3} {
		name := fmt.Sprintf("%ssummed%d", s.prefix, blocks)
		src := NewSource(1, blocks*s.Block-10, s.Block)
		s.put(t, target, name, src)
		sums := make([][32]byte, blocks)
		for i := range sums {
			sums[i], _ = src.Sum(i)
		}
		same, known, err := c.Compare(s.ctx(t), name, sums)
		if err != nil || s.Checksums && !known || known && !same {
			t.Errorf("%d blocks: same %v, known %v, want %v: %v", blocks, same, known, s.Checksums, err)
		}
		sums[blocks-1][0] ^= 1
		if same, known, err = c.Compare(s.ctx(t), name, sums); err != nil || known && same {
			t.Errorf("%d blocks: other sums are the same: %v", blocks, err)
		}
	}
	_, _, err := c.Compare(s.ctx(t), s.prefix+"nothing", make([][32]byte, 1))
	isMissing(t, "stat", s.prefix+"nothing", err)
}
