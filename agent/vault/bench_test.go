package vault_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
	"time"

	"filippo.io/age"

	"offsite/agent/vault"
	"offsite/crypto"
)

// A backup in memory is opened the straight way, one block after the other, and ours; and a file that was there already
// is gone through again.
func BenchmarkRestore(b *testing.B) {
	const size, blockSize = 256 << 20, 16 << 20
	o := newObject(b, size)
	o.m.BlockSize, o.m.Blocks = blockSize, nil
	for at := 0; at < len(o.data); at += blockSize {
		o.m.Blocks = append(o.m.Blocks, sha256.Sum256(o.data[at:min(at+blockSize, len(o.data))]))
	}
	c := copies(o.copy())
	resumed := c
	resumed.Have, resumed.Identities = bytes.NewReader(o.plain), []age.Identity{o.id}
	open := func(r io.Reader) time.Duration {
		begin := time.Now()
		plain, err := crypto.OpenStream(r, o.id)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, plain); n != size || err != nil {
			b.Fatal(n, err)
		}
		return time.Since(begin)
	}
	var straight, ours, again time.Duration
	for b.Loop() {
		straight += open(&oneByOne{o: o, v: c.Vaults[0], b: b})
		for took, c := range map[*time.Duration]vault.Copies{&ours: c, &again: resumed} {
			r := c.Open(b.Context(), o.m)
			*took += open(r)
			r.Close()
		}
	}
	for what, took := range map[string]time.Duration{"straight": straight, "ours": ours, "resumed": again} {
		b.ReportMetric(float64(size)*float64(b.N)/1e6/took.Seconds(), what+"-MB/s")
	}
}

type oneByOne struct {
	o    *object
	v    *vault.Vault
	b    *testing.B
	next int
	bytes.Reader
}

func (r *oneByOne) Read(p []byte) (int, error) {
	if r.Len() == 0 {
		if r.next == len(r.o.m.Blocks) {
			return 0, io.EOF
		}
		block, err := r.v.Block(r.b.Context(), r.o.m, r.next)
		if err != nil {
			return 0, err
		}
		r.Reset(block)
		r.next++
	}
	return r.Reader.Read(p)
}
