package vault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers"
	"offsite/providers/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const block = 3000

// object is a sealed dump of which several targets have a copy.
type object struct {
	m           *vault.Manifest
	plain, data []byte
	id          *age.X25519Identity
}

func newObject(t testing.TB, size int) *object {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	name, err := vault.NewName("host", "shop", taken, "5f3c9a1e", "shop.sql")
	if err != nil {
		t.Fatal(err)
	}
	o := &object{id: id, plain: make([]byte, size)}
	rand.NewChaCha8([32]byte{byte(size)}).Read(o.plain)
	if o.data, err = crypto.SealBytes([]age.Recipient{id.Recipient()}, o.plain); err != nil {
		t.Fatal(err)
	}
	o.m = &vault.Manifest{Format: vault.Format, Object: name.String(), Size: int64(size), Stored: int64(len(o.data)), BlockSize: block}
	for at := 0; at < len(o.data); at += block {
		o.m.Blocks = append(o.m.Blocks, sha256.Sum256(o.data[at:min(at+block, len(o.data))]))
	}
	return o
}

// line is the way to a copy: it counts what comes, and breaks off as it is told.
type line struct {
	*mem.Target
	mu    sync.Mutex
	given int64
	gets  int
	// cut says after how many of the bytes of a Get the connection ends, and why; nil: it does not.
	cut func(l *line, offset, length int64) (after int64, why error)
}

var errReset = errors.New("connection reset by peer")

func (o *object) copy() *line {
	l := &line{Target: mem.New()}
	l.Set(o.m.Object, o.data)
	return l
}

func (l *line) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gets++
	after, why := length, error(nil)
	if l.cut != nil {
		if after, why = l.cut(l, offset, length); why != nil && after == 0 {
			return nil, why
		}
	}
	r, err := l.Target.Get(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	b, _ := io.ReadAll(r)
	b = b[:min(after, int64(len(b)))]
	l.given += int64(len(b))
	if why == nil {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b), failing{why})), nil
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func copies(lines ...*line) (c vault.Copies) {
	for i, l := range lines {
		c.Vaults, c.Names = append(c.Vaults, vault.New(l, nil)), append(c.Names, fmt.Sprint("target", i))
	}
	return c
}

func (o *object) read(ctx context.Context, c vault.Copies) ([]byte, error) {
	r := c.Open(ctx, o.m)
	defer r.Close()
	return io.ReadAll(r)
}

// dies after so many bytes, in the middle of a block or not, and stays dead.
func dies(after int64) func(*line, int64, int64) (int64, error) {
	return func(l *line, _, length int64) (int64, error) {
		if left := after - l.given; left < length {
			return max(0, left), errReset
		}
		return length, nil
	}
}

