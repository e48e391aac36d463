package crypto_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"offsite/crypto"
)

// Whatever age sealed, its blocks are made again of the plaintext; and of anything else nothing comes out.
func TestResealedBlocksAreThoseOfTheFile(t *testing.T) {
	id := x25519(t)
	rapid.Check(t, func(t *rapid.T) {
		plain := pattern(rapid.IntRange(0, 300_000).Draw(t, "size"))
		block := rapid.IntRange(1000, 200_000).Draw(t, "block")
		var file bytes.Buffer
		w, err := age.Encrypt(&file, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		w.Write(plain)
		w.Close()
		sealed := file.Bytes()
		head := crypto.HeadSize(int64(len(sealed)), int64(len(plain)))
		r, err := crypto.NewResealer(sealed[:head], int64(len(plain)), int64(block), id)
		if err != nil {
			t.Fatal(err)
		}
		have, damaged := plain[:rapid.IntRange(0, len(plain)).Draw(t, "have")], -1
		if len(have) > 0 && rapid.Bool().Draw(t, "damage") {
			damaged = rapid.IntRange(0, len(have)-1).Draw(t, "at")
			have = bytes.Clone(have)
			have[damaged] ^= 1
		}
		for at := 0; at < len(sealed); at += block {
			want := sealed[at:min(at+block, len(sealed))]
			p := bytes.Repeat([]byte{1}, len(want))
			ok := r.Block(t.Context(), bytes.NewReader(have), at/block, p, sha256.Sum256(want))
			switch {
			case ok && !bytes.Equal(p, want):
				t.Fatalf("block %d is wrong", at/block)
			case !ok && !bytes.Equal(p, make([]byte, len(p))):
				t.Fatalf("ciphertext of another plaintext came out")
			case !ok && damaged < 0 && len(have) == len(plain):
				t.Fatalf("block %d was not made", at/block)
			}
		}
	})
}

// A head that was made for other bytes, cut or changed, makes no block right.
func TestAForgedHeadMakesNothing(t *testing.T) {
	plain := pattern(100_000)
	s, id := newSealing(t, int64(len(plain)), 60_000)
	sealed := sealAll(t, s, bytes.NewReader(plain), nil)
	other, _ := crypto.SealBytes([]age.Recipient{id.(*age.X25519Identity).Recipient()}, plain)
	n := crypto.HeadSize(int64(len(sealed)), int64(len(plain)))
	r, err := crypto.NewResealer(other[:n], int64(len(plain)), 60_000, id)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Blocks() {
		want := blockOf(s, sealed, i)
		if r.Block(t.Context(), bytes.NewReader(plain), i, make([]byte, len(want)), sha256.Sum256(want)) {
			t.Error(i)
		}
	}
	for _, head := range [][]byte{nil, sealed[:10], sealed[:n-1], sealed[1:n], make([]byte, n)} {
		if _, err := crypto.NewResealer(head, int64(len(plain)), 60_000, id); err == nil {
			t.Errorf("%q", head)
		}
	}
	if _, err := crypto.NewResealer(sealed[:n], int64(len(plain)), 60_000, x25519(t)); err == nil {
		t.Error("opened by anybody")
	}
	if right, _ := crypto.NewResealer(sealed[:n], int64(len(plain)), 60_000, id); right.Block(t.Context(), io.NewSectionReader(bytes.NewReader(plain), 0, 9), 0, make([]byte, 60_000), [32]byte{}) ||
		right.Block(t.Context(), bytes.NewReader(plain), 9, make([]byte, 60_000), [32]byte{}) || right.Block(t.Context(), bytes.NewReader(plain), 0, nil, [32]byte{}) {
		t.Error("impossible blocks")
	}
}
