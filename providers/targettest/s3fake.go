package targettest

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"offsite/providers"
)

// page is how many uploads and parts a fake lists at once. Real servers list 1000, which no test wants to send.
const page = 2

// fakeS3 is as much of S3 as a Put in blocks needs, for the bucket "backups". It remembers all requests.
type fakeS3 struct {
	*httptest.Server

	mu       sync.Mutex
	requests []request
	uploads  []*fakeUpload // by key, then id
	objects  map[string][]byte
	open     map[net.Conn]bool
	unused   chan struct{}
}

type request struct {
	*http.Request
	body []byte
}

type fakeUpload struct {
	Key      string
	UploadId string
	parts    map[int]fakePart
}

type fakePart struct {
	PartNumber     int
	Size           int
	ETag           string
	ChecksumSHA256 string `xml:",omitempty"`
	body           []byte
}

func newFakeS3(t testing.TB) *fakeS3 {
	f := &fakeS3{objects: map[string][]byte{}, open: map[net.Conn]bool{}, unused: make(chan struct{}, 1)}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ConnState = f.connState
	f.Start()
	t.Cleanup(f.Server.Close)
	return f
}

// connState tells unused when the last connection has gone.
func (f *fakeS3) connState(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateClosed {
		f.open[c] = true
		return
	}
	delete(f.open, c)
	if len(f.open) == 0 {
		select {
		case f.unused <- struct{}{}:
		default:
		}
	}
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, request{r, body})
	key, q := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/backups"), "/"), r.URL.Query()
	switch {
	case r.Method == http.MethodGet && q.Has("uploads"):
		f.listUploads(w, q.Get("prefix"), q.Get("key-marker"), q.Get("upload-id-marker"))
	case r.Method == http.MethodGet && q.Has("uploadId"):
		f.listParts(w, f.find(q.Get("uploadId")), q.Get("part-number-marker"))
	case r.Method == http.MethodPost && q.Has("uploads"):
		u := f.begin(key, fmt.Sprint("new", len(f.uploads)))
		answer(w, "InitiateMultipartUploadResult", struct{ Bucket, Key, UploadId string }{"backups", key, u.UploadId})
	case r.Method == http.MethodPut && q.Has("uploadId"):
		n, _ := strconv.Atoi(q.Get("partNumber"))
		f.store(w, f.find(q.Get("uploadId")), n, body, r.Header.Get("X-Amz-Checksum-Sha256"))
	case r.Method == http.MethodPost && q.Has("uploadId"):
		f.complete(w, f.find(q.Get("uploadId")))
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		f.uploads = slices.DeleteFunc(f.uploads, func(u *fakeUpload) bool { return u.UploadId == q.Get("uploadId") })
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		f.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == http.MethodHead && f.objects[key] != nil:
		header(w, len(f.objects[key]))
	default:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	}
}

func answer(w http.ResponseWriter, name string, v any) {
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).EncodeElement(v, xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
		panic(err)
	}
}

func etag(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }

func (f *fakeS3) begin(key, id string) *fakeUpload {
	u := &fakeUpload{Key: key, UploadId: id, parts: map[int]fakePart{}}
	f.uploads = append(f.uploads, u)
	return u
}

func (f *fakeS3) find(id string) *fakeUpload {
	for _, u := range f.uploads {
		if u.UploadId == id {
			return u
		}
	}
	return &fakeUpload{}
}

func (f *fakeS3) listUploads(w http.ResponseWriter, prefix, key, id string) {
	var out struct {
		Bucket                            string
		Upload                            []*fakeUpload
		IsTruncated                       bool
		NextKeyMarker, NextUploadIdMarker string
	}
	for _, u := range f.uploads {
		after := u.Key > key || u.Key == key && id != "" && u.UploadId > id
		if !strings.HasPrefix(u.Key, prefix) || !after {
			continue
		}
		if len(out.Upload) == page {
			out.IsTruncated, out.NextKeyMarker, out.NextUploadIdMarker = true, out.Upload[page-1].Key, out.Upload[page-1].UploadId
			break
		}
		out.Upload = append(out.Upload, u)
	}
	answer(w, "ListMultipartUploadsResult", out)
}

func (f *fakeS3) listParts(w http.ResponseWriter, u *fakeUpload, marker string) {
	var out struct {
		Bucket, Key, UploadId string
		Part                  []fakePart
		IsTruncated           bool
		NextPartNumberMarker  int
	}
	from, _ := strconv.Atoi(marker)
	for n := from + 1; n <= 1000; n++ {
		p, ok := u.parts[n]
		if ok && len(out.Part) == page {
			out.IsTruncated, out.NextPartNumberMarker = true, out.Part[page-1].PartNumber
			break
		}
		if ok {
			out.Part = append(out.Part, p)
		}
	}
	answer(w, "ListPartsResult", out)
}

