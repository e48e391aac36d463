package crypto_test

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"offsite/crypto"
)

const benchSize = 64 << 20

// sealFor seals all blocks on so many goroutines. Digests are known, as for every target after the first: what is
// measured is the sealing, not the SHA-256 that S3 wants.
func sealFor(b *testing.B, s *crypto.Sealing, src io.ReaderAt, bufs [][]byte) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for g, p := range bufs {
		wg.Go(func() {
			for i := g; i < s.Blocks(); i += len(bufs) {
				n := min(s.BlockSize(), s.Size()-int64(i)*s.BlockSize())
				if _, err := s.Seal(b.Context(), src, i, p[:n], noRecord); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

func ageFor(b *testing.B, plain []byte, to age.Recipient) time.Duration {
	begin := time.Now()
	w, err := age.Encrypt(io.Discard, to)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

// BenchmarkSealAgainstAge compares in one run: x-age is how many times as fast as age.Encrypt, for one goroutine and for two.
func BenchmarkSealAgainstAge(b *testing.B) {
	id := x25519(b)
	plain := make([]byte, benchSize)
	s, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, benchSize, 4<<20)
	if err != nil {
		b.Fatal(err)
	}
	src := bytes.NewReader(plain)
	bufs := [][]byte{make([]byte, 4<<20), make([]byte, 4<<20)}
	sealFor(b, s, src, bufs[:1]) // records the digests
	var ours, two, stock time.Duration
	for b.Loop() {
		ours += sealFor(b, s, src, bufs[:1])
		stock += ageFor(b, plain, id.Recipient())
		two += sealFor(b, s, src, bufs)
	}
	b.SetBytes(3 * benchSize)
	b.ReportMetric(float64(stock)/float64(ours), "x-age-1")
	b.ReportMetric(float64(stock)/float64(two), "x-age-2")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "procs")
}