// One target dies at any byte: the other goes on there, and nothing is fetched twice.
func TestAnotherCopyGoesOnWhereOneDied(t *testing.T) {
	o := newObject(t, 200_000)
	rapid.Check(t, func(t *rapid.T) {
		first, second := o.copy(), o.copy()
		first.cut = dies(rapid.Int64Range(0, o.m.Stored).Draw(t, "after"))
		c := copies(first, second)
		var told []error
		c.Failed = func(err error) { told = append(told, err) }
		got, err := o.read(context.Background(), c)
		if err != nil || !bytes.Equal(got, o.data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if first.given+second.given != o.m.Stored {
			t.Fatalf("%d bytes fetched of %d", first.given+second.given, o.m.Stored)
		}
		if first.given < o.m.Stored && (len(told) != 1 || !strings.HasPrefix(told[0].Error(), "target0: ") || !errors.Is(told[0], errReset)) {
			t.Fatalf("told %q", told)
		}
		if first.gets > len(o.m.Blocks)+4 {
			t.Fatalf("the dead one was asked %d times", first.gets)
		}
	})
}

// What may be wrong with one block on one target.
const (
	good = iota
	damaged
	short   // the connection ends as if the object did
	flaky   // breaks off once, in the middle
	denied  //
	dead    // breaks off always
	garbled // breaks off after wrong bytes, always
	states
)

// Whatever fails where, as long as each block is good on one target: what comes out is what was sealed. A part of the
// dump that is here already, damaged or not, changes nothing of that.
func TestOneGoodCopyOfEachBlockIsEnough(t *testing.T) {
	o := newObject(t, 80_000)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "targets")
		var lines []*line
		state := make([][]int, n)
		for c := range n {
			state[c] = rapid.SliceOfN(rapid.IntRange(0, states-1), len(o.m.Blocks), len(o.m.Blocks)).Draw(rt, "states")
			lines = append(lines, o.copy())
		}
		for b := range o.m.Blocks {
			state[rapid.IntRange(0, n-1).Draw(rt, "good")][b] = rapid.SampledFrom([]int{good, flaky}).Draw(rt, "how")
		}
		for c, l := range lines {
			o.spoil(l, state[c])
		}
		c := copies(lines...)
		if rapid.Bool().Draw(rt, "resume") {
			have := bytes.Clone(o.plain[:rapid.IntRange(0, len(o.plain)).Draw(rt, "have")])
			if len(have) > 0 {
				have[rapid.IntRange(0, len(have)-1).Draw(rt, "flip")] ^= byte(rapid.IntRange(0, 1).Draw(rt, "bit"))
			}
			c.Have, c.Identities = bytes.NewReader(have), []age.Identity{o.id}
		}
		var got []byte
		var err error
		synctest.Test(t, func(t *testing.T) { got, err = o.read(t.Context(), c) })
		if err != nil || !bytes.Equal(got, o.data) {
			rt.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}

// spoil makes a copy as the states of its blocks say.
func (o *object) spoil(l *line, state []int) {
	data, broke := bytes.Clone(o.data), map[int64]bool{}
	for b, s := range state {
		if s == damaged || s == garbled {
			data[b*block] ^= 1
		}
	}
	l.Set(o.m.Object, data)
	l.cut = func(_ *line, offset, length int64) (int64, error) {
		switch b := offset / block; state[b] {
		case short:
			return length / 2, nil
		case denied:
			return 0, fs.ErrPermission
		case dead, garbled:
			return length / 3, errReset
		case flaky:
			if !broke[b] {
				broke[b] = true
				return length / 2, errReset
			}
		}
		return length, nil
	}
}

// A block that is good nowhere is an error that names what is wrong everywhere, and what came before it came out.
func TestABlockThatIsGoodNowhere(t *testing.T) {
	o := newObject(t, 80_000)
	first, second := o.copy(), o.copy()
	for i, l := range []*line{first, second} {
		b := bytes.Clone(o.data)
		b[20*block+i] ^= 1
		l.Set(o.m.Object, b)
	}
	got, err := o.read(t.Context(), copies(first, second))
	if !errors.Is(err, vault.ErrIntegrity) || !strings.Contains(err.Error(), "target0: ") || !strings.Contains(err.Error(), "target1: ") || !strings.Contains(err.Error(), "block 20 ") {
		t.Error(err)
	}
	if !bytes.HasPrefix(o.data, got) || len(got) > 20*block {
		t.Errorf("%d bytes", len(got))
	}
}

// A damaged copy gives its other blocks, until it is clear that it is no good; and each damage is told.
func TestADamagedCopyIsAskedLastInTheEnd(t *testing.T) {
	o := newObject(t, 80_000)
	for _, bad := range []int{1, 2, 20} {
		first, second := o.copy(), o.copy()
		b := bytes.Clone(o.data)
		for i := range bad {
			b[i*block] ^= 1
		}
		first.Set(o.m.Object, b)
		c, told := copies(first, second), 0
		c.Failed = func(error) { told++ }
		if got, err := o.read(t.Context(), c); err != nil || !bytes.Equal(got, o.data) {
			t.Fatal(err)
		}
		blocks := len(o.m.Blocks)
		if bad < 3 && (second.gets != bad || told != bad) || bad == 20 && (second.gets < blocks-7 || told > 7) {
			t.Errorf("%d damaged: the other gave %d of %d, told of %d", bad, second.gets, blocks, told)
		}
	}
}

// The only target, over a line that breaks off again and again: every byte is fetched once.
func TestABrokenDownloadGoesOn(t *testing.T) {
	o := newObject(t, 80_000)
	synctest.Test(t, func(t *testing.T) {
		l := o.copy()
		l.cut = func(_ *line, _, length int64) (int64, error) { return min(length, block/2), errReset }
		if got, err := o.read(t.Context(), copies(l)); err != nil || !bytes.Equal(got, o.data) {
			t.Fatal(err)
		}
		if l.given != o.m.Stored {
			t.Errorf("%d bytes fetched of %d", l.given, o.m.Stored)
		}
	})
}

// Some errors go away, and some do not: only the former are waited for, and not for ever.
func TestWaitingHasAnEnd(t *testing.T) {
	o := newObject(t, 80_000)
	for why, want := range map[error]struct {
		from, to time.Duration
		gets     int
	}{
		errReset:               {time.Minute, 80 * time.Second, 4 * 7},
		providers.ErrCorrupt:   {time.Minute, 80 * time.Second, 4 * 7},
		fs.ErrPermission:       {0, 0, 4},
		providers.ErrPermanent: {0, 0, 4},
		fs.ErrNotExist:         {0, 0, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, begin := o.copy(), time.Now()
			l.cut = func(*line, int64, int64) (int64, error) { return 0, why }
			c, told := copies(l), 0
			c.Failed = func(error) { told++ }
			_, err := o.read(t.Context(), c)
			took := time.Since(begin)
			if !errors.Is(err, why) && !errors.Is(err, vault.ErrIntegrity) || took < want.from || took > want.to || l.gets > want.gets || told != 1 {
				t.Errorf("%v: %v after %v, %d calls, told %d times", why, err, took, l.gets, told)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		l := o.copy()
		l.cut = func(*line, int64, int64) (int64, error) { return 0, errReset }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := o.read(ctx, copies(l)); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// What is here already is not fetched, but for its damage.
func TestWhatIsHereIsNotFetched(t *testing.T) {
	o := newObject(t, 500_000)
	head := crypto.HeadSize(o.m.Stored, o.m.Size)
	for name, test := range map[string]struct {
		have  []byte
		fetch int64 // blocks at most
	}{
		"all":     {o.plain, 0},
		"more":    {append(bytes.Clone(o.plain), 1, 2, 3), 0},
		"half":    {o.plain[:250_000], int64(len(o.m.Blocks)) - 250_000/(block+66) + 22}, // the last chunk has 64 KiB
		"nothing": {nil, int64(len(o.m.Blocks))},
		"zeros":   {make([]byte, 500_000), int64(len(o.m.Blocks))},
	} {
		l := o.copy()
		c := copies(l)
		c.Have, c.Identities = bytes.NewReader(test.have), []age.Identity{o.id}
		if got, err := o.read(t.Context(), c); err != nil || !bytes.Equal(got, o.data) {
			t.Fatal(err)
		}
		if l.given > head+test.fetch*block {
			t.Errorf("%s: %d bytes fetched, at most %d blocks expected", name, l.given, test.fetch)
		}
	}
	stranger, _ := age.GenerateX25519Identity()
	c := copies(o.copy())
	c.Have, c.Identities = bytes.NewReader(o.plain), []age.Identity{stranger}
	if got, err := o.read(t.Context(), c); err != nil || !bytes.Equal(got, o.data) {
		t.Errorf("with a key that does not open it: %v", err)
	}
}
