package agent

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/watch"
	"offsite/crypto"
	"offsite/providers/mem"
)

// manyFiles makes so many dumps of 100 series, below so many directories, that settled long ago.
func manyFiles(b *testing.B, files, dirs int) (root string) {
	root = b.TempDir()
	for i := range dirs {
		if err := os.Mkdir(filepath.Join(root, fmt.Sprintf("d%04d", i)), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	for i := range files {
		day := time.Date(2024, 1, 1+i/100, 3, 0, 0, 0, time.UTC)
		path := filepath.Join(root, fmt.Sprintf("d%04d", i%dirs), fmt.Sprintf("db%03d_%s_030000.sql.gz", i%100, day.Format("20060102")))
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(path, day, day); err != nil {
			b.Fatal(err)
		}
	}
	return root
}

// scanner is an agent of which only the watcher and the discovery run: what a first scan costs until the journal has each dump.
func scanner(b *testing.B, root, state string) *Agent {
	skey, vkey, err := crypto.GenerateSigner("host")
	if err != nil {
		b.Fatal(err)
	}
	signer, err := crypto.ParseSigner(skey + "\n" + vkey + "\n")
	if err != nil {
		b.Fatal(err)
	}
	policy := retention.Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: retention.Forever, MinKeep: 3}
	a, err := New(Options{
		Host: "db-server", Zone: time.UTC, Signer: signer, State: state, Journal: "journal.db", Memory: 1 << 20, Now: time.Now,
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Sources: []Source{{Dir: watch.Dir{Path: root, Settle: time.Nanosecond}, Rules: dump.Rules{Zone: time.UTC}}},
		Targets: []Target{{Name: "nas", Location: "mem:nas", Target: mem.New(), Retention: Enforce, Policy: func(string) retention.Policy { return policy }}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// scan runs watcher and discovery until the first scan is over, and then so many scans more.
func scan(b *testing.B, a *Agent) {
	found := make(chan watch.File, atOnce)
	var group errgroup.Group
	group.Go(func() error {
		defer close(found)
		_, err := a.watcher.Scan(b.Context(), sendTo(found))
		return err
	})
	group.Go(func() error { return a.discover(b.Context(), found) })
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScan is what a host with 100,000 dumps pays: at the first start, until each dump is in the journal, and owed to a target; at each
// later start, when the journal knows them all; and for the scan of each minute.
func BenchmarkScan(b *testing.B) {
	const files = 100_000
	for _, dirs := range []int{1, 1000} {
		root := manyFiles(b, files, dirs)
		var used time.Duration // of the processors, since others may have them, too
		measured := func(b *testing.B, a *Agent) {
			before := cpu()
			b.StartTimer()
			scan(b, a)
			b.StopTimer()
			used += cpu() - before
		}
		b.Run(fmt.Sprintf("first, %d directories", dirs), func(b *testing.B) {
			b.ReportAllocs()
			for used = 0; b.Loop(); {
				b.StopTimer()
				a := scanner(b, root, b.TempDir())
				measured(b, a)
				n := 0
				if err := a.journal.EachUnsettled(func(*journal.Dump) error { n++; return nil }); err != nil || n != files {
					b.Fatal(n, err)
				}
				a.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/files, "cpu-ns/file")
		})
		state := b.TempDir()
		first := scanner(b, root, state)
		scan(b, first)
		if err := first.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("restart, %d directories", dirs), func(b *testing.B) {
			b.ReportAllocs()
			for used = 0; b.Loop(); {
				b.StopTimer()
				a := scanner(b, root, state)
				measured(b, a)
				a.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/files, "cpu-ns/file")
		})
	}
}

// cpu is the time that this process has had of the processors.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
