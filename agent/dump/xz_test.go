package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// packedXZ packs a text; a window of 40 is the largest that a block can ask for, 4 GiB; 0: what it needs.
func packedXZ(t testing.TB, text string, window byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16, CheckSum: xz.CRC32}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if window != 0 {
		header := b.Bytes()[12:][:(int(b.Bytes()[12])+1)*4]
		header[bytes.Index(header, []byte{0x21, 1})+2] = window
		binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	}
	return b.Bytes()
}

// blocksOf is a stream without its header, index and footer.
func blocksOf(stream []byte) []byte {
	footer := stream[len(stream)-12:]
	index := (int(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4
	return stream[12 : len(stream)-12-index]
}

// A dump may be made to take the memory of whoever looks at it. It is not looked at then, wherever in it that begins.
func TestNoBlockOfAnXZFileTakesTheMemory(t *testing.T) {
	small, large := packedXZ(t, "-- PostgreSQL database dump\n", 0), packedXZ(t, "-- PostgreSQL database dump\n", 40)
	for what, file := range map[string][]byte{
		"its first block":                large,
		"a block of its second stream":   bytes.Join([][]byte{small, large}, nil),
		"after padding":                  bytes.Join([][]byte{small, make([]byte, 8), large}, nil),
		"the second block of its stream": bytes.Join([][]byte{small[:12], blocksOf(small), blocksOf(large)}, nil),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := Examine(bytes.NewReader(file), int64(len(file)), Limits{})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err != nil || r.Health != Unchecked || !strings.Contains(r.Reason, "memory") || took > 2*maxWindow {
			t.Errorf("%s: %s %q, %v, %d MiB", what, r.Health, r.Reason, err, took>>20)
		}
	}
}

// For the library a stream may end after any block, without its index: but then it was cut off.
func TestAnXZFileThatEndsAfterABlockIsCutOff(t *testing.T) {
	stream := packedXZ(t, "-- PostgreSQL database dump\n\n-- PostgreSQL database dump complete\n", 0)
	whole, err := Examine(bytes.NewReader(stream), int64(len(stream)), Limits{})
	if err != nil || whole.Health == Suspect && strings.Contains(whole.Reason, "cut off") {
		t.Fatalf("%+v, %v", whole, err)
	}
	cut := stream[:12+len(blocksOf(stream))]
	r, err := Examine(bytes.NewReader(cut), int64(len(cut)), Limits{})
	if err != nil || r.Health != Suspect || !strings.Contains(r.Reason, "cut off") {
		t.Errorf("%s %q, %v", r.Health, r.Reason, err)
	}
}

func TestNoNumberOfBlocksOfAnXZFileTakesTheMemory(t *testing.T) {
	stream := packedXZ(t, "", 0)
	block := packedXZ(t, "x", 0)
	block = blocksOf(block)
	r := io.MultiReader(bytes.NewReader(stream[:12]), &endless{block: block})
	n, err := io.Copy(io.Discard, &xzGuard{r: r})
	if !errors.Is(err, errTooLarge) || n > int64(maxBlocks+1000)*int64(len(block)) {
		t.Errorf("after %d bytes: %v", n, err)
	}
}

type endless struct {
	block []byte
	at    int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], e.block[e.at:])
		n, e.at = n+c, (e.at+c)%len(e.block)
	}
	return n, nil
}

// Whatever the library unpacks, the guard has followed: it changes no byte, and ends where a stream could begin.
func FuzzXZGuard(f *testing.F) {
	long := packedXZ(f, strings.Repeat("all work and no play ", 20_000), 0)
	small := packedXZ(f, "x", 0)
	f.Add(small)
	f.Add(long)
	f.Add(packedXZ(f, "x", 40))
	f.Add(bytes.Join([][]byte{small, make([]byte, 4), small, long}, nil))
	f.Add(bytes.Join([][]byte{small[:12], blocksOf(small), blocksOf(small)}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		through, err := io.ReadAll(&xzGuard{r: bytes.NewReader(file)})
		if errors.Is(err, errTooLarge) {
			return
		}
		if err != nil && err != io.ErrUnexpectedEOF || !bytes.Equal(through, file) {
			t.Fatalf("%d of %d bytes: %v", len(through), len(file), err)
		}
		g := &xzGuard{r: bytes.NewReader(file)}
		d, err := xz.NewReader(g)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, io.LimitReader(d, 16<<20)); err != nil {
			return
		}
		if n, err := d.Read(make([]byte, 1)); n == 0 && err == io.EOF && (g.at != xzStream || g.skip != 0) {
			t.Fatalf("unpacked, and the guard is at %d, %d", g.at, g.skip)
		}
	})
}
