package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A backup in blocks that nobody holds in memory, as those of a dump of more than 312 GiB are, with a damaged byte on each of two targets of three:
// it gets there, comes back to a file and to a pipe, verify says what is wrong, and repair mends it.
func TestLargeBlocks(t *testing.T) {
	t.Parallel()
	in := install(t, "nas", "minio", "shore")
	in.configure("keep: {last: forever}\nblock_size: 64MiB")
	sum, _ := in.bigDump(150)
	os.Remove(filepath.Join(in.dumps, "shop_20261122_030001.sql"))
	in.run(0, "verify", "--level", "decrypt", "--identity", in.identity)
	stores := in.stores()
	for target, at := range map[string]int{"nas": 100 << 20, "minio": 30 << 20} {
		for _, name := range stores[target].names() {
			if strings.HasSuffix(name, ".age") {
				b := stores[target].read(name)
				b[at] ^= 1
				stores[target].write(name, b)
			}
		}
	}
	for _, output := range []string{filepath.Join(in.dir, "back.sql"), "-"} {
		cmd := in.command(t.Context(), "restore", "--identity", in.identity, "-o", output, "shop")
		h, errs := sha256.New(), new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = h, errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, errs)
		}
		got := [32]byte(h.Sum(nil))
		if output != "-" {
			got = sumOf(t, output)
		}
		if got != sum || !strings.Contains(errs.String(), "warning: ") {
			t.Errorf("%s: something else came back, or nothing was said:\n%s", output, errs)
		}
	}
	in.run(5, "restore", "--target", "nas", "--identity", in.identity, "-o", filepath.Join(in.dir, "other.sql"), "shop")
	if _, err := os.Stat(filepath.Join(in.dir, "other.sql")); err == nil {
		t.Error("a damaged dump was published")
	}
	in.run(5, "verify")
	in.run(0, "repair")
	in.run(0, "verify", "--level", "decrypt", "--identity", in.identity)
}
