package crypto_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"offsite/crypto"
)

// stream makes block i, or fails the test.
func stream(t testing.TB, s *crypto.Sealing, src io.ReaderAt, i int, record crypto.Record) *crypto.Stream {
	t.Helper()
	if err := s.Await(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	st, err := s.Stream(t.Context(), src, i, make([]byte, s.Held(i)), record)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A block that is made anew for each reading is the block that Seal makes, at every offset, and so is its sum.
func TestAStreamIsTheBlock(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 200000), rapid.SampledFrom(edges)).Draw(rt, "size")
		block := rapid.OneOf(rapid.Int64Range(5000, 300000), rapid.SampledFrom([]int64{65536, 65552, 131104})).Draw(rt, "block")
		plain := pattern(n)
		s, _ := newSealing(t, int64(n), block)
		file := sealAll(t, s, bytes.NewReader(plain), nil)
		fresh, err := crypto.ParseSealing(s.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Blocks() {
			want := blockOf(s, file, i)
			for _, s := range []*crypto.Sealing{s, fresh} { // its digest is known, and is made
				st := stream(t, s, bytes.NewReader(plain), i, noRecord)
				if st.Sum() != sha256.Sum256(want) || st.Size() != int64(len(want)) {
					rt.Fatalf("block %d: %d bytes of %d, or another sum", i, st.Size(), len(want))
				}
				for range 3 {
					off := rapid.IntRange(0, len(want)).Draw(rt, "offset")
					p := make([]byte, rapid.IntRange(0, 100000).Draw(rt, "length"))
					got, err := st.ReadAt(p, int64(off))
					if short := off+len(p) > len(want); short != (err == io.EOF) || err != nil && !short {
						rt.Fatalf("block %d, %d bytes at %d: %v", i, len(p), off, err)
					}
					if !bytes.Equal(p[:got], want[off:min(off+len(p), len(want))]) {
						rt.Fatalf("block %d, %d bytes at %d differ", i, len(p), off)
					}
				}
				st.Close()
			}
		}
	})
}

func TestAStreamIsReadInParallel(t *testing.T) {
	plain := pattern(1 << 20)
	s, _ := newSealing(t, 1<<20, 1<<30)
	file := sealAll(t, s, bytes.NewReader(plain), nil)
	st := stream(t, s, bytes.NewReader(plain), 0, noRecord)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			got, err := io.ReadAll(io.NewSectionReader(st, int64(g), st.Size()))
			if err != nil || !bytes.Equal(got, file[g:]) {
				t.Error(g, err)
			}
		})
	}
	wg.Wait()
}

// One file key, one plaintext: a source that changes between the digest and the reading gives nothing of what changed, to
// nobody, from then on.
func TestAStreamOfAnotherPlaintextGivesNothing(t *testing.T) {
	plain := pattern(500000)
	s, _ := newSealing(t, 500000, 300000)
	file := sealAll(t, s, bytes.NewReader(bytes.Clone(plain)), nil)
	st := stream(t, s, bytes.NewReader(plain), 0, noRecord)
	p := make([]byte, 100000)
	if n, err := st.ReadAt(p, 0); n != len(p) || err != nil {
		t.Fatal(n, err)
	}
	plain[200000] ^= 1
	p = make([]byte, 300000)
	n, err := st.ReadAt(p, 0)
	if !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatalf("%v", err)
	}
	if n > 200000 || !bytes.Equal(p[:n], file[:n]) || !bytes.Equal(p[n:], make([]byte, len(p)-n)) {
		t.Fatalf("%d bytes came, or something after them", n)
	}
	plain[200000] ^= 1
	if n, err := st.ReadAt(p, 299000); n != 0 || !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatalf("a spoilt sealing gave %d bytes: %v", n, err)
	}
	if _, err := s.Seal(t.Context(), bytes.NewReader(plain), 1, make([]byte, s.Size()-300000), noRecord); !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatalf("a spoilt sealing sealed: %v", err)
	}
}

func TestAStreamComparesWhatIsKnown(t *testing.T) {
	plain := pattern(500000)
	s, _ := newSealing(t, 500000, 300000)
	sealAll(t, s, bytes.NewReader(plain), nil)
	plain[10] ^= 1
	_, err := s.Stream(t.Context(), bytes.NewReader(plain), 0, make([]byte, s.Held(0)), noRecord)
	if !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatal(err)
	}
	short, _ := newSealing(t, 500000, 300000)
	if _, err := short.Stream(t.Context(), bytes.NewReader(plain[:400000]), 1, make([]byte, s.Held(1)), noRecord); !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatal("a source that is too short:", err)
	}
}

func TestADigestIsRecordedBeforeAStreamIsThere(t *testing.T) {
	plain := pattern(100000)
	s, _ := newSealing(t, 100000, 50000)
	full := errors.New("disk full")
	if st, err := s.Stream(t.Context(), bytes.NewReader(plain), 0, make([]byte, s.Held(0)), func(int, crypto.Digest) error { return full }); st != nil || !errors.Is(err, full) {
		t.Fatal(st, err)
	}
	if _, known := s.Digest(0); known {
		t.Fatal("a digest that was not recorded is known")
	}
	var recorded crypto.Digest
	stream(t, s, bytes.NewReader(plain), 0, func(_ int, d crypto.Digest) error { recorded = d; return nil })
	p := make([]byte, 50000)
	again, _ := crypto.ParseSealing(s.Marshal())
	again.Restore(0, recorded)
	if _, err := again.Seal(t.Context(), bytes.NewReader(plain), 0, p, noRecord); err != nil || sha256.Sum256(p) != recorded.Sum {
		t.Fatal("Seal has another digest:", err)
	}
}

