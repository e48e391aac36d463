package multipart_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"offsite/providers"
	"offsite/providers/multipart"
	"offsite/providers/targettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key    = "prefix/object"
	block  = 100
	blocks = 8
)

func source(seed byte) *targettest.Source {
	return targettest.NewSource(seed, blocks*block-1, block)
}

func put(t *testing.T, f *fake, src providers.Source) error {
	t.Helper()
	return multipart.Put(t.Context(), f, key, src, multipart.Retention{})
}

// holds says whether the store has exactly src, and nothing unfinished.
func (f *fake) holds(t *testing.T, src *targettest.Source) {
	t.Helper()
	if !bytes.Equal(f.objects[key].bytes, src.Bytes()) {
		t.Errorf("the object has %d bytes, want %d, or others", len(f.objects[key].bytes), src.Size())
	}
	if len(f.uploads) > 0 {
		t.Errorf("left: %v", f.uploads)
	}
}

// interrupted is a store in which a Put of src has got as far as three parts.
func interrupted(t *testing.T, src *targettest.Source) *fake {
	t.Helper()
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.before = func(op string, n int) error {
		if op == "part" && n > 3 {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	if err := multipart.Put(ctx, f, key, src, multipart.Retention{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	f.before = nil
	return f
}

func TestCancelKeepsTheUploadAndTheNextPutGoesOn(t *testing.T) {
	f := interrupted(t, source(1))
	if len(f.uploads) != 1 || len(f.objects) != 0 || f.calls["abort"] > 0 {
		t.Errorf("%d uploads, %d objects, %d aborts", len(f.uploads), len(f.objects), f.calls["abort"])
	}
	again := source(1)
	if err := put(t, f, again); err != nil {
		t.Fatal(err)
	}
	f.holds(t, again)
	if len(f.sent) != blocks || again.Made() != blocks-3 || f.calls["create"] != 1 {
		t.Errorf("sent %v in %d uploads", f.sent, f.calls["create"])
	}
}

// What an earlier try left proves nothing until it is compared.
func TestWrongPartsAreSentAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(*stored)
		again  int
	}{
		{"size", func(p *stored) { p.about.Size-- }, 1},
		{"checksum", func(p *stored) { p.about.SHA256[5]++ }, 1},
		{"no checksum and another MD5", func(p *stored) { p.about.SHA256, p.about.ETag = [32]byte{}, `"00000000000000000000000000000000"` }, 1},
		{"no checksum and no MD5", func(p *stored) { p.about.SHA256, p.about.ETag = [32]byte{}, `"made up"` }, 1},
		{"no checksum and the right MD5", func(p *stored) { p.about.SHA256 = [32]byte{} }, 0},
		{"a number beyond the last", func(p *stored) { p.about.Number = blocks + 1 }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := interrupted(t, source(1))
			var damaged int
			for _, u := range f.uploads {
				damaged = slices.Min(slices.Collect(maps.Keys(u.parts)))
				p := u.parts[damaged]
				c.damage(&p)
				u.parts[damaged] = p
			}
			f.sent = nil
			src := source(1)
			if err := put(t, f, src); err != nil {
				t.Fatal(err)
			}
			f.holds(t, src)
			if len(f.sent) != blocks-3+c.again || slices.Contains(f.sent, damaged) != (c.again > 0) {
				t.Errorf("part %d was wrong, %v were sent", damaged, f.sent)
			}
		})
	}
}

func TestAnUploadThatVanishesInTheMiddleStartsAgain(t *testing.T) {
	f, src := newFake(), source(1)
	f.before = func(op string, n int) error {
		if op == "part" && n == 4 {
			clear(f.uploads) // somebody aborts it
		}
		return nil
	}
	if err := put(t, f, src); err != nil {
		t.Fatal(err)
	}
	f.holds(t, src)
	if f.calls["create"] != 2 {
		t.Errorf("%d uploads", f.calls["create"])
	}
	// Not for ever, and not as if an object were missing.
	f.before = func(op string, n int) error {
		if op == "part" {
			clear(f.uploads)
		}
		return nil
	}
	if err := put(t, f, source(1)); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A file that the source reads may be missing. That is no missing upload.
func TestTheSourcesErrorReachesTheCaller(t *testing.T) {
	f, src := newFake(), source(1)
	src.Fail = func(context.Context, int) error { return &fs.PathError{Op: "open", Path: "dump", Err: fs.ErrNotExist} }
	if err := put(t, f, src); !errors.As(err, new(*fs.PathError)) || f.calls["create"] != 1 {
		t.Errorf("%v, %d uploads", err, f.calls["create"])
	}
}

// An upload that was begun with other settings, or whose parts the store has lost, would be refused for ever.
func TestAnUploadThatTheStoreRefusesToGoOnWithStartsAgain(t *testing.T) {
	for _, c := range []struct {
		op  string
		err error
	}{{"part", errBadRequest}, {"complete", errBadRequest}, {"complete", errBadPart}} {
		f, src := interrupted(t, source(1)), source(1)
		refused := false
		f.before = func(op string, n int) error {
			if op == c.op && !refused {
				refused = true
				return c.err
			}
			return nil
		}
		if err := put(t, f, src); err != nil {
			t.Fatal(err)
		}
		f.holds(t, src)
		if f.calls["create"] != 2 || f.calls["abort"] != 1 {
			t.Errorf("%d uploads, %d aborts", f.calls["create"], f.calls["abort"])
		}
	}
	// When it is refused from the start there is nothing to start again, and what was sent stays.
	f := newFake()
	f.before = func(op string, n int) error {
		if op == "complete" {
			return errBadPart
		}
		return nil
	}
	if err := put(t, f, source(1)); !errors.Is(err, providers.ErrCorrupt) || f.calls["create"] != 1 || len(f.uploads) != 1 {
		t.Errorf("%v, %d uploads of %d", err, len(f.uploads), f.calls["create"])
	}
}

// A cancel that comes while the leftovers are removed does not leave them.
func TestAChangedSourceAbortsWithAContextOfItsOwn(t *testing.T) {
	f, src := newFake(), source(1)
	src.Fail = func(_ context.Context, i int) error {
		if i == blocks-1 {
			return fmt.Errorf("test: %w", providers.ErrSourceChanged)
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(op string, n int) error {
		if op == "uploads" && n == 2 {
			cancel() // the first look was for something to go on from
		}
		return nil
	}
	if err := multipart.Put(ctx, f, key, src, multipart.Retention{}); !errors.Is(err, providers.ErrSourceChanged) {
		t.Errorf("%v", err)
	}
	if f.calls["abort"] != 1 || len(f.uploads) > 0 || len(f.objects) > 0 || ctx.Err() == nil {
		t.Errorf("%d aborts, %d uploads, %d objects", f.calls["abort"], len(f.uploads), len(f.objects))
	}
}

// A part that arrives late brings an upload back, or makes its abort fail.
func TestAbortTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := interrupted(t, source(1))
		f.before = func(op string, n int) error {
			if op == "abort" && n < 3 {
				return errLine
			}
			return nil
		}
		if err := multipart.AbortAll(t.Context(), f, key); err != nil || len(f.uploads) > 0 {
			t.Errorf("%v, %d uploads", err, len(f.uploads))
		}

		f = interrupted(t, source(1))
		f.before = func(op string, n int) error {
			if op == "abort" && n < 5 {
				return errLine
			}
			return nil
		}
		if err := multipart.AbortAll(t.Context(), f, key); err != nil || len(f.uploads) > 0 {
			t.Errorf("the last try did it: %v, %d uploads", err, len(f.uploads))
		}

		f = interrupted(t, source(1))
		f.before = func(op string, n int) error {
			if op == "abort" {
				return errLine
			}
			return nil
		}
		if err := multipart.AbortAll(t.Context(), f, key); !errors.Is(err, errLine) || f.calls["abort"] > 10 {
			t.Errorf("%v after %d aborts", err, f.calls["abort"])
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.before = func(op string, n int) error {
			if op == "abort" {
				cancel()
				return errLine
			}
			return nil
		}
		if err := multipart.AbortAll(ctx, f, key); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestOthersUploadsOfTheKeyAreSweptAfterwards(t *testing.T) {
	f, src := interrupted(t, source(1)), source(1)
	for range 2 {
		if _, err := f.Create(t.Context(), key, multipart.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Create(t.Context(), key+"2", multipart.Retention{}); err != nil {
		t.Fatal(err)
	}
	if err := put(t, f, src); err != nil {
		t.Fatal(err)
	}
	if len(f.uploads) != 1 || src.Made() != blocks-3 {
		t.Errorf("%d uploads are left, %d blocks were made", len(f.uploads), src.Made())
	}
}

// A request that has failed may still read its body for a moment, from memory that holds another block by then.
func TestNoBlockIsReadAfterItsRelease(t *testing.T) {
	f := newFake()
	f.before = func(op string, n int) error {
		if op == "part" && n == 5 {
			return errLine
		}
		return nil
	}
	if err := put(t, f, source(1)); !errors.Is(err, errLine) {
		t.Errorf("%v", err)
	}
	if err := put(t, f, targettest.NewSource(1, 10, block)); err != nil {
		t.Error(err)
	}
	for _, b := range f.kept {
		if n, err := b.Body.ReadAt(make([]byte, 1), 0); n > 0 || err == nil {
			t.Fatalf("block %d can be read", b.Index)
		}
	}
}

func TestTooManyBlocksNeedAPerson(t *testing.T) {
	f := newFake()
	if err := put(t, f, targettest.NewSource(1, 10001, 1)); !errors.Is(err, providers.ErrPermanent) || len(f.calls) > 0 {
		t.Errorf("%v after %v", err, f.calls)
	}
}

// What is stored is stored, and visible: it would be wrong to say that it was cancelled.
func TestASmallPutThatIsDoneWhenTheCancelComesIsDone(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	f.lost = func(string, int) error { cancel(); return nil }
	if err := multipart.Put(ctx, f, key, targettest.NewSource(1, 10, block), multipart.Retention{}); err != nil {
		t.Error(err)
	}
}

// A large dump on a slow line takes longer than the time after which uploads are swept.
func TestAnUploadThatGetsPartsIsNotSwept(t *testing.T) {
	now := time.Now()
	for stored, want := range map[time.Time]int{now.Add(-time.Hour): 1, now.Add(time.Hour): 0} {
		f := interrupted(t, source(1))
		f.stored = stored
		removed, err := multipart.Sweep(t.Context(), f, "", now.Add(time.Minute), nil)
		if err != nil || removed != want {
			t.Errorf("last part %v from now: %d swept, want %d: %v", stored.Sub(now), removed, want, err)
		}
	}
}
