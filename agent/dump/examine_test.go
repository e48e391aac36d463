package dump_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"offsite/agent/dump"
)

func TestAReadErrorIsNoVerdict(t *testing.T) {
	broken := errors.New("input/output error")
	for _, text := range []string{"", "-- some text\n", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "PGDMP", "SQLite format 3\x00"} {
		r := io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
		if _, err := dump.Examine(r, 1000, dump.Limits{}); !errors.Is(err, broken) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestABombIsNotFollowed(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 200 { // much more than 64 MiB and 1100 times what they are packed
		w.Write(zeros)
	}
	w.Close()
	r, err := dump.Examine(&b, int64(b.Len()), dump.Limits{})
	if err != nil || r.Health != dump.Unchecked || !strings.Contains(r.Reason, "1100 times") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTooMuchMemoryIsNotTaken(t *testing.T) {
	// A zstd frame header with a window of 2 GiB (RFC 8878, 3.1.1.1.2), and an xz header with a dictionary of 4 GiB.
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00}
	stream := []byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x28\x00\x00\x00\x00\x00\x00\x00")
	for _, b := range [][]byte{frame, stream} {
		r, err := dump.Examine(bytes.NewReader(b), int64(len(b)), dump.Limits{})
		if err != nil || r.Health != dump.Unchecked || !strings.Contains(r.Reason, "memory") {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestALargeDumpIsNotUnpacked(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte("x"))
	w.Close()
	r, err := dump.Examine(bytes.NewReader(b.Bytes()), 50e9, dump.Limits{FullBelow: 50e9})
	if err != nil || r.Health != dump.Unchecked || !strings.Contains(r.Reason, "full_below") {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzExamine(f *testing.F) {
	for _, s := range []string{
		"", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00", "PGDMP\x01\x0e\x00\x04\x08\x01", "REDIS0011\xff12345678",
		"\x6d\xe2\x99\x81\xff\xff\xff\xff\x10\x00\x00\x00\x02db\x00\x02\x00\x00\x00a\x00\x00\xff\xff\xff\xff", "SQLite format 3\x00" + strings.Repeat("\x02", 100),
		"--\n-- PostgreSQL database dump\n--\nCOPY a (b) FROM stdin;\n\\.\n--\n-- PostgreSQL database dump complete\n--\n",
		"--\n-- PostgreSQL database dump\n--\nINSERT INTO a VALUES ('x\ny');\n", "-- MySQL dump 10\n-- Dump completed\n", "PRAGMA foreign_keys=OFF;\nCOMMIT;\n",
		strings.Repeat("x", 257) + "ustar", "\x28\xb5\x2f\xfd\x00\x00", "BZh9", "\xfd7zXZ\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := dump.Examine(bytes.NewReader(b), int64(len(b)), dump.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Health != dump.OK && r.Health != dump.Suspect && r.Health != dump.Unchecked || r.Health != dump.OK && r.Reason == "" {
			t.Fatalf("%+v", r)
		}
		byBytes, err := dump.Examine(iotest.OneByteReader(bytes.NewReader(b)), int64(len(b)), dump.Limits{})
		if err != nil || byBytes != r {
			t.Fatalf("%+v, read byte by byte %+v, %v", r, byBytes, err)
		}
	})
}
