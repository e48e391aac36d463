package dump_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"offsite/agent/dump"
	"offsite/test/servers"
)

// objectsPostgres has a database shop, with tables and large objects.
func objectsPostgres(t *testing.T) *servers.Postgres {
	pg := servers.StartPostgres(t)
	pg.Run(t, nil, "createdb", "shop")
	pg.Run(t, []byte(`CREATE TABLE users AS SELECT g AS id, md5(g::text) AS name FROM generate_series(1, 2000) g; CREATE TABLE none (id int);
SELECT lo_from_bytea(0, convert_to(repeat('large ', g * 100), 'UTF8')) FROM generate_series(0, 20) g;`), "psql", "-q", "-v", "ON_ERROR_STOP=1", "shop")
	return pg
}

func judge(t *testing.T, b []byte, health string, kind dump.Kind, reason, what string) bool {
	t.Helper()
	r, err := dump.Examine(bytes.NewReader(b), int64(len(b)), dump.Limits{})
	if err != nil || r.Health != health || r.Kind != kind || !strings.Contains(r.Reason, reason) || health != dump.OK && r.Reason == "" {
		t.Errorf("%s: health %q kind %q reason %q, %v; want %q %q %q", what, r.Health, r.Kind, r.Reason, err, health, kind, reason)
		return false
	}
	return true
}

// A custom archive is followed into its data, which is packed with a checksum for each table.
func TestACustomArchiveIsUnpacked(t *testing.T) {
	pg := objectsPostgres(t)
	dumped := func(args ...string) []byte { return []byte(pg.Run(t, nil, "pg_dump", append(args, "-Fc", "shop")...)) }
	custom, plain := dumped(), dumped("-Z0")
	suspect := func(b []byte, reason, what string) bool {
		t.Helper()
		return judge(t, b, dump.Suspect, dump.PostgresCustom, reason, what)
	}
	for _, args := range [][]string{nil, {"-Z0"}, {"-Z9"}, {"--inserts"}, {"--inserts", "-Z0"}, {"--schema-only"}, {"--data-only"}} {
		judge(t, dumped(args...), dump.OK, dump.PostgresCustom, "", fmt.Sprint("whole ", args))
	}
	begin := bytes.Index(custom, []byte("\x78\x9c")) // the header of zlib
	if begin < 0 {
		t.Fatal("no data found")
	}
	random := rand.New(rand.NewPCG(4, 2))
	for range 300 {
		at := begin + random.IntN(len(custom)-begin)
		b := bytes.Clone(custom)
		b[at] ^= 1 << random.IntN(8)
		if !suspect(b, "", fmt.Sprintf("flipped bit at %d", at)) {
			break
		}
	}
	for i := range 600 {
		at := len(custom) - 1 - i
		if i >= 500 {
			at = 10 + random.IntN(len(custom)-10)
		}
		if !suspect(custom[:at], "", fmt.Sprintf("cut at %d", at)) {
			break
		}
	}
	row := bytes.Index(plain, []byte("1234\t")) + 5 // each row has its length before it
	suspect(slices.Concat(plain[:row], make([]byte, 8), plain[row+8:]), "of table public.users is damaged: it has zeros in it", "zeros in a row")
	suspect(slices.Concat(plain[:row], make([]byte, 4096), plain[row+4096:]), "", "zeros in rows")
	end := bytes.LastIndex(plain, []byte("\\.\n\n\n"))
	suspect(slices.Concat(plain[:end], []byte("xx"), plain[end+2:]), "no end mark", "rows without an end")
	contents := bytes.Index(plain, []byte("TABLE DATA"))
	suspect(slices.Concat(plain[:contents], make([]byte, 300), plain[contents+300:]), "", "zeros in the contents")
	r, err := dump.Examine(bytes.NewReader(custom), int64(len(custom)), dump.Limits{FullBelow: 1000})
	if err != nil || r.Health != dump.Unchecked || !strings.Contains(r.Reason, "full_below") {
		t.Errorf("a large one: %+v, %v", r, err)
	}
}

// Data that PostgreSQL 16 packs with lz4 or zstd is not looked into: an archive as PostgreSQL 15 writes it, but for the version, the
// packing that is said in a byte since then, and a number in each entry.
func TestACustomArchiveOfOtherPacking(t *testing.T) {
	for _, c := range []struct {
		packing byte
		health  string
	}{{0, dump.OK}, {2, dump.Unchecked}, {3, dump.Unchecked}} {
		b := archive(16, c.packing, func(w *archiveWriter) {
			w.entry(1, "TABLE DATA", "users", "COPY users FROM stdin;\n", true)
			w.write([]byte{1})
			w.int(1)
			w.string("1\tuser\n\\.\n\n\n")
			w.int(0)
		})
		judge(t, b, c.health, dump.PostgresCustom, "", fmt.Sprint("packing ", c.packing))
		judge(t, b[:len(b)-3], dump.Suspect, dump.PostgresCustom, "ends too early", fmt.Sprint("cut, packing ", c.packing))
	}
}

