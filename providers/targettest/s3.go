package targettest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"offsite/providers"
)

// S3 is a bucket, with what the kinds of target for buckets have in their configurations alike.
type S3 struct {
	Endpoint, Bucket, Prefix, CAFile string
	AccessKey, SecretKey             providers.Secret
	Checksums, Versions              string
	Lock                             *providers.Lock
	IdleTimeout                      time.Duration
}

// OpenS3 opens a target in a bucket, by path-style addresses, and closes it when the test ends.
type OpenS3 func(t testing.TB, bucket S3) providers.Target

// played is the bucket of a server that only plays S3.
func played(endpoint string, idle time.Duration) S3 {
	return S3{Endpoint: endpoint, Bucket: "backups", AccessKey: providers.NewSecret("a"), SecretKey: providers.NewSecret("b"), IdleTimeout: idle}
}

// stub opens a target on a server that only plays S3.
func (open OpenS3) stub(t testing.TB, endpoint string, idle time.Duration) providers.Target {
	t.Helper()
	return open(t, played(endpoint, idle))
}

// RunS3 checks what a client of S3 makes of servers that refuse, stall, lie and break off. Real servers do not do so
// when a test wants them to.
func RunS3(t *testing.T, open OpenS3) {
	for _, c := range []struct {
		name string
		test func(OpenS3, *testing.T)
	}{
		{"every answer has its kind", OpenS3.answers},
		{"an object is not missing when its bucket is", OpenS3.missingBucket},
		{"redirects are not followed", OpenS3.redirects},
		{"a server that stops in the middle of an object ends the read", OpenS3.stallingGet},
		{"a server that stops in the middle of reading ends the put", OpenS3.stallingPut},
		{"the refusal of a large body is heard", OpenS3.refusedBody},
		{"an object that breaks off is not a short object", OpenS3.breakingGet},
		{"close ends what is under way", OpenS3.closes},
		{"what an earlier put left is found on every page", OpenS3.pages},
		{"a server that ignores the range is an error", OpenS3.ignoredRange},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(open, t)
		})
	}
}

// unhurried is an idle time that no test waits for.
const unhurried = time.Minute

// serve starts a server. Its handlers should return when end is closed.
func serve(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, end <-chan struct{})) *httptest.Server {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, end) }))
	t.Cleanup(func() {
		close(end)
		server.Close()
	})
	return server
}

