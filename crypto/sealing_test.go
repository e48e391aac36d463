package crypto_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"offsite/crypto"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func x25519(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newSealing(t testing.TB, plain, block int64) (*crypto.Sealing, age.Identity) {
	t.Helper()
	id := x25519(t)
	s, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, plain, block)
	if err != nil {
		t.Fatal(err)
	}
	return s, id
}

func noRecord(int, crypto.Digest) error { return nil }

// sealAll seals every block, in the order given or ascending, and checks the sums.
func sealAll(t testing.TB, s *crypto.Sealing, src io.ReaderAt, order []int) []byte {
	t.Helper()
	out := make([]byte, s.Size())
	if order == nil {
		for i := range s.Blocks() {
			order = append(order, i)
		}
	}
	for _, i := range order {
		p := blockOf(s, out, i)
		sum, err := s.Seal(t.Context(), src, i, p, noRecord)
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		if sum != sha256.Sum256(p) {
			t.Fatalf("block %d: wrong sum", i)
		}
	}
	return out
}

func blockOf(s *crypto.Sealing, file []byte, i int) []byte {
	off := int64(i) * s.BlockSize()
	return file[off:min(off+s.BlockSize(), int64(len(file)))]
}

var edges = []int{0, 1, 1000, 64<<10 - 1, 64 << 10, 64<<10 + 1, 2 * 64 << 10, 300000, 1<<20 + 17}

