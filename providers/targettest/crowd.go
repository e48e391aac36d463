package targettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"offsite/providers"
)

// crowdPage is how many objects a store lists at once.
const crowdPage = 1000

// CrowdObject is object i of a place with as many objects as anybody asks for, in the order of a listing: 1,000 backups, of
// two objects each, of five databases of each host.
func CrowdObject(i int) providers.Object {
	n, size, suffix := i/2, int64(3<<30), ""
	if i%2 == 1 {
		size, suffix = 15_000, ".manifest"
	}
	taken := time.Date(2024, 1, 1, 3, 0, 0, 0, time.UTC).AddDate(0, 0, n%1000)
	return providers.Object{
		Name:     fmt.Sprintf("host-%06d/db%d/%s_%08x_db.sql.gz.age%s", n/5000, n/1000%5, taken.Format("20060102T150405Z"), n, suffix),
		Size:     size,
		Modified: taken.Add(time.Hour),
	}
}

// crowd is an S3 store with size objects that it makes up when they are listed. It counts its pages.
func crowd(size int, pages *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("continuation-token"))
		to := min(from+crowdPage, size)
		pages.Add(1)
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>backups</Name><Prefix></Prefix><KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys><IsTruncated>%t</IsTruncated>`, to-from, crowdPage, to < size)
		if to < size {
			fmt.Fprintf(w, "<NextContinuationToken>%d</NextContinuationToken>", to)
		}
		for i := from; i < to; i++ {
			o := CrowdObject(i)
			fmt.Fprintf(w, `<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;9b2cf535f27731c974343645a3985328-7&quot;</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>`,
				o.Name, o.Modified.Format("2006-01-02T15:04:05.000Z"), o.Size)
		}
		io.WriteString(w, "</ListBucketResult>")
	}
}

// RunS3Crowd checks that a listing is fetched page by page, as it is read.
func RunS3Crowd(t *testing.T, open OpenS3) {
	var pages atomic.Int64
	server := httptest.NewServer(crowd(5*crowdPage+1, &pages))
	defer server.Close()
	target := open.stub(t, server.URL, unhurried)
	seen := 0
	for o, err := range target.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if want := CrowdObject(seen); o.Name != want.Name || o.Size != want.Size || !o.Modified.Equal(want.Modified) {
			t.Fatalf("object %d is %+v, want %+v", seen, o, want)
		}
		if seen++; pages.Load() > int64(seen/crowdPage+2) {
			t.Fatalf("%d pages were fetched for %d objects", pages.Load(), seen)
		}
	}
	if seen != 5*crowdPage+1 || pages.Load() != 6 {
		t.Errorf("%d objects on %d pages", seen, pages.Load())
	}
}

// BenchmarkS3Crowd lists one page of an endless bucket per round: with -benchtime 10000x, ten million objects. MiB-held is what the
// client held more at the end than at the first page.
func BenchmarkS3Crowd(b *testing.B, open OpenS3) {
	var pages atomic.Int64
	server := httptest.NewServer(crowd(1<<40, &pages))
	defer server.Close()
	next, stop := iter.Pull2(open.stub(b, server.URL, unhurried).List(b.Context(), ""))
	defer stop()
	page := func() {
		for range crowdPage {
			if _, err, ok := next(); err != nil || !ok {
				b.Fatal(err)
			}
		}
	}
	page()
	before := held()
	for b.Loop() {
		page()
	}
	b.ReportMetric(float64(held()-before)/(1<<20), "MiB-held")
	b.ReportMetric(float64(pages.Load()), "pages")
}

// held is how many bytes of the heap are in use.
func held() int64 {
	runtime.GC()
	runtime.GC() // what had a finalizer goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Crowd is a target of Size objects that are listed and are not there.
type Crowd struct {
	providers.Target
	Size int
}

// List is part of providers.Target, for the empty prefix.
func (c Crowd) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		if prefix != "" {
			yield(providers.Object{}, errors.ErrUnsupported)
			return
		}
		for i := range c.Size {
			if !yield(CrowdObject(i), ctx.Err()) {
				return
			}
		}
	}
}
