package vault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"filippo.io/age"

	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
	"offsite/providers/mem"
)

// A block of largeBlock bytes, which are no multiple of anything, is too large to be held where no more than held bytes are.
const largeBlock, held, part = 320_077, 320_000, 80_000

func newLargeObject(t testing.TB) *object { return newObjectOf(t, 700_005, 3) }

func newObjectOf(t testing.TB, size, blocks int) *object {
	t.Helper()
	o := newObject(t, size)
	o.m.BlockSize, o.m.Blocks = largeBlock, nil
	for b := range slices.Chunk(o.data, largeBlock) {
		o.m.Blocks = append(o.m.Blocks, sha256.Sum256(b))
	}
	if len(o.m.Blocks) != blocks {
		t.Fatal("it is not what it should be")
	}
	return o
}

// largeCopies are copies of which no block is held.
func largeCopies(lines ...*line) vault.Copies {
	c := copies(lines...)
	c.Whole = held
	return c
}

// damage changes one byte of a copy.
func (o *object) damage(l *line, at int) {
	b := bytes.Clone(o.data)
	b[at] ^= 1
	l.Set(o.m.Object, b)
}

// A large block is fetched twice, so that nothing of it is given out before it is proven; and once by who can wait for the end.
func TestALargeBlockIsFetchedTwiceOrNotHeldBack(t *testing.T) {
	o := newLargeObject(t)
	for unproven, times := range map[bool]int64{false: 2, true: 1} {
		l := o.copy()
		c := largeCopies(l)
		c.Unproven = unproven
		got, err := o.read(t.Context(), c)
		if err != nil || !bytes.Equal(got, o.data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if l.given != times*o.m.Stored {
			t.Errorf("unproven %v: %d bytes were fetched of %d", unproven, l.given, o.m.Stored)
		}
	}
}

func TestNothingOfADamagedLargeBlockIsGivenOut(t *testing.T) {
	o := newLargeObject(t)
	bad := o.copy()
	o.damage(bad, 2*largeBlock-5)
	got, err := o.read(t.Context(), largeCopies(bad))
	if !errors.Is(err, vault.ErrIntegrity) || !bytes.Equal(got, o.data[:largeBlock]) {
		t.Fatalf("%d bytes of %d came: %v", len(got), largeBlock, err)
	}
	var told []error
	c := largeCopies(bad, o.copy())
	c.Failed = func(err error) { told = append(told, err) }
	if got, err = o.read(t.Context(), c); err != nil || !bytes.Equal(got, o.data) {
		t.Fatalf("another copy is whole: %d bytes, %v", len(got), err)
	}
	for _, err := range told { // of the block, and of the part of it that was asked for again
		if len(told) != 2 || !errors.Is(err, vault.ErrIntegrity) || !strings.HasPrefix(err.Error(), "target0: ") {
			t.Errorf("told: %v", err)
		}
	}
	c = largeCopies(bad)
	c.Unproven = true
	if got, err = o.read(t.Context(), c); !errors.Is(err, vault.ErrIntegrity) || int64(len(got)) != 2*largeBlock {
		t.Fatalf("unproven: %d bytes, %v", len(got), err)
	}
}

// Two copies that are damaged in different blocks are one whole backup.
func TestLargeBlocksOfSeveralCopiesMakeOneBackup(t *testing.T) {
	o := newLargeObject(t)
	first, second := o.copy(), o.copy()
	o.damage(first, 10)
	o.damage(second, largeBlock+10)
	second.cut = func(_ *line, offset, length int64) (int64, error) {
		if offset == 2*largeBlock {
			return 1000, errReset
		}
		return length, nil
	}
	if got, err := o.read(t.Context(), largeCopies(first, second)); err != nil || !bytes.Equal(got, o.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// A target that gives other bytes when it is asked again gives nobody anything.
func TestALargeBlockThatIsOtherTheSecondTime(t *testing.T) {
	o := newLargeObject(t)
	l := o.copy()
	l.cut = func(l *line, _, length int64) (int64, error) {
		if l.given >= largeBlock { // the block was proven
			o.damage(l, 90_000)
		}
		return length, nil
	}
	got, err := o.read(t.Context(), largeCopies(l))
	if !errors.Is(err, vault.ErrIntegrity) || !bytes.Equal(got, o.data[:len(got)]) || len(got) > 90_000 {
		t.Fatalf("%d bytes came: %v", len(got), err)
	}
}

func TestALargeBlockThatIsHereIsNotFetched(t *testing.T) {
	o := newLargeObject(t)
	l := o.copy()
	c := largeCopies(l)
	c.Have, c.Identities = bytes.NewReader(o.plain[:largeBlock+100_000]), []age.Identity{o.id}
	got, err := o.read(t.Context(), c)
	if err != nil || !bytes.Equal(got, o.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if want := 2*(o.m.Stored-largeBlock) + crypto.HeadSize(o.m.Stored, o.m.Size); l.given != want {
		t.Errorf("%d bytes were fetched, want %d", l.given, want)
	}
}

func TestAReaderOfLargeBlocksIsClosedEarly(t *testing.T) {
	o := newLargeObject(t)
	r := largeCopies(o.copy()).Open(t.Context(), o.m)
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	r.Close() // what is left running shows at the end of all tests
}

// Somebody else's file, sealed for the same recipients, opens without fault: only the signed sums tell it from the host's. Whoever
// takes it before they were compared hears of that before the end, whichever block it is.
func TestAForgedLargeObjectNeverEndsWell(t *testing.T) {
	o := newLargeObject(t)
	for i := range o.m.Blocks {
		o.m.Blocks[i][0] ^= 1
		c := largeCopies(o.copy())
		c.Unproven = true
		var plain bytes.Buffer
		if err := c.WritePlain(t.Context(), o.m, &plain, o.id); !errors.Is(err, vault.ErrIntegrity) {
			t.Errorf("block %d: %d bytes of plaintext, %v", i, plain.Len(), err)
		}
		o.m.Blocks[i][0] ^= 1
	}
	var plain bytes.Buffer
	if err := largeCopies(o.copy()).WritePlain(t.Context(), o.m, &plain, o.id); err != nil || !bytes.Equal(plain.Bytes(), o.plain) {
		t.Errorf("%d bytes, %v", plain.Len(), err)
	}
}

// Whoever cancels gets an error, not the end of the data, also when all of the last block has come.
func TestACancelledReaderOfLargeBlocksDoesNotEnd(t *testing.T) {
	o := newObjectOf(t, 630_000, 2)
	for _, unproven := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c := largeCopies(o.copy())
			c.Unproven = unproven
			r := c.Open(ctx, o.m)
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, largeBlock+1)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			cancel()
			if rest, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
				t.Errorf("unproven %v: %d bytes more, %v", unproven, len(rest), err)
			}
		})
	}
}