func TestAgeOpensWhatWeSeal(t *testing.T) {
	for _, n := range edges {
		for _, block := range []int64{7, 200, 65536, 65552, 100000, 1 << 20} {
			if int64(n)/block > 5000 {
				continue
			}
			plain := pattern(n)
			s, id := newSealing(t, int64(n), block)
			file := sealAll(t, s, bytes.NewReader(plain), nil)
			r, err := age.Decrypt(bytes.NewReader(file), id)
			if err != nil {
				t.Fatalf("size %d block %d: %v", n, block, err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("size %d block %d: %v, %d bytes", n, block, err, len(got))
			}
		}
	}
}

func TestTwoSealingsNeverShareAKey(t *testing.T) {
	id := x25519(t)
	seen := map[string]bool{}
	for range 50 {
		s, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if state := string(s.Marshal()); seen[state] {
			t.Fatal("a sealing came twice")
		} else {
			seen[state] = true
		}
	}
}

func TestARestartMakesTheSameFile(t *testing.T) {
	plain := pattern(500000)
	s, _ := newSealing(t, 500000, 70000)
	digests := map[int]crypto.Digest{}
	first := make([]byte, s.Size())
	for i := range s.Blocks() {
		if _, err := s.Seal(t.Context(), bytes.NewReader(plain), i, blockOf(s, first, i), func(i int, d crypto.Digest) error {
			digests[i] = d
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	again, err := crypto.ParseSealing(s.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range digests {
		b, _ := d.MarshalBinary()
		var back crypto.Digest
		if err := back.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		again.Restore(i, back)
	}
	if second := sealAll(t, again, bytes.NewReader(plain), nil); !bytes.Equal(first, second) {
		t.Fatal("the file differs after a restart")
	}
}

func TestManyGoroutinesMakeTheSameFileAsOne(t *testing.T) {
	plain := pattern(3 << 20)
	s, _ := newSealing(t, 3<<20, 100000)
	one := sealAll(t, s, bytes.NewReader(plain), nil)
	again, err := crypto.ParseSealing(s.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	many := make([]byte, s.Size())
	var wg sync.WaitGroup
	for i := range s.Blocks() {
		wg.Go(func() {
			if _, err := again.Seal(t.Context(), bytes.NewReader(plain), i, blockOf(s, many, i), noRecord); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(one, many) {
		t.Fatal("parallel sealing gives another file")
	}
}

// One byte changes between two seals of a block: nothing of the second may get out.
func TestAChangedSourceGivesNoCiphertext(t *testing.T) {
	for _, change := range []int{0, 65535, 65536, 99999, 150000} {
		plain := pattern(200000)
		s, _ := newSealing(t, 200000, 100000)
		sealAll(t, s, bytes.NewReader(plain), nil)
		plain[change] ^= 1
		refused := 0
		for i := range s.Blocks() {
			p := bytes.Repeat([]byte{1}, len(blockOf(s, make([]byte, s.Size()), i)))
			_, err := s.Seal(t.Context(), bytes.NewReader(plain), i, p, noRecord)
			if err == nil {
				continue
			}
			if !errors.Is(err, crypto.ErrSourceChanged) {
				t.Fatal(err)
			}
			if !bytes.Equal(p, make([]byte, len(p))) {
				t.Fatal("ciphertext of a changed source got out")
			}
			refused++
		}
		if refused == 0 {
			t.Fatalf("change at %d was not seen", change)
		}
		if _, err := s.Seal(t.Context(), bytes.NewReader(plain), 0, make([]byte, 100000), noRecord); !errors.Is(err, crypto.ErrSourceChanged) {
			t.Fatal("the sealing is used on after a change:", err)
		}
	}
}

func TestAShorterSourceHasChanged(t *testing.T) {
	s, _ := newSealing(t, 200000, 1<<20)
	_, err := s.Seal(t.Context(), bytes.NewReader(pattern(199999)), 0, make([]byte, s.Size()), noRecord)
	if !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatal(err)
	}
}

func TestNothingLeavesBeforeItsDigestIsDurable(t *testing.T) {
	s, _ := newSealing(t, 1000, 1<<20)
	full := errors.New("disk full")
	p := bytes.Repeat([]byte{1}, int(s.Size()))
	_, err := s.Seal(t.Context(), bytes.NewReader(pattern(1000)), 0, p, func(int, crypto.Digest) error { return full })
	if !errors.Is(err, full) {
		t.Fatal(err)
	}
	if !bytes.Equal(p, make([]byte, len(p))) {
		t.Fatal("ciphertext got out without a digest")
	}
	if _, known := s.Digest(0); known {
		t.Fatal("a digest that is not durable counts")
	}
}

func TestABlockIsRecordedOnceHoweverManySealIt(t *testing.T) {
	s, _ := newSealing(t, 300000, 1<<20)
	var mu sync.Mutex
	records := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := s.Seal(t.Context(), bytes.NewReader(pattern(300000)), 0, make([]byte, s.Size()), func(int, crypto.Digest) error {
				mu.Lock()
				defer mu.Unlock()
				records++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if records != 1 {
		t.Fatalf("%d records", records)
	}
}

func TestErasedSealingSealsNothing(t *testing.T) {
	s, _ := newSealing(t, 10, 1<<20)
	s.Erase()
	if _, err := s.Seal(t.Context(), bytes.NewReader(pattern(10)), 0, make([]byte, s.Size()), noRecord); err == nil {
		t.Fatal("sealed without a key")
	}
	if !bytes.Contains(s.Marshal(), make([]byte, 16)) {
		t.Fatal("the key is still there")
	}
}

// The tap sees the plaintext once and in order, whatever blocks are sealed in whatever order, and Drain brings the rest.
func TestTheTapSeesAllOfThePlaintext(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 400000).Draw(rt, "size")
		block := rapid.Int64Range(5000, 200000).Draw(rt, "block")
		plain := pattern(n)
		s, _ := newSealing(t, int64(n), block)
		var seen bytes.Buffer
		s.Tap(&seen)
		order := make([]int, s.Blocks())
		for i := range order {
			order[i] = i
		}
		order = rapid.Permutation(order).Draw(rt, "order")[:rapid.IntRange(0, len(order)).Draw(rt, "sealed")]
		var wg sync.WaitGroup
		slots := make(chan struct{}, rapid.IntRange(1, 4).Draw(rt, "parallel"))
		for _, i := range order {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if _, err := s.Seal(t.Context(), bytes.NewReader(plain), i, make([]byte, min(block, s.Size()-int64(i)*block)), noRecord); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := s.Drain(t.Context(), bytes.NewReader(plain), noRecord); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(seen.Bytes(), plain) {
			rt.Fatalf("the tap saw %d bytes of %d, or others", seen.Len(), n)
		}
	})
}

// Two targets share a sealing: one has all of it and drains the tap while the other still seals.
func TestDrainWhileOthersSeal(t *testing.T) {
	plain := pattern(2 << 20)
	s, _ := newSealing(t, 2<<20, 100000)
	var seen bytes.Buffer
	s.Tap(&seen)
	var wg sync.WaitGroup
	for i := range s.Blocks() {
		wg.Go(func() {
			if _, err := s.Seal(t.Context(), bytes.NewReader(plain), i, make([]byte, min(100000, s.Size()-int64(i)*100000)), noRecord); err != nil {
				t.Error(err)
			}
		})
	}
	if err := s.Drain(t.Context(), bytes.NewReader(plain), noRecord); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(seen.Bytes(), plain) {
		t.Errorf("the tap saw %d bytes", seen.Len())
	}
	wg.Wait()
}

func TestBlocksInOrderNeedNoSecondReading(t *testing.T) {
	plain := pattern(1 << 20)
	s, _ := newSealing(t, 1<<20, 100000)
	var seen bytes.Buffer
	s.Tap(&seen)
	sealAll(t, s, bytes.NewReader(plain), nil)
	if !bytes.Equal(seen.Bytes(), plain) {
		t.Fatal("the tap has not seen everything before Drain")
	}
}

// Blocks that several senders ask for come a little out of order. Those that were too early are read a second time, and
// nothing else is.
func TestBlocksOutOfOrderAreReadAgainAlone(t *testing.T) {
	const block = 100000
	plain := pattern(3 << 20)
	for _, c := range []struct {
		name  string
		swaps int // pairs of neighbours that change places, from the first on
		again int // bytes that may be read twice
	}{{"the first two", 1, 2 * block}, {"the first six", 3, 6 * block}} {
		s, _ := newSealing(t, int64(len(plain)), block)
		order := make([]int, s.Blocks())
		for i := range order {
			order[i] = i
		}
		for i := range c.swaps {
			order[2*i], order[2*i+1] = order[2*i+1], order[2*i]
		}
		var seen bytes.Buffer
		s.Tap(&seen)
		src := &readCounter{ReaderAt: bytes.NewReader(plain)}
		sealAll(t, s, src, order)
		if err := s.Drain(t.Context(), src, noRecord); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(seen.Bytes(), plain) {
			t.Errorf("%s: the tap saw %d bytes", c.name, seen.Len())
		}
		once := len(plain) + 2*(64<<10)*s.Blocks() // chunks lie across the edges of blocks
		if int(src.read) > once+2*c.again {
			t.Errorf("%s: %d bytes were read of %d", c.name, src.read, len(plain))
		}
	}
}

// readCounter counts the bytes that are read. It is for one reader at a time.
type readCounter struct {
	io.ReaderAt
	read int64
}

func (r *readCounter) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	r.read += int64(n)
	return n, err
}

func TestDrainAndVerifySeeAChange(t *testing.T) {
	plain := pattern(300000)
	s, _ := newSealing(t, 300000, 100000)
	s.Tap(io.Discard)
	sealAll(t, s, bytes.NewReader(plain), []int{2, 1})
	if err := s.Verify(t.Context(), bytes.NewReader(plain)); !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatal("verified a block that was never sealed:", err)
	}
	s, _ = newSealing(t, 300000, 100000)
	s.Tap(io.Discard)
	sealAll(t, s, bytes.NewReader(plain), []int{2, 1})
	plain[150000] ^= 1
	if err := s.Drain(t.Context(), bytes.NewReader(plain), noRecord); !errors.Is(err, crypto.ErrSourceChanged) {
		t.Fatal(err)
	}
}

func TestBlockSizeKeepsUnderTenThousandBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 50<<40).Draw(t, "size")
		block := crypto.BlockSizeFor(size, crypto.BlockSize)
		many := size/block > 10000 && block < crypto.LargestBlock
		if block < 16<<20 || block > crypto.LargestBlock || many || block&(block-1) != 0 {
			t.Fatalf("%d bytes in blocks of %d", size, block)
		}
	})
	if b := crypto.BlockSizeFor(150<<30, crypto.BlockSize); b != 16<<20 {
		t.Fatalf("150 GiB in blocks of %d", b)
	}
}

func TestSealCanBeCancelledWhileItWaits(t *testing.T) {
	s, _ := newSealing(t, 10, 1<<20)
	entered, release := make(chan struct{}), make(chan struct{})
	go s.Seal(context.Background(), bytes.NewReader(pattern(10)), 0, make([]byte, s.Size()), func(int, crypto.Digest) error {
		close(entered)
		<-release
		return nil
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Seal(ctx, bytes.NewReader(pattern(10)), 0, make([]byte, s.Size()), noRecord)
	close(release)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func FuzzParseSealing(f *testing.F) {
	s, _ := newSealing(f, 12345, 1<<20)
	f.Add(s.Marshal())
	f.Add([]byte("offsite sealing 1\n"))
	f.Add(slices.Concat(s.Marshal()[:40], []byte("garbage")))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := crypto.ParseSealing(b)
		if err == nil && !bytes.Equal(s.Marshal(), b) {
			t.Fatalf("%q parses but marshals to %q", b, s.Marshal())
		}
	})
}