// A directory in a tar file is followed into its files.
func TestADirectoryIsUnpacked(t *testing.T) {
	pg := objectsPostgres(t)
	dumps := map[string]string{} // each is made once, and copied
	made := func(args ...string) string {
		dump := dumps[fmt.Sprint(args)]
		if dump == "" {
			dump = filepath.Join(t.TempDir(), "dump")
			pg.Run(t, nil, "pg_dump", append(args, "-Fd", "-f", dump, "shop")...)
			dumps[fmt.Sprint(args)] = dump
		}
		dir := filepath.Join(t.TempDir(), "shop")
		if err := os.CopyFS(dir, os.DirFS(dump)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tarOf := func(dir string) []byte { return shell(t, filepath.Dir(dir), nil, "tar", "-c", filepath.Base(dir)) }
	for _, args := range [][]string{nil, {"-Z0"}, {"--inserts"}, {"--schema-only"}, {"--data-only"}} {
		dir := made(args...)
		judge(t, tarOf(dir), dump.OK, dump.PostgresTar, "", fmt.Sprint("whole ", args))
		judge(t, shell(t, dir, nil, "tar", "-c", "."), dump.OK, dump.PostgresTar, "", fmt.Sprint("whole, from inside ", args))
	}
	for _, c := range []struct {
		name, command, health, reason string
		args                          []string
	}{
		{"the data cut", "for f in [0-9]*.dat.gz; do truncate -s $(($(stat -c %s $f) * 2 / 3)) $f; done", dump.Suspect, "gzip stream is cut off", nil},
		{"the data emptied", "for f in [0-9]*.dat.gz; do truncate -s 0 $f; done", dump.Suspect, "gzip stream is cut off", nil},
		{"the data cut, not packed", "f=$(ls -S [0-9]*.dat | head -1); truncate -s 5000 $f", dump.Suspect, "the data of table public.users has no end mark", []string{"-Z0"}},
		{"the data emptied, not packed", "for f in [0-9]*.dat; do truncate -s 0 $f; done", dump.Suspect, "no end mark", []string{"-Z0"}},
		{"no data", "rm [0-9]*.dat.gz", dump.Suspect, "is missing: there is no shop/", nil},
		{"no large objects", "rm blob_*", dump.Suspect, "21 of its 21 large objects are missing", nil},
		{"a large object missing", "rm $(ls blob_* | head -1)", dump.Suspect, "1 of its 21 large objects are missing", nil},
		{"another large object", "mv $(ls blob_* | head -1) blob_1.dat.gz", dump.Suspect, "are not those", nil},
		{"a large object cut", "truncate -s 20 $(ls blob_* | tail -1)", dump.Suspect, "a large object is damaged, in blob_", nil},
		{"no list of large objects", "rm blobs.toc", dump.Suspect, "the list of its large objects is missing", nil},
		{"a damaged list of large objects", "printf 'xxxxxxxx' | dd of=blobs.toc conv=notrunc 2>/dev/null", dump.Suspect, "blobs.toc, is damaged", nil},
		{"a flipped byte", "f=$(ls -S *.dat.gz | head -1); printf x | dd of=$f seek=3000 bs=1 conv=notrunc 2>/dev/null", dump.Suspect, "the data of table public.users is damaged, in ", nil},
		{"the contents cut", "truncate -s -10 toc.dat", dump.Suspect, "ends too early", nil},
		{"something behind the contents", "echo >>toc.dat", dump.Suspect, "its table of contents", nil},
		{"zstd", "for f in [0-9]*.dat blob_*.dat; do zstd -q --rm $f; done", dump.OK, "", []string{"-Z0"}},
		{"zstd, cut", "for f in [0-9]*.dat blob_*.dat; do zstd -q --rm $f; truncate -s -4 $f.zst; done", dump.Suspect, "its zstd stream is cut off", []string{"-Z0"}},
		{"zstd, too much", "head -c 1G /dev/zero | zstd -q >blob_1.dat.zst; echo 1 blob_1.dat >>blobs.toc", dump.Unchecked, "1100 times its size", []string{"-Z0"}},
		{"lz4", "for f in [0-9]*.dat blob_*.dat; do lz4 -q --rm $f $f.lz4; done", dump.Unchecked, "lz4", []string{"-Z0"}},
		{"lz4, one missing", "for f in [0-9]*.dat blob_*.dat; do lz4 -q --rm $f $f.lz4; done; rm [0-9]*.lz4", dump.Suspect, "is missing", []string{"-Z0"}},
	} {
		dir := made(c.args...)
		shell(t, dir, nil, "sh", "-ec", c.command)
		judge(t, tarOf(dir), c.health, dump.PostgresTar, c.reason, c.name)
	}
	dir := made()
	shell(t, dir, nil, "sh", "-ec", "mkdir ../two; cp -r . ../two/shop; cp -r . ../two/blog; rm ../two/shop/blob_*")
	judge(t, shell(t, filepath.Dir(dir), nil, "tar", "-c", "two"), dump.Suspect, dump.PostgresTar, "21 large objects are missing: there are no files two/shop/", "two directories, one damaged")
}

// Wherever a disk has lost a page of a tar file, it is seen: but for what is in a large object that is not packed.
func TestZerosInATar(t *testing.T) {
	pg := objectsPostgres(t)
	dir := filepath.Join(t.TempDir(), "shop")
	pg.Run(t, nil, "pg_dump", "-Fd", "-f", dir, "shop")
	inTar := []byte(pg.Run(t, nil, "pg_dump", "-Ft", "shop"))
	for name, b := range map[string][]byte{
		"directory": bytes.TrimRight(shell(t, filepath.Dir(dir), nil, "tar", "-c", "shop"), "\x00"),
		"tar":       inTar[:bytes.Index(inTar, []byte("blob_"))],
	} {
		for at := 512; at+4096 < len(b); at += 512 {
			damaged := slices.Concat(b[:at], make([]byte, 4096), b[at+4096:], make([]byte, 10240))
			if name == "tar" {
				damaged = slices.Concat(b[:at], make([]byte, 4096), inTar[at+4096:])
			}
			r, err := dump.Examine(bytes.NewReader(damaged), int64(len(damaged)), dump.Limits{})
			if err != nil || r.Health != dump.Suspect {
				t.Errorf("%s, zeros at %d of %d: %+v, %v", name, at, len(b), r, err)
			}
		}
	}
	var some bytes.Buffer
	w := tar.NewWriter(&some)
	for i := range 20 {
		w.WriteHeader(&tar.Header{Name: fmt.Sprint("file", i), Mode: 0o644, Size: 100})
		w.Write(bytes.Repeat([]byte("x"), 100))
	}
	w.Close()
	judge(t, some.Bytes(), dump.OK, dump.Tar, "", "a tar")
	b := slices.Concat(some.Bytes()[:4096], make([]byte, 4096), some.Bytes()[8192:])
	judge(t, b, dump.Suspect, dump.Tar, "goes on after an end mark", "zeros in a tar")
}

// However much is in a dump, looking at it takes little memory.
func TestMemoryIsBounded(t *testing.T) {
	const many = 200_000
	entries := archive(14, 0, func(w *archiveWriter) {
		for i := range many {
			w.entry(i+1, "BLOB", fmt.Sprint(16384+i), "", i%2 == 0)
		}
	})
	var members bytes.Buffer
	w := tar.NewWriter(&members)
	for i := range many {
		w.WriteHeader(&tar.Header{Name: fmt.Sprintf("shop/blob_%d.dat.gz", i), Mode: 0o644})
	}
	for i := range 20_000 {
		w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d/%d.dat", i, i*10_000), Mode: 0o644})
	}
	w.Close()
	for name, b := range map[string][]byte{"custom": entries, "tar": members.Bytes()} {
		before := live()
		var during uint64
		r, err := dump.Examine(io.MultiReader(bytes.NewReader(b), atEnd(func() { during = live() })), int64(len(b)), dump.Limits{})
		if err != nil || during == 0 {
			t.Fatal(err, during)
		}
		t.Logf("%s of %d bytes: %d bytes held: %+v", name, len(b), int64(during)-int64(before), r)
		if during > before+4<<20 {
			t.Errorf("%s: %d bytes are held", name, during-before)
		}
		runtime.KeepAlive(b)
	}
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// atEnd is called when the end is met.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// archive is a custom archive of version 1.minor.
func archive(minor, packing byte, write func(*archiveWriter)) []byte {
	w := &archiveWriter{minor: minor}
	write(w)
	body := w.b
	w.b = append([]byte("PGDMP\x01"), minor, 0, 4, 8, 1)
	if minor >= 15 {
		w.write([]byte{packing})
	} else {
		w.int(int(packing))
	}
	for range 7 {
		w.int(1)
	}
	for range 3 {
		w.string("x")
	}
	w.int(w.entries)
	return append(w.b, body...)
}

// archiveWriter writes as src/bin/pg_dump/pg_backup_archiver.c does.
type archiveWriter struct {
	minor   byte
	entries int
	b       []byte
}

func (w *archiveWriter) write(b []byte) { w.b = append(w.b, b...) }

func (w *archiveWriter) int(n int) {
	sign := byte(0)
	if n < 0 {
		sign, n = 1, -n
	}
	w.b = binary.LittleEndian.AppendUint32(append(w.b, sign), uint32(n))
}

func (w *archiveWriter) string(s string) {
	w.int(len(s))
	w.write([]byte(s))
}

func (w *archiveWriter) entry(id int, kind, tag, copied string, data bool) {
	w.entries++
	w.int(id)
	w.int(0)
	w.string("0")
	w.string("0")
	w.string(tag)
	w.string(kind)
	w.int(3)
	w.string("")
	w.string("")
	if copied == "" {
		w.int(-1)
	} else {
		w.string(copied)
	}
	w.string("public")
	w.string("")
	w.string("")
	if w.minor >= 16 {
		w.int(0)
	}
	w.string("postgres")
	w.string("false")
	w.int(-1)
	if data {
		w.write([]byte{2})
	} else {
		w.write([]byte{3})
	}
	w.write(make([]byte, 8))
}