// What is copied to another target is proven too, and takes the memory of a part.
func TestALargeBlockIsCopied(t *testing.T) {
	o := newLargeObject(t)
	bad := o.copy()
	o.damage(bad, 2*largeBlock+10)
	taken := int64(0)
	memory := func(_ context.Context, size int64) ([]byte, func(), error) {
		taken += size
		return make([]byte, size), func() { taken -= size }, nil
	}
	src := largeCopies(bad).Source(o.m, memory)
	to := mem.New()
	if err := to.Put(t.Context(), o.m.Object, src); !errors.Is(err, providers.ErrSourceChanged) || !errors.Is(err, vault.ErrIntegrity) {
		t.Fatalf("a damaged block was copied: %v", err)
	}
	src = largeCopies(bad, o.copy()).Source(o.m, memory)
	if err := to.Put(t.Context(), o.m.Object, src); err != nil || !bytes.Equal(to.Objects()[o.m.Object], o.data) {
		t.Fatal(err)
	}
	b, err := src.Block(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if taken > part {
		t.Errorf("a block of %d bytes took %d", largeBlock, taken)
	}
	p := make([]byte, 100_000)
	for _, off := range []int64{part - 50_000, 0, largeBlock - 100_000, 2 * part} {
		if _, err := b.Body.ReadAt(p, off); err != nil || !bytes.Equal(p, o.data[largeBlock+off:][:len(p)]) {
			t.Errorf("at %d: %v", off, err)
		}
	}
	b.Release()
	if taken != 0 {
		t.Errorf("%d bytes were not given back", taken)
	}
}

// fiveTiB is a target with one backup of that size, of zeros, which it makes up when it is read.
type fiveTiB struct {
	providers.Target
	m       *vault.Manifest
	sealing *crypto.Sealing // in blocks of 64 KiB
	given   int64
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

func newFiveTiB(t testing.TB, id *age.X25519Identity) *fiveTiB {
	t.Helper()
	const size = (5116<<30 + 10<<20) / (64<<10 + 16) * (64 << 10) // its last block is short
	s, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, size, crypto.BlockSizeFor(size, crypto.BlockSize))
	if err != nil {
		t.Fatal(err)
	}
	name, err := vault.NewName("host", "shop", taken, "5f3c9a1e", "shop.sql")
	if err != nil {
		t.Fatal(err)
	}
	f := &fiveTiB{m: &vault.Manifest{
		Format: vault.Format, Object: name.String(), Host: name.Host, Series: name.Series, Taken: name.Taken,
		Size: size, Stored: s.Size(), BlockSize: s.BlockSize(), Blocks: make([]vault.Sum, s.Blocks()),
	}}
	// The same file in small blocks, by what docs of Marshal say of its layout.
	state := s.Marshal()
	binary.BigEndian.PutUint64(state[len("offsite sealing 1\n")+8:], 64<<10)
	if f.sealing, err = crypto.ParseSealing(state); err != nil {
		t.Fatal(err)
	}
	last := s.Blocks() - 1
	st, err := s.Stream(t.Context(), zeros{}, last, make([]byte, s.Held(last)), func(int, crypto.Digest) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	f.m.Blocks[last] = st.Sum()
	return f
}

func (f *fiveTiB) Get(ctx context.Context, _ string, offset, length int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(f, offset, length)), nil
}

func (f *fiveTiB) Stat(context.Context, string) (providers.Object, error) {
	return providers.Object{Size: f.m.Stored}, nil
}

// ReadAt makes the ciphertext of any range.
func (f *fiveTiB) ReadAt(p []byte, off int64) (n int, err error) {
	var block [64 << 10]byte
	for n < len(p) && off+int64(n) < f.m.Stored {
		i := (off + int64(n)) / int64(len(block))
		b := block[:min(int64(len(block)), f.m.Stored-i*int64(len(block)))]
		if _, err := f.sealing.Seal(context.Background(), zeros{}, int(i), b, func(int, crypto.Digest) error { return nil }); err != nil {
			return n, err
		}
		n += copy(p[n:], b[off+int64(n)-i*int64(len(block)):])
	}
	f.given += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A dump of 5 TiB: its blocks and its manifest are as large as docs/performance.md says, its last block is proven and copied, and
// stock age reads its first bytes, those in the middle, and its last.
func TestFiveTiB(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	f := newFiveTiB(t, id)
	if f.m.BlockSize != 1<<30 || len(f.m.Blocks) != 5117 {
		t.Errorf("%d blocks of %d", len(f.m.Blocks), f.m.BlockSize)
	}
	if text, err := json.MarshalIndent(f.m, "", " "); err != nil || len(text) > 400<<10 {
		t.Errorf("a manifest of %d bytes, %v", len(text), err)
	}
	plain, size, err := crypto.Open(f, f.m.Stored, id)
	if err != nil || size != f.m.Size {
		t.Fatal(size, err)
	}
	p := make([]byte, 100_000)
	for _, at := range []int64{0, size / 2, size - int64(len(p))} {
		p[0] = 1
		if n, err := plain.ReadAt(p, at); n != len(p) || err != nil && err != io.EOF || !bytes.Equal(p, make([]byte, len(p))) {
			t.Errorf("at %d: %d bytes, %v", at, n, err)
		}
	}
	last := len(f.m.Blocks) - 1
	memory := func(_ context.Context, size int64) ([]byte, func(), error) { return make([]byte, size), func() {}, nil }
	b, err := vault.Copies{Vaults: []*vault.Vault{vault.New(f, nil)}}.Source(f.m, memory).Block(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b.Body); err != nil || vault.Sum(sha256.Sum256(got)) != f.m.Blocks[last] {
		t.Errorf("the last block: %d bytes, %v", len(got), err)
	}
	b.Release()
	f.m.Blocks[last][0] ^= 1
	if _, err := (vault.Copies{Vaults: []*vault.Vault{vault.New(f, nil)}}).Source(f.m, memory).Block(t.Context(), last); !errors.Is(err, vault.ErrIntegrity) {
		t.Error("a wrong last block:", err)
	}
}
