package vault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/vault"
	"offsite/providers"
	"offsite/providers/mem"
)

// slowly counts how many objects are being read at once, each for a second; the earlier ones for longer.
type slowly struct {
	providers.Target
	now, most, begun atomic.Int32
}

func (s *slowly) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(2*time.Second - time.Duration(s.begun.Add(1)%7)*time.Second/7)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Target.Get(ctx, name, offset, length)
}

// A listing of any length comes in its order, is read several at once, and never further ahead than was asked for; whoever has seen
// enough leaves nothing behind.
func TestReadKeepsTheOrderAndItsDistance(t *testing.T) {
	const backups, ahead = 50, 4
	target := mem.New()
	for i := range backups {
		n := vault.Name{Host: "h", Series: "s", Taken: time.Unix(int64(i), 0).UTC(), ID: fmt.Sprintf("%08x", i), File: "f"}
		for _, object := range []string{n.String(), n.Manifest()} {
			if err := target.Put(t.Context(), object, providers.Bytes([]byte("not signed"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &slowly{Target: target.Handle()}
		v := vault.New(s, nil)
		listed := 0
		entries := func(yield func(vault.Entry, error) bool) {
			for e, err := range v.List(t.Context(), "h") {
				listed++
				if !yield(e, err) {
					return
				}
			}
			yield(vault.Entry{}, errors.New("the listing broke off"))
		}
		got := 0
		var last error
		for r, err := range v.Read(t.Context(), iter.Seq2[vault.Entry, error](entries), ahead) {
			if last = err; err != nil {
				continue
			}
			if want := fmt.Sprintf("%08x", got); r.ID != want || !errors.Is(r.Err, vault.ErrIntegrity) {
				t.Fatalf("got %s, want %s: %v", r.ID, want, r.Err)
			}
			if got++; listed > got+ahead {
				t.Fatalf("%d listed, %d given", listed, got)
			}
		}
		if got != backups || last == nil || s.most.Load() != ahead {
			t.Errorf("%d backups, then %v; %d at once, want %d", got, last, s.most.Load(), ahead)
		}
		for range v.Read(t.Context(), v.List(t.Context(), "h"), ahead) {
			break
		}
		if n := s.now.Load(); n != 0 {
			t.Errorf("%d are still being read", n)
		}
	})
}
