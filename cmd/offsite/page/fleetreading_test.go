package page_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/status"
	"offsite/cmd/offsite/page"
)

// reading is a fleet that a test sets, and how it goes when it is read.
type reading struct {
	mu    sync.Mutex
	fleet *status.Fleet
	err   error
	takes time.Duration
	held  chan struct{} // if set, a reading ends when it is closed
	times int
	now   int // readings at once
	most  int
}

func (r *reading) read(ctx context.Context) (*status.Fleet, error) {
	r.mu.Lock()
	r.times++
	r.now++
	r.most = max(r.most, r.now)
	takes, held := r.takes, r.held
	r.mu.Unlock()
	defer func() { r.mu.Lock(); r.now--; r.mu.Unlock() }()
	if held == nil {
		held = make(chan struct{})
		time.AfterFunc(takes, func() { close(held) })
	}
	select {
	case <-held:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fleet, r.err
}

func (r *reading) set(f *status.Fleet, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fleet, r.err = f, err
}

func (r *reading) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times
}

// withFleet is a page with a view of a fleet, which reads until the test ends.
func withFleet(t testing.TB, f *fake, r *reading, now func() time.Time, a page.Access, log *slog.Logger) http.Handler {
	t.Helper()
	p, err := page.New(page.Options{Source: f, Zone: prague, Now: now, Log: log, Fleet: r.read})
	if err != nil {
		t.Fatal(err)
	}
	h, err := p.Behind(a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

// The fleet is read when somebody looks, once at a time; the first waits a moment and then is told; what was read holds for a while, and
// for as long as nobody looks nothing is read.
func TestTheFleetIsReadWhileSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{fleet: fleetOf(time.Now(), 3), takes: time.Minute}
		h := withFleet(t, empty(time.Now()), r, time.Now, page.Access{Unix: true}, quiet())
		get(t, h, "/")
		time.Sleep(24 * time.Hour)
		if r.count() != 0 {
			t.Fatal("nobody asked for it")
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got := said(t, h, "/fleet", "headline"); got != "The fleet is being read" {
					t.Error(got)
				}
			})
		}
		all.Wait()
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("the first waited %s", waited)
		}
		if w := get(t, h, "/fleet.json"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Error(w.Code, w.Header())
		}
		if w := get(t, h, "/fleet/web-0001.prod.example.com"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "is being read") {
			t.Error(w.Code)
		}
		if w := get(t, h, "/"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="/fleet"`) {
			t.Error(w.Code)
		}
		time.Sleep(time.Minute)
		for range 100 {
			if got := said(t, h, "/fleet", "headline"); got != "All 3 hosts are safe" {
				t.Fatal(got)
			}
			time.Sleep(8 * time.Second) // 13 min 20 s
		}
		if n := r.count(); n != 1 {
			t.Errorf("read %d times", n)
		}
		time.Sleep(24 * time.Hour)
		if n := r.count(); n != 1 {
			t.Errorf("read %d times while nobody looked", n)
		}
		r.set(fleetOf(time.Now(), 4), nil)
		began = time.Now()
		if got := said(t, h, "/fleet", "verdict") + said(t, h, "/fleet", "facts"); !strings.Contains(got, "All 3 hosts") || !strings.Contains(got, "2 days ago") || time.Since(began) > 0 {
			t.Errorf("after %s: %s", time.Since(began), got)
		}
		synctest.Wait()
		if got := said(t, h, "/fleet", "facts"); !strings.Contains(got, "being read again now") {
			t.Error(got)
		}
		time.Sleep(time.Minute + time.Second)
		if got := said(t, h, "/fleet", "headline"); got != "All 4 hosts are safe" || r.count() != 2 || r.most != 1 {
			t.Errorf("%s, read %d times, %d at once", got, r.count(), r.most)
		}
	})
}

// What was read stays when the next reading fails, and that is said; it is tried again soon, and then ever less often.
func TestAReadingThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{err: errors.New("nas: list: access denied\nnas: close: gone")}
		h := withFleet(t, empty(time.Now()), r, time.Now, page.Access{Unix: true}, quiet())
		if got := said(t, h, "/fleet", "verdict"); !strings.Contains(got, "The fleet cannot be read nas: list: access denied; nas: close: gone.") {
			t.Error(got)
		}
		if w := get(t, h, "/fleet.json"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "access denied") {
			t.Error(w.Code, w.Body)
		}
		part := fleetOf(time.Now(), 2)
		part.Whole = false
		r.set(part, errors.New("timeout"))
		time.Sleep(61 * time.Second)
		said(t, h, "/fleet", "verdict")
		synctest.Wait()
		if got := said(t, h, "/fleet", "verdict"); !strings.Contains(got, "No trouble is known 2 hosts, as") || !strings.Contains(got, "Not all of the fleet could be read: timeout.") || !strings.Contains(got, "hosts may be missing") {
			t.Error(got)
		}
		r.set(fleetOf(time.Now(), 5), nil)
		time.Sleep(121 * time.Second)
		said(t, h, "/fleet", "verdict")
		synctest.Wait()
		if got := said(t, h, "/fleet", "verdict"); !strings.HasSuffix(got, "All 5 hosts are safe Nothing is overdue, and the newest backups are healthy and signed by keys that are trusted here.") {
			t.Error(got)
		}
		before := r.count()
		r.set(part, errors.New("timeout")) // less than what there is
		for range 24 * 60 {
			said(t, h, "/fleet", "verdict")
			time.Sleep(time.Minute)
		}
		got := said(t, h, "/fleet", "verdict") + " " + said(t, h, "/fleet", "facts")
		if !strings.Contains(got, "No trouble is known 5 hosts, as") || !strings.Contains(got, "The last try to read the fleet failed: timeout. What is shown here is older.") || !strings.Contains(got, "24 hours ago") {
			t.Error(got)
		}
		if n := r.count() - before; n < 90 || n > 102 {
			t.Errorf("tried %d times in a day", n)
		}
		if n := strings.Count(said(t, h, "/fleet/web-0001.prod.example.com", "verdict"), "What is shown here is older."); n != 1 {
			t.Error("a host's page does not say that it is old")
		}
	})
}

// The stream wakes those who look when the fleet was read.
func TestTheStreamTellsOfAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{fleet: fleetOf(time.Now(), 3), takes: 5 * time.Second}
		h := withFleet(t, empty(time.Now()), r, time.Now, page.Access{Unix: true}, quiet())
		ctx, stop := context.WithTimeout(t.Context(), 9*time.Second) // before the first heartbeat
		defer stop()
		w := &slowWriter{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/events?view=fleet&level=ok", nil).WithContext(ctx))
		if told := w.Body.String(); strings.Count(told, `"hosts":`) != 2 || !strings.Contains(told, `"find":"none"`) || strings.Contains(told, `"targets"`) {
			t.Error(told)
		}
		get(t, h, "/fleet")
		for _, host := range []string{"mail-0003.prod.example.com", "nobody"} {
			want := http.StatusOK
			if host == "nobody" {
				want = http.StatusNotFound
			}
			if host == "mail-0003.prod.example.com" {
				host = "web-0001.prod.example.com"
			}
			if got := get(t, h, "/parts?view=fleet&id=detail&host="+host).Code; got != want {
				t.Errorf("%s: %d", host, got)
			}
		}
	})
}

// slowWriter takes the deadlines that a connection does.
type slowWriter struct{ *httptest.ResponseRecorder }

func (slowWriter) SetWriteDeadline(time.Time) error { return nil }
