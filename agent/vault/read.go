package vault

import (
	"context"
	"iter"
	"sync"
)

// Read is a backup of a listing, and what its manifest says. Err is of the manifest: the others follow.
type Read struct {
	Entry
	Manifest *Manifest
	Signer   string
	Err      error
}

// Read yields the backups of a listing in its order, each with its manifest. So many manifests are being read at once, and no more
// are held; what has none is left out. An error of the listing comes last.
func (v *Vault) Read(ctx context.Context, entries iter.Seq2[Entry, error], ahead int) iter.Seq2[Read, error] {
	return func(yield func(Read, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		var underway []chan Read // oldest first
		next := func() bool {
			r := <-underway[0]
			underway = underway[1:]
			return yield(r, nil)
		}
		var failed error
		for e, err := range entries {
			if failed = err; err != nil {
				break
			}
			if !e.Manifest {
				continue
			}
			if len(underway) == max(1, ahead) && !next() {
				return
			}
			done := make(chan Read, 1)
			underway = append(underway, done)
			reading.Go(func() {
				m, signer, err := v.Manifest(ctx, e.Name)
				done <- Read{e, m, signer, err}
			})
		}
		for len(underway) > 0 {
			if !next() {
				return
			}
		}
		if failed != nil {
			yield(Read{}, failed)
		}
	}
}
