package agent

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/crypto"
	"offsite/providers"
)

// sink is a target that reads what it is given, several blocks at once as others do, and keeps nothing.
type sink struct{ providers.Target }

func (sink) Put(ctx context.Context, _ string, src providers.Source) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range providers.Blocks(src) {
		group.Go(func() error {
			b, err := src.Block(ctx, i)
			if err != nil {
				return err
			}
			defer b.Release()
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{b.Body}, make([]byte, 32<<10))
			return err
		})
	}
	return group.Wait()
}

// BenchmarkUploadByBlockSize uploads 4 GiB in blocks of one size to nowhere: those of 16 MiB are held in memory; those of 256 MiB, as
// a dump of 2 TiB has, and of 1 GiB, as one of 5 TiB, are made while they are sent. MiB-heap is the most that the heap had.
func BenchmarkUploadByBlockSize(b *testing.B) {
	const size = 4 << 30
	file, err := os.Create(filepath.Join(b.TempDir(), "dump.sql"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	if err := file.Truncate(size); err != nil {
		b.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	for _, block := range []int64{16 << 20, 256 << 20, 1 << 30} {
		b.Run(fmt.Sprintf("%d MiB", block>>20), func(b *testing.B) {
			j, err := journal.Open(filepath.Join(b.TempDir(), "journal.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { j.Close() })
			a := &Agent{Options: Options{}, journal: j}
			b.SetBytes(size)
			measure(b, size, func() {
				sealing, err := crypto.NewSealing([]age.Recipient{id.Recipient()}, size, block)
				if err != nil {
					b.Fatal(err)
				}
				d := &journal.Dump{ID: fmt.Sprint(time.Now().UnixNano()), Path: file.Name(), Targets: map[string]journal.Delivery{"sink": {State: journal.Owed}}}
				if err := j.Add(d); err != nil {
					b.Fatal(err)
				}
				s := &shipment{agent: a, dump: d, file: file, sealing: sealing, inspector: dump.NewInspector()}
				sealing.Tap(s.inspector)
				src := &source{shipment: s, share: &share{memory: newMemory(96<<20, 16<<20, 1)}, sent: func(int64) {}, had: func(int64) {}}
				if err := (sink{}).Put(b.Context(), "", src); err != nil {
					b.Fatal(err)
				}
				if err := sealing.Drain(b.Context(), file, s.record); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// measure runs do under the limit of memory that the command has, and says what it cost for each GiB of size, and how large the
// heap was at most.
func measure(b *testing.B, size int64, do func()) {
	debug.SetMemoryLimit(124 << 20)
	defer debug.SetMemoryLimit(math.MaxInt64)
	ended, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ended:
				peak <- most
				return
			}
		}
	}()
	begin := processorTime()
	for b.Loop() {
		do()
	}
	b.ReportMetric((processorTime()-begin).Seconds()/float64(b.N)/(float64(size)/(1<<30)), "CPU-s/GiB")
	close(ended)
	b.ReportMetric(float64(<-peak)/(1<<20), "MiB-heap")
}

// processorTime is what this process has used of all processors.
func processorTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