func (f *fakeS3) store(w http.ResponseWriter, u *fakeUpload, n int, body []byte, sum string) {
	u.parts[n] = fakePart{n, len(body), etag(body), sum, body}
	w.Header().Set("ETag", etag(body))
	if sum != "" {
		w.Header().Set("X-Amz-Checksum-Sha256", sum)
	}
}

func (f *fakeS3) complete(w http.ResponseWriter, u *fakeUpload) {
	f.objects[u.Key] = []byte{}
	for n := 1; n <= len(u.parts); n++ {
		f.objects[u.Key] = append(f.objects[u.Key], u.parts[n].body...)
	}
	f.uploads = slices.DeleteFunc(f.uploads, func(other *fakeUpload) bool { return other == u })
	answer(w, "CompleteMultipartUploadResult", struct{ Bucket, Key, ETag string }{"backups", u.Key, `"0123456789abcdef0123456789abcdef"`})
}

// pages: an unfinished upload that is on a later page of its listing, with its parts on several, is gone on with.
func (open OpenS3) pages(t *testing.T) {
	const blocks, sent, block = 9, 7, 10
	f, src := newFakeS3(t), NewSource(1, blocks*block, block)
	for i := range 2*page + 1 {
		f.begin("x", fmt.Sprint("old", i))
	}
	parts := f.begin("x", "wanted").parts
	for i := range sent {
		b := src.slice(i)
		sum := sha256.Sum256(b)
		parts[i+1] = fakePart{i + 1, len(b), etag(b), base64.StdEncoding.EncodeToString(sum[:]), b}
	}
	f.begin("x2", "of another object")
	if err := open.stub(t, f.URL, unhurried).Put(t.Context(), "x", src); err != nil {
		t.Fatal(err)
	}
	if string(f.objects["x"]) != string(src.bytes) || src.Made() != blocks-sent {
		t.Errorf("%d bytes, %d blocks were made", len(f.objects["x"]), src.Made())
	}
	if len(f.uploads) != 1 || f.uploads[0].Key != "x2" {
		t.Errorf("left: %v", f.uploads)
	}
}

// A Put that is under way when its target is closed fails, and opens no connections that nobody closes.
func (open OpenS3) closes(t *testing.T) {
	f, src := newFakeS3(t), NewSource(1, 90, 10)
	target := open.stub(t, f.URL, unhurried)
	src.Fail = func(_ context.Context, i int) error {
		if i == 5 {
			return target.Close()
		}
		return nil
	}
	if err := target.Put(t.Context(), "x", src); err == nil {
		t.Error("Put succeeded on a closed target")
	}
	for deadline := time.After(unhurried / 2); ; {
		f.mu.Lock()
		n := len(f.open)
		f.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-f.unused:
		case <-deadline:
			t.Fatalf("%d connections are left", n)
		}
	}
}

// RunS3Headers checks what goes over the wire: the SHA-256 of the payload, signed, always, and as a checksum for the
// store to keep only where it is wanted. Neither trailers nor other checksums, of which some stores know nothing.
func RunS3Headers(t *testing.T, open OpenS3, checksums bool) {
	f := newFakeS3(t)
	bucket := played(f.URL, unhurried)
	if bucket.Checksums = "auto"; !checksums {
		bucket.Checksums = "off"
	}
	target := open(t, bucket)
	for _, src := range []providers.Source{NewSource(1, 25, 10), NewSource(2, 5, 10), providers.Bytes(nil)} {
		if err := target.Put(t.Context(), "x", src); err != nil {
			t.Fatal(err)
		}
	}
	stored := 0
	for _, r := range f.requests {
		for _, name := range []string{"X-Amz-Trailer", "X-Amz-Sdk-Checksum-Algorithm", "Content-Md5", "Content-Encoding", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Crc32c"} {
			if v := r.Header.Get(name); v != "" && !(checksums && v == "SHA256") {
				t.Errorf("%s %s: %s: %s", r.Method, r.URL, name, v)
			}
		}
		for name, v := range r.Header {
			if !checksums && strings.HasPrefix(name, "X-Amz-Checksum") {
				t.Errorf("%s %s: %s: %s", r.Method, r.URL, name, v)
			}
		}
		if r.Method != http.MethodPut {
			continue
		}
		stored++
		sum := sha256.Sum256(r.body)
		if got := r.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) || !strings.Contains(r.Header.Get("Authorization"), "x-amz-content-sha256") {
			t.Errorf("%s: the signed hash of the payload is %s", r.URL, got)
		}
		if got := r.Header.Get("X-Amz-Checksum-Sha256"); checksums && got != base64.StdEncoding.EncodeToString(sum[:]) {
			t.Errorf("%s: the checksum is %s", r.URL, got)
		}
	}
	if stored != 5 {
		t.Errorf("%d bodies were sent", stored)
	}
}
