package page_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"offsite/agent/status"
	"offsite/cmd/offsite/page"
)

// sink is a connection to which events are written.
type sink struct {
	mu     sync.Mutex
	b      bytes.Buffer
	header http.Header
	code   int
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(code int)             { s.code = code }
func (s *sink) Flush()                           {}
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// news are the parts that were told of since it was called last.
func (s *sink) news(t *testing.T) map[string]string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for line := range strings.Lines(s.b.String()) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &all); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.b.Reset()
	return all
}

// look opens a stream; ended is closed with it.
func look(h http.Handler, address string, cookies ...*http.Cookie) (s *sink, leave func(), ended chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	r.Host = "localhost"
	s, ended = &sink{header: http.Header{}}, make(chan struct{})
	go func() {
		defer close(ended)
		h.ServeHTTP(s, r)
	}()
	return s, cancel, ended
}

func TestAStreamTellsWhatHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := realistic(time.Now(), 3)
		h := open(t, f, time.Now)
		s, leave, ended := look(h, "/events")
		time.Sleep(2 * time.Second)
		all := s.news(t)
		body := get(t, h, "/").Body.String()
		for _, n := range nodes(t, body) {
			if v := attr(n, "data-v"); v != "" && all[attr(n, "id")] != v {
				t.Errorf("%s is %s on the page and %s in the stream", attr(n, "id"), v, all[attr(n, "id")])
			}
		}
		if len(all) < 10 || s.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%v, %v", all, s.header)
		}
		f.change(func(h *status.Host) {
			h.Transfers = []status.Transfer{{Target: "nas", Series: "pg/shop", Done: 1, Total: 2}}
		})
		time.Sleep(2 * time.Second)
		if news := s.news(t); len(news) != 1 || news["uploads"] == "" {
			t.Errorf("an upload changes %v", news)
		}
		for i := range 100 { // much happens at once: not much is told
			f.change(func(h *status.Host) {
				h.Transfers = []status.Transfer{{Target: "nas", Series: "pg/shop", Done: int64(i), Total: 200}}
			})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		s.mu.Lock()
		if n := strings.Count(s.b.String(), "event:"); n > 2 {
			t.Errorf("%d events in a second", n)
		}
		s.mu.Unlock()
		leave()
		<-ended
	})
}

// Silence is broken now and then, so that both sides know that the other is there, and so that what the time alone changes shows.
func TestAStreamBreathes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := realistic(time.Now(), 1)
		s, leave, ended := look(open(t, f, time.Now), "/events")
		time.Sleep(10 * time.Second)
		s.news(t)
		f.mu.Lock()
		f.host.Level, f.host.Alarms = status.Problem, []status.Alarm{{Key: "overdue/pg/shop", Level: status.Problem, Text: "late"}}
		f.mu.Unlock()
		time.Sleep(40 * time.Second)
		s.mu.Lock()
		if !strings.Contains(s.b.String(), ": nothing new") {
			t.Errorf("%q", s.b.String())
		}
		s.mu.Unlock()
		if news := s.news(t); news["verdict"] == "" {
			t.Errorf("an alarm that came by itself is not told: %v", news)
		}
		leave()
		<-ended
	})
}

func TestAStreamOfASeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := realistic(time.Now(), 2)
		s, leave, ended := look(open(t, f, time.Now), "/events?series=pg/shop")
		time.Sleep(2 * time.Second)
		if all := s.news(t); all["detail"] == "" || all["verdict"] == "" || all["targets"] != "" {
			t.Errorf("%v", all)
		}
		asked := f.times("series")
		f.change(func(h *status.Host) {
			h.Transfers = []status.Transfer{{Target: "nas", Series: "elsewhere", Done: 1, Total: 2}}
		})
		time.Sleep(2 * time.Second)
		if news := s.news(t); len(news) != 0 || f.times("series") != asked {
			t.Errorf("what is of another series changes %v, and asks %d times", news, f.times("series")-asked)
		}
		f.change(func(h *status.Host) {
			h.Series = append([]status.Series(nil), h.Series...)
			h.Series[0].Overdue = true
			d := *f.series["pg/shop"]
			d.Series = h.Series[0]
			f.series["pg/shop"] = &d
		})
		time.Sleep(2 * time.Second)
		if news := s.news(t); news["detail"] == "" || f.times("series") != asked+1 {
			t.Errorf("%v", news)
		}
		leave()
		<-ended
	})
}

func TestNotTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, realistic(time.Now(), 1), time.Now)
		var leaves []func()
		var ends []chan struct{}
		for range 64 {
			_, leave, ended := look(h, "/events")
			leaves, ends = append(leaves, leave), append(ends, ended)
		}
		synctest.Wait()
		s, _, ended := look(h, "/events")
		<-ended
		if s.code != http.StatusServiceUnavailable || s.header.Get("Retry-After") == "" {
			t.Errorf("%d", s.code)
		}
		if w := get(t, h, "/"); w.Code != http.StatusOK {
			t.Error(w.Code)
		}
		leaves[0]()
		<-ends[0]
		s, leave, ended := look(h, "/events") // there is room again
		time.Sleep(time.Second)
		if len(s.news(t)) == 0 {
			t.Error("no room although one has left")
		}
		leave()
		<-ended
		for i := 1; i < 64; i++ {
			leaves[i]()
			<-ends[i]
		}
	})
}

func TestAStreamEndsWithItsLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, hash := page.NewToken()
		h := behind(t, realistic(time.Now(), 1), time.Now, page.Access{TokenHash: hash}, quiet())
		v := &visitor{t: t, handler: h}
		v.login(token, "/")
		_, _, ended := look(h, "/events", v.cookies...)
		time.Sleep(5 * time.Second)
		began := time.Now()
		v.do(http.MethodPost, "/logout", url.Values{})
		<-ended
		if time.Since(began) > time.Second {
			t.Error("the stream outlives the logout")
		}
		v.login(token, "/")
		began = time.Now()
		_, _, ended = look(h, "/events", v.cookies...)
		<-ended // by itself, so that it is asked again who looks
		if d := time.Since(began); d < 59*time.Minute || d > 61*time.Minute {
			t.Error(d)
		}
	})
}

// The Source is asked once for all who look, and for what costs more only when it may be something else.
func TestTheSourceIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := realistic(time.Now(), 3)
		h := open(t, f, time.Now)
		for range 10 {
			get(t, h, "/")
		}
		if f.times("status") != 1 || f.times("days") != 1 || f.times("next") != 1 {
			t.Errorf("%v", f.asked)
		}
		for range 30 {
			f.change(func(h *status.Host) {
				h.Transfers = append([]status.Transfer(nil), status.Transfer{Done: time.Now().Unix()})
			})
			time.Sleep(time.Second)
			get(t, h, "/")
		}
		if f.times("status") != 31 || f.times("days") != 1 {
			t.Errorf("%v", f.asked)
		}
		f.change(func(h *status.Host) {
			h.Series = append([]status.Series(nil), h.Series...)
			h.Series[0].On = append([]status.Copies(nil), h.Series[0].On...)
			h.Series[0].On[0].Backups++
		})
		get(t, h, "/")
		if f.times("days") != 2 {
			t.Errorf("%v", f.asked)
		}
		time.Sleep(11 * time.Minute)
		get(t, h, "/")
		if f.times("days") != 3 {
			t.Errorf("%v", f.asked)
		}
	})
}
