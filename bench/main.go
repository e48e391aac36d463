// Command bench runs offsite beside whatever of age, mc, s5cmd, rclone, restic, curl, scp and sftp is installed: the same files,
// the same servers, in turns. It writes what it measured (TSV), the medians (Markdown) and a chart (SVG).
//
//	go run ./bench -rounds 5 -only 'minio' -out docs/performance
//
// Servers and files lie in -dir, best a file system in memory, so that no disk is measured. MinIO's server comes from
// .cache/bin (make servers), sshd from the system; it needs root for sshd.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	rounds  int
	size    int64 // of the large file, in bytes
	only    *regexp.Regexp
	dir     string // for files and servers
	out     string // the results' name without its ending; empty: the table goes to standard output alone
	offsite string // the binary
	tools   string // a directory with more tools
	servers string // a directory with minio and age
}

func run(ctx context.Context, args []string) error {
	var s settings
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 5, "how often each contestant runs")
	f.Int64Var(&s.size, "mib", 2048, "size of the large file in MiB")
	f.StringVar(&only, "only", ".", "contests, and contestants behind a slash, whose names match this")
	f.StringVar(&s.dir, "dir", "/dev/shm", "where files and servers lie")
	f.StringVar(&s.out, "out", "", "write to this name with .tsv, .md and .svg")
	f.StringVar(&s.offsite, "offsite", "bin/offsite", "the binary to measure")
	f.StringVar(&s.tools, "tools", "", "a directory with more tools, before the PATH")
	f.StringVar(&s.servers, "servers", ".cache/bin", "a directory with minio and age")
	if err := f.Parse(args); err != nil {
		return err
	}
	s.size <<= 20
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return err
	}
	for _, p := range []*string{&s.offsite, &s.tools, &s.servers} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	b, err := prepare(ctx, s)
	if err != nil {
		return err
	}
	defer b.clean()
	results, err := b.race(ctx, b.contests())
	if err != nil {
		return err
	}
	latency, err := b.latency(ctx)
	if err != nil {
		return err
	}
	return report(s.out, b.versions(ctx), results, latency)
}
