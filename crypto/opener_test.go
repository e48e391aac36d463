package crypto_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"offsite/crypto"
)

// openAll opens an age file with an Opener, in blocks of that size: all at once, then put in order.
func openAll(file []byte, plain, block int64, id age.Identity) ([]byte, error) {
	o, err := crypto.NewOpener(file[:crypto.HeadSize(int64(len(file)), plain)], plain, block, id)
	if err != nil {
		return nil, err
	}
	var blocks [][]byte
	for rest := bytes.Clone(file); len(rest) > 0; rest = rest[len(blocks[len(blocks)-1]):] {
		blocks = append(blocks, rest[:min(int64(len(rest)), block)])
	}
	errs := make([]error, len(blocks))
	var wg sync.WaitGroup
	for i, b := range blocks {
		wg.Go(func() { errs[i] = o.Block(i, b) })
	}
	wg.Wait()
	out := make([]byte, 0, plain)
	for i, b := range blocks {
		if errs[i] != nil {
			return out, errs[i]
		}
		err := o.Plain(i, b, func(p []byte) error {
			out = append(out, p...)
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func TestAnOpenerOpensWhatAgeSeals(t *testing.T) {
	id := x25519(t)
	for _, size := range edges {
		plain := pattern(size)
		var file bytes.Buffer
		w, err := age.Encrypt(&file, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := openAll(file.Bytes(), int64(size), 100000, id)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
	}
}

// Whatever the sizes, an Opener gives what was sealed; and of a file with one wrong bit nothing but what is right.
func TestAnOpenerGivesTheRightBytesOrNone(t *testing.T) {
	id := x25519(t)
	whole := pattern(400000)
	rapid.Check(t, func(t *rapid.T) {
		plain := whole[:rapid.IntRange(0, len(whole)).Draw(t, "size")]
		block := rapid.Int64Range(300, 200000).Draw(t, "block")
		s, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, int64(len(plain)), block)
		if err != nil {
			t.Fatal(err)
		}
		file := make([]byte, s.Size())
		for i := range s.Blocks() {
			if _, err := s.Seal(t.Context(), bytes.NewReader(plain), i, blockOf(s, file, i), noRecord); err != nil {
				t.Fatal(err)
			}
		}
		got, err := openAll(file, int64(len(plain)), block, id)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(plain), err)
		}
		file[rapid.IntRange(0, len(file)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		got, err = openAll(file, int64(len(plain)), block, id)
		if !errors.Is(err, crypto.ErrCorrupt) && !errors.Is(err, crypto.ErrNoIdentity) {
			t.Fatalf("one bit is wrong: %v", err)
		}
		if !bytes.HasPrefix(plain, got) {
			t.Fatal("bytes were given out that nobody sealed")
		}
	})
}

func TestAnOpenerWantsItsBlocksInOrder(t *testing.T) {
	const block = 100000
	plain := pattern(3 * block)
	s, id := newSealing(t, int64(len(plain)), block)
	file := sealAll(t, s, bytes.NewReader(plain), nil)
	o, err := crypto.NewOpener(file[:crypto.HeadSize(s.Size(), s.PlainSize())], s.PlainSize(), block, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Block(1, blockOf(s, file, 1)); err != nil {
		t.Fatal(err)
	}
	err = o.Plain(1, blockOf(s, file, 1), func(p []byte) error { _, err := io.Discard.Write(p); return err })
	if err == nil {
		t.Error("a chunk whose beginning is missing was opened")
	}
	if err := o.Block(4, nil); err == nil {
		t.Error("there is no block 4")
	}
}