// A closed stream gives nothing: its memory is another block's.
func TestAClosedStreamGivesNothing(t *testing.T) {
	s, _ := newSealing(t, 1000, 500)
	st := stream(t, s, bytes.NewReader(pattern(1000)), 0, noRecord)
	st.ReadAt(make([]byte, 10), 0)
	st.Close()
	if n, err := st.ReadAt(make([]byte, 10), 0); n != 0 || err == nil {
		t.Fatal(n, err)
	}
}

// flaky fails the reads from the n-th on, as long as it is set.
type flaky struct {
	io.ReaderAt
	reads, from atomic.Int64
}

var errDisk = errors.New("disk read error")

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	if n := f.from.Load(); n > 0 && f.reads.Add(1) >= n {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(p, off)
}

// The tap sees the plaintext once and in order when blocks are asked for several at a time, are broken off in the middle,
// and are asked for again; and nothing is read once more for it.
func TestTheTapFollowsStreams(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 600000).Draw(rt, "size")
		block := rapid.Int64Range(10000, 300000).Draw(rt, "block")
		plain := pattern(n)
		s, _ := newSealing(t, int64(n), block)
		var seen bytes.Buffer
		s.Tap(&seen)
		src := &flaky{ReaderAt: bytes.NewReader(plain)}
		src.from.Store(rapid.Int64Range(1, 15).Draw(rt, "fails"))
		ahead := rapid.IntRange(1, 4).Draw(rt, "parallel")
		for try := 0; ; try++ {
			if try == 1 {
				src.from.Store(0)
			}
			err := putStreams(t.Context(), s, src, ahead)
			if err == nil {
				break
			}
			if try > 0 || !errors.Is(err, errDisk) {
				rt.Fatal(err)
			}
		}
		if !bytes.HasPrefix(plain, seen.Bytes()) {
			rt.Fatalf("the tap saw other bytes, or some twice: %d", seen.Len())
		}
		if err := s.Drain(t.Context(), bytes.NewReader(plain), noRecord); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(seen.Bytes(), plain) {
			rt.Fatalf("the tap saw %d bytes of %d, or others", seen.Len(), n)
		}
	})
}

// putStreams asks for all blocks as a Put does: in order, several at a time, and for no more after one has failed.
func putStreams(ctx context.Context, s *crypto.Sealing, src io.ReaderAt, ahead int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range ahead {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < s.Blocks(); i = int(next.Add(1)) - 1 {
				err := s.Await(ctx, i)
				if err == nil {
					_, err = s.Stream(ctx, src, i, make([]byte, s.Held(i)), noRecord)
				}
				if err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

// Four blocks are asked for at once, and the tap misses nothing: a dump of terabytes is not read a third time.
func TestStreamsInParallelNeedNoDrain(t *testing.T) {
	plain := pattern(1 << 20)
	for range 5 {
		s, _ := newSealing(t, 1<<20, 100000)
		var seen bytes.Buffer
		s.Tap(&seen)
		if err := putStreams(t.Context(), s, bytes.NewReader(plain), 4); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(seen.Bytes(), plain) {
			t.Fatalf("the tap saw %d bytes of %d before Drain", seen.Len(), len(plain))
		}
	}
}

// What the tap saw of a block that was broken off must be what is sealed in the end.
func TestATapThatSawOtherBytesIsNoticed(t *testing.T) {
	plain := pattern(600000)
	s, _ := newSealing(t, 600000, 500000)
	s.Tap(io.Discard)
	src := &flaky{ReaderAt: bytes.NewReader(plain)}
	src.from.Store(4)
	if _, err := s.Stream(t.Context(), src, 0, make([]byte, s.Held(0)), noRecord); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	plain[70000] ^= 1
	if _, err := s.Stream(t.Context(), bytes.NewReader(plain), 0, make([]byte, s.Held(0)), noRecord); !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatal(err)
	}
}

// zeros is a source of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, off int64) (int, error) { clear(p); return len(p), nil }

// A block is held as the tags of its chunks, a 4096th of it, and nothing more comes as it is made and read.
func TestAStreamIsNotHeld(t *testing.T) {
	const size = 16 << 20
	s, _ := newSealing(t, size, size)
	tags := make([]byte, s.Held(0))
	if len(tags) > size/4000 {
		t.Fatalf("%d bytes are held", len(tags))
	}
	piece := make([]byte, 32<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	st, err := s.Stream(t.Context(), zeros{}, 0, tags, noRecord)
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < st.Size(); off += int64(len(piece)) {
		if _, err := st.ReadAt(piece, off); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 300<<10 { // two windows, since the race detector lets pools forget
		t.Fatalf("a block of %d bytes allocated %d", size, used)
	}
}
