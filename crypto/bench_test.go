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

// ageFor encrypts by age's own writer.
func ageFor(b *testing.B, plain []byte, out io.Writer, to age.Recipient) time.Duration {
	begin := time.Now()
	w, err := age.Encrypt(out, to)
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

// memory takes what is written into the same block over and over, as an upload does.
type memory struct {
	block []byte
	at    int
}

func (m *memory) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		if m.at == len(m.block) {
			m.at = 0
		}
		c := copy(m.block[m.at:], p[n:])
		m.at += c
		n += c
	}
	return len(p), nil
}

// BenchmarkSealAgainstAge compares in one run: x-age is how many times as fast as age.Encrypt on the same bytes, for
// one goroutine and for two, when the ciphertext ends in memory as ours does; x-nowhere is the same with age writing
// to io.Discard, which ours cannot.
func BenchmarkSealAgainstAge(b *testing.B) {
	const block = 4 << 20
	id := x25519(b)
	plain := make([]byte, benchSize)
	s, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, benchSize, block)
	if err != nil {
		b.Fatal(err)
	}
	src := bytes.NewReader(plain)
	bufs := [][]byte{make([]byte, block), make([]byte, block)}
	sealFor(b, s, src, bufs[:1]) // records the digests
	var ours, two, stock, nowhere time.Duration
	for b.Loop() {
		ours += sealFor(b, s, src, bufs[:1])
		stock += ageFor(b, plain, &memory{block: bufs[0]}, id.Recipient())
		two += sealFor(b, s, src, bufs)
		nowhere += ageFor(b, plain, io.Discard, id.Recipient())
	}
	b.SetBytes(4 * benchSize)
	b.ReportMetric(float64(stock)/float64(ours), "x-age-1")
	b.ReportMetric(float64(stock)/float64(two), "x-age-2")
	b.ReportMetric(float64(nowhere)/float64(ours), "x-nowhere-1")
	b.ReportMetric(float64(nowhere)/float64(two), "x-nowhere-2")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "procs")
}