// refuse answers as S3 does: the code is in the body, and HEAD has none.
func refuse(w http.ResponseWriter, status int, code string) {
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>said the test</Message><RequestId>1</RequestId></Error>`, code)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// answers are the errors of S3 stores and of what stands before them. kind is what they mean to calls whose answer has
// a body, head to those that have none and are known by the status alone; nil: worth another try.
var answers = []struct {
	status int
	code   string
	kind   error
	head   error
}{
	{301, "PermanentRedirect", providers.ErrPermanent, providers.ErrPermanent},
	{302, "", providers.ErrPermanent, providers.ErrPermanent},
	{307, "TemporaryRedirect", nil, nil},
	{400, "AuthorizationHeaderMalformed", providers.ErrPermanent, providers.ErrPermanent},
	{400, "BadDigest", providers.ErrCorrupt, providers.ErrPermanent},
	{400, "EntityTooLarge", providers.ErrPermanent, providers.ErrPermanent},
	{400, "EntityTooSmall", providers.ErrPermanent, providers.ErrPermanent},
	{400, "ExpiredToken", fs.ErrPermission, providers.ErrPermanent},
	{400, "IncompleteBody", nil, providers.ErrPermanent},
	{400, "InvalidPart", providers.ErrCorrupt, providers.ErrPermanent},
	{400, "InvalidRequest", providers.ErrPermanent, providers.ErrPermanent},
	{400, "RequestTimeout", nil, providers.ErrPermanent},
	{400, "XAmzContentSHA256Mismatch", providers.ErrCorrupt, providers.ErrPermanent},
	{401, "Unauthorized", fs.ErrPermission, fs.ErrPermission},
	{403, "AccessDenied", fs.ErrPermission, fs.ErrPermission},
	{403, "InvalidAccessKeyId", fs.ErrPermission, fs.ErrPermission},
	{403, "RequestTimeTooSkewed", providers.ErrPermanent, fs.ErrPermission},
	{403, "SignatureDoesNotMatch", fs.ErrPermission, fs.ErrPermission},
	{404, "NoSuchBucket", providers.ErrPermanent, providers.ErrPermanent},
	{405, "MethodNotAllowed", providers.ErrPermanent, providers.ErrPermanent},
	{408, "RequestTimeout", nil, nil},
	{409, "OperationAborted", nil, nil},
	{411, "MissingContentLength", providers.ErrPermanent, providers.ErrPermanent},
	{412, "PreconditionFailed", nil, nil},
	{413, "", providers.ErrPermanent, providers.ErrPermanent},
	{429, "TooManyRequests", nil, nil},
	{500, "InternalError", nil, nil},
	{501, "NotImplemented", providers.ErrPermanent, providers.ErrPermanent},
	{502, "", nil, nil},
	{503, "SlowDown", nil, nil},
	{507, "XMinioStorageFull", nil, nil},
}

func (open OpenS3) answers(t *testing.T) {
	for _, c := range answers {
		t.Run(fmt.Sprint(c.status, c.code), func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
				io.Copy(io.Discard, r.Body)
				if c.code == "" {
					http.Error(w, "<html>a proxy, which knows nothing of S3<hr>", c.status)
					return
				}
				refuse(w, c.status, c.code)
			})
			target := open.stub(t, server.URL, unhurried)
			var calls sync.WaitGroup // at once, because a client may wait and try again
			check := func(what string, kind error, call func() error) {
				calls.Go(func() { wantKind(t, what, call(), kind) })
			}
			check("stat", c.head, func() error { _, err := target.Stat(t.Context(), "x"); return err })
			check("get", c.kind, func() error { _, err := target.Get(t.Context(), "x", 0, -1); return err })
			check("get of a range", c.kind, func() error { _, err := target.Get(t.Context(), "x", 5, 5); return err })
			check("list", c.kind, func() error { return listError(t, target) })
			check("put", c.kind, func() error { return target.Put(t.Context(), "x", providers.Bytes([]byte("x"))) })
			check("put in blocks", c.kind, func() error { return target.Put(t.Context(), "x", NewSource(1, 10, 5)) })
			check("delete", c.kind, func() error { return target.Delete(t.Context(), "x") })
			calls.Wait()
		})
	}
}

func listError(t testing.TB, target providers.Target) (err error) {
	for _, err = range target.List(t.Context(), "x") {
	}
	return err
}

// wantKind says whether err is of that kind and of no other; nil: of none.
func wantKind(t testing.TB, what string, err, kind error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %v", what, kind)
		return
	}
	for _, k := range []error{fs.ErrNotExist, fs.ErrPermission, providers.ErrPermanent, providers.ErrCorrupt, providers.ErrSourceChanged} {
		if errors.Is(err, k) != (k == kind) {
			t.Errorf("%s: %v: is it %q? %v, want %v", what, err, k, errors.Is(err, k), k == kind)
		}
	}
	if !errors.As(err, new(*providers.Error)) {
		t.Errorf("%s: %#v, want a *providers.Error", what, err)
	}
}

// The answer to HEAD has no body that could say what is missing.
func (open OpenS3) missingBucket(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   string // of the answer to GET, empty: it has no body either
		bucket int    // the status of the bucket itself
		kind   error
	}{
		{"the bucket is there", "NoSuchKey", 200, fs.ErrNotExist},
		{"the bucket is there, and no body", "", 200, fs.ErrNotExist},
		{"the bucket is missing", "NoSuchBucket", 404, providers.ErrPermanent},
		{"the bucket is missing, and no body", "", 404, providers.ErrPermanent},
		{"credentials may not ask for the bucket", "NoSuchKey", 403, fs.ErrNotExist},
		{"the server fails meanwhile, and no body", "", 503, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
				switch {
				case strings.Trim(r.URL.Path, "/") == "backups":
					asked.Add(1)
					w.WriteHeader(c.bucket)
				case c.code == "":
					w.WriteHeader(http.StatusNotFound)
				default:
					refuse(w, http.StatusNotFound, c.code)
				}
			})
			target := open.stub(t, server.URL, unhurried)
			_, err := target.Stat(t.Context(), "x")
			wantKind(t, "stat", err, c.kind)
			if n := asked.Load(); n > 1 && c.bucket < 500 {
				t.Errorf("Stat asked for the bucket %d times", n)
			}
			_, err = target.Get(t.Context(), "x", 0, -1)
			wantKind(t, "get", err, c.kind)
			_, err = target.Get(t.Context(), "x", 0, 0)
			wantKind(t, "get of nothing", err, c.kind)
		})
	}
	// Where no object is asked for, "not found" is about the bucket or the address.
	server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) { http.NotFound(w, r) })
	target := open.stub(t, server.URL, unhurried)
	wantKind(t, "put", target.Put(t.Context(), "x", providers.Bytes([]byte("x"))), providers.ErrPermanent)
	wantKind(t, "put in blocks", target.Put(t.Context(), "x", NewSource(1, 10, 5)), providers.ErrPermanent)
	wantKind(t, "delete", target.Delete(t.Context(), "x"), providers.ErrPermanent)
	wantKind(t, "list", listError(t, target), providers.ErrPermanent)
}

// A client that follows a redirect makes a GET of a PUT, and takes the answer for success.
func (open OpenS3) redirects(t *testing.T) {
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
		t.Errorf("%s %s went elsewhere", r.Method, r.URL)
		w.Header().Set("ETag", `"1"`)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		})
		target := open.stub(t, server.URL, unhurried)
		if err := target.Put(t.Context(), "x", providers.Bytes([]byte("x"))); err == nil {
			t.Errorf("%d: Put succeeded", status)
		}
		if _, err := target.Stat(t.Context(), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: Stat: %v", status, err)
		}
	}
}

// short is an idle time that the tests of stalling servers wait for.
const short = 300 * time.Millisecond

func (open OpenS3) stallingGet(t *testing.T) {
	const half = 100_000
	server := serve(t, func(w http.ResponseWriter, r *http.Request, end <-chan struct{}) {
		header(w, 2*half)
		w.Write(make([]byte, half))
		w.(http.Flusher).Flush()
		<-end
	})
	for idle := short; ; idle *= 4 {
		b, err := read(t, open.stub(t, server.URL, idle))
		if len(b) < half && idle < unhurried { // the machine was silent, and not the server
			continue
		}
		if len(b) != half || err == nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		wantKind(t, "reading", err, nil)
		return
	}
}

func (open OpenS3) stallingPut(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request, end <-chan struct{}) {
		io.CopyN(io.Discard, r.Body, 1<<20)
		<-end
	})
	// More than the buffers of both ends of the connection take.
	err := open.stub(t, server.URL, short).Put(t.Context(), "x", NewSource(1, 32<<20, 32<<20))
	wantKind(t, "put", err, nil)
}

// Servers refuse by the header, and close the connection on a client that is still sending.
func (open OpenS3) refusedBody(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
		refuse(w, http.StatusForbidden, "AccessDenied")
	})
	target := open.stub(t, server.URL, unhurried)
	for range 5 {
		wantKind(t, "put", target.Put(t.Context(), "x", NewSource(1, 16<<20, 16<<20)), fs.ErrPermission)
	}
}

func (open OpenS3) breakingGet(t *testing.T) {
	const half = 100_000
	for _, c := range []struct {
		name   string
		length int
	}{{"with a length", 2 * half}, {"in chunks", -1}} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
				header(w, c.length)
				w.Write(make([]byte, half))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler) // breaks the connection off
			})
			b, err := read(t, open.stub(t, server.URL, unhurried))
			if len(b) != half {
				t.Errorf("%d bytes", len(b))
			}
			wantKind(t, "reading", err, nil)
		})
	}
}

func (open OpenS3) ignoredRange(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
		header(w, 100)
		w.Write(make([]byte, 100))
	})
	target := open.stub(t, server.URL, unhurried)
	for _, r := range [][2]int64{{5, 10}, {5, -1}, {0, 10}} {
		_, err := target.Get(t.Context(), "x", r[0], r[1])
		wantKind(t, "get", err, providers.ErrPermanent)
	}
}

// header is that of an object; length < 0: in chunks.
func header(w http.ResponseWriter, length int) {
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	if length >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(length))
	}
}

func read(t testing.TB, target providers.Target) ([]byte, error) {
	t.Helper()
	r, err := target.Get(t.Context(), "x", 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
