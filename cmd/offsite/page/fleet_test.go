package page_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"offsite/agent/status"
	"offsite/cmd/offsite/page"
)

// fleetOf is so many hosts with five series each, of which some are in trouble.
func fleetOf(now time.Time, n int) *status.Fleet {
	r := rand.New(rand.NewPCG(3, 4))
	f := &status.Fleet{Target: "nas", At: now, Whole: true, Checked: true, Hosts: []status.FleetHost{}}
	for i := range n {
		name := fmt.Sprintf("%s-%04d.prod.example.com", []string{"db", "web", "shop-eu", "mail"}[i%4], i)
		h := status.FleetHost{Host: name, Program: "offsite v0.9.0", Signers: []string{name + "+8f3a9c21"}}
		for k, series := range []string{"pg/shop", "pg/crypto-ai-agent", "mysql/wordpress", "redis/sessions", "etc"} {
			taken := now.Add(-time.Duration(20+r.IntN(1300)) * time.Minute).Truncate(time.Second)
			s := status.FleetSeries{Name: series, Newest: taken, Last: taken, Size: int64(40e6 * (1 + r.Float64()*60)), Health: "ok", Due: taken.Add(36 * time.Hour), Backups: 20 + r.IntN(9)}
			s.Stored = s.Size * int64(s.Backups)
			if i%13 == 5 && k == i%5 {
				troubled(&s, i/13, name, taken)
			}
			h.Series = append(h.Series, s)
		}
		if i == 40 || i == 41 {
			h.Shared = []string{fmt.Sprintf("mail-%04d.prod.example.com", 81-i)}
		}
		f.Hosts = append(f.Hosts, h)
	}
	f.Sum()
	return f
}

// troubled makes one of the kinds of trouble of a series.
func troubled(s *status.FleetSeries, kind int, host string, taken time.Time) {
	at := taken.UTC().Format("2006-01-02 15:04 UTC")
	switch kind % 6 {
	case 0, 1:
		s.Newest, s.Last, s.Due, s.Overdue = taken.AddDate(0, 0, -5), taken.AddDate(0, 0, -5), taken.AddDate(0, 0, -3), true
		s.Problems = []string{"overdue since " + s.Due.UTC().Format("2006-01-02 15:04 UTC") + ", the last one is of " + s.Last.UTC().Format("2006-01-02 15:04 UTC")}
	case 2:
		s.Health, s.Reason, s.Newest = "suspect", "ends in the middle of table public.users: no completion line; pg_dump was probably killed", taken.AddDate(0, 0, -1)
		s.Problems = []string{"the newest backup is suspect: " + s.Reason}
	case 3:
		s.Untrusted, s.Health, s.Newest, s.Size = 3, "", time.Time{}, 0
		s.Problems = []string{"the backup of " + at + " is signed by " + host + "+0badc0de, which is not trusted here", "none of the newest backups is healthy"}
	case 4:
		s.Damaged = 1
		s.Problems = []string{"the backup of " + at + " has 1000 bytes, and its manifest says 1200"}
	case 5:
		s.Unread = 1
		s.Problems = []string{"the manifest of the backup of " + at + " cannot be read: access denied"}
	}
}

// openFleet is that for everybody, of a fleet that does not change.
func openFleet(t testing.TB, f *status.Fleet, now func() time.Time) http.Handler {
	t.Helper()
	return withFleet(t, empty(now()), &reading{fleet: f}, now, page.Access{Unix: true}, quiet())
}

func said(t testing.TB, h http.Handler, address, id string) string {
	t.Helper()
	return text(find(t, get(t, h, address).Body.String(), id))
}

func TestIsTheFleetSafe(t *testing.T) {
	now := time.Now()
	fine := fleetOf(now, 3)
	fine.Hosts[0].Series[0].Due, fine.Hosts[2].Series[4].Due = time.Time{}, time.Time{}
	bad := fleetOf(now, 1000)
	warned := fleetOf(now, 3)
	warned.Hosts[1].Shared = []string{warned.Hosts[0].Host}
	warned.Sum()
	unchecked := fleetOf(now, 1)
	unchecked.Checked, unchecked.Whole, unchecked.Strange = false, false, 2
	for _, c := range []struct {
		f    *status.Fleet
		want []string
	}{
		{fine, []string{"All 3 hosts are safe", "signed by keys that are trusted here. 2 of 15 series have too few backups"}},
		{fleetOf(now, 1), []string{"The only host is safe"}},
		{bad, []string{"65 of 1,000 hosts in trouble", "In trouble: db-0044.prod.example.com, ", " and 60 more. 14 more hosts to look at."}},
		{warned, []string{"1 of 3 hosts to look at", "To look at: shop-eu-0002.prod.example.com."}},
		{&status.Fleet{Target: "nas", Whole: true, Checked: true}, []string{"No hosts yet", "Nothing on nas is a backup."}},
		{unchecked, []string{"No trouble is known", "1 host, as far as", "Who signed the backups was not checked.", "hosts may be missing here", "2 objects are there that offsite did not name"}},
	} {
		got := said(t, openFleet(t, c.f, time.Now), "/fleet", "verdict")
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s\nlacks %q", got, want)
			}
		}
	}
}

// Each row says how its host is, the worst first, and leads to its page, which says what is wrong and what to do.
func TestTheHostsOfAFleet(t *testing.T) {
	now := time.Now()
	f := fleetOf(now, 100)
	h := openFleet(t, f, func() time.Time { return now })
	body := get(t, h, "/fleet").Body.String()
	var rows, links []string
	for _, n := range nodes(t, body) {
		if n.Data == "tr" {
			rows = append(rows, text(n))
		}
		if n.Data == "a" && n.Parent.Data == "th" {
			links = append(links, attr(n, "href"))
		}
	}
	if len(rows) != 101 || len(links) != 100 || links[0] != "/fleet/"+f.Hosts[0].Host {
		t.Fatalf("%d rows, %d links: %.3q", len(rows), len(links), links)
	}
	all := strings.Join(rows, "\n")
	for _, want := range []string{"Problem 1 not trusted", "Problem 1 overdue 9 hours ago 5 115 156 GiB", "Problem 1 suspect", "Problem 1 damaged", "Warning 1 not readable", "Warning key shared with 1 host", "Safe "} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Index(all, "Safe") < strings.LastIndex(all, "Warning") || strings.Index(all, "Warning") < strings.LastIndex(all, "Problem") {
		t.Error("the worst do not come first")
	}
	for i, host := range f.Hosts {
		if host.Level == status.OK && i%17 != 0 {
			continue
		}
		got := said(t, h, links[i], "main")
		want := []string{host.Host, "offsite v0.9.0", host.Host + "+8f3a9c21", "mysql/wordpress", "days ago"}[:4]
		for _, s := range host.Series {
			for _, problem := range s.Problems {
				want = append(want, problem[1:]+".", "What to do:")
			}
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q:\n%s", host.Host, w, got)
			}
		}
		if host.Level == status.OK && strings.Contains(got, "What to do") {
			t.Errorf("%s is fine:\n%s", host.Host, got)
		}
	}
	if got := said(t, h, "/fleet/"+find1(f, func(h status.FleetHost) bool { return len(h.Shared) > 0 }).Host, "main"); !strings.Contains(got, "signs for other hosts too: mail-00") {
		t.Error(got)
	}
}

func find1(f *status.Fleet, like func(status.FleetHost) bool) status.FleetHost {
	return f.Hosts[slices.IndexFunc(f.Hosts, like)]
}

func TestFindsHosts(t *testing.T) {
	now := time.Now()
	f := fleetOf(now, 2400)
	f.Hosts[7].Series[0].Name = "Only/Here"
	h := openFleet(t, f, time.Now)
	for address, want := range map[string]int{
		"/fleet": 1000, "/fleet?page=2": 1000, "/fleet?page=3": 400, "/fleet?page=99": 400, "/fleet?page=-1": 1000, "/fleet?page=x": 1000,
		"/fleet?q=only%2Fhere": 1, "/fleet?q=+ONLY%2FHERE%0A": 1, "/fleet?q=web-0001.": 1, "/fleet?q=nobody": 0, "/fleet?q=" + strings.Repeat("a", 3000): 0,
		"/fleet?level=warning": 1000, "/fleet?level=nonsense": 1000, "/fleet?q=web-&level=ok": 552, "/fleet?q=%3Cscript%3E": 0,
	} {
		w := get(t, h, address)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", address, w.Code)
		}
		got := 0
		for _, n := range nodes(t, w.Body.String()) {
			got += one(n.Data == "th" && attr(n, "scope") == "row")
		}
		if address == "/fleet?level=warning" {
			want = strings.Count(fmt.Sprint(levels(f)), "warning")
		}
		if got != want {
			t.Errorf("%s shows %d hosts, want %d", address, got, want)
		}
	}
	// What is searched for stays in the form, and in where it leads; without anything found that is said.
	body := get(t, h, "/fleet?q=web-%22%3E&level=problem").Body.String()
	for _, want := range []string{`value="web-&#34;&gt;"`, `<option value="problem" selected>`, `href="/fleet?level=ok&amp;q=web-%22%3E"`, `data-query="?view=fleet&amp;level=problem&amp;q=web-%22%3E"`, "No host and no series has"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if got := said(t, h, "/fleet?q=only&page=5", "hosts"); strings.Contains(got, "Those") {
		t.Error(got)
	}
	if got := get(t, h, "/fleet?page=2&level=ok").Body.String(); !strings.Contains(got, `<a href="/fleet?level=ok" rel="prev">`) || !strings.Contains(got, `<a href="/fleet?level=ok&amp;page=3" rel="next">`) || !strings.Contains(got, "1,001 to 2,000 of 2,") {
		t.Errorf("%s", got[:2000])
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func levels(f *status.Fleet) (all []status.Level) {
	for _, h := range f.Hosts {
		all = append(all, h.Level)
	}
	return all
}

func TestTheFleetIsSmall(t *testing.T) {
	now := time.Now()
	f := fleetOf(now, 1000)
	n := get(t, openFleet(t, f, time.Now), "/fleet").Body.Len()
	for i := range f.Hosts {
		for k := range 5 {
			troubled(&f.Hosts[i].Series[k], k+1, "x", now)
		}
	}
	f.Sum()
	worst := get(t, openFleet(t, f, time.Now), "/fleet").Body.Len()
	t.Logf("%d bytes, %d when all hosts are in trouble", n, worst)
	if n > 400_000 || worst > 400_000 {
		t.Errorf("%d bytes, %d when all hosts are in trouble", n, worst)
	}
}

// Somebody who may write to the target can bring any number of series, and does not make the page of a host as large as that.
func TestAHostWithTooManySeries(t *testing.T) {
	f := fleetOf(time.Now(), 1)
	for i := range 30_000 {
		f.Hosts[0].Series = append(f.Hosts[0].Series, status.FleetSeries{Name: fmt.Sprint("s", i), Overdue: i == 20_000, Problems: []string{"p"}})
	}
	f.Sum()
	h := openFleet(t, f, time.Now)
	body := get(t, h, "/fleet/"+f.Hosts[0].Host).Body.String()
	if len(body) > 1_000_000 || !strings.Contains(body, "s20000") || !strings.Contains(body, "29,005 more are not shown") {
		t.Errorf("%d bytes", len(body))
	}
	if n := get(t, h, "/fleet").Body.Len(); n > 20_000 {
		t.Errorf("%d bytes for one host", n)
	}
}

func BenchmarkTheFleet(b *testing.B) {
	h := openFleet(b, fleetOf(time.Now(), 1000), time.Now)
	for b.Loop() {
		if w := get(b, h, "/fleet"); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

func TestTheFleetAsJSON(t *testing.T) {
	now := time.Now()
	f := fleetOf(now, 20)
	r := &reading{fleet: f, err: errors.New("one manifest cannot be read")}
	w := get(t, withFleet(t, empty(now), r, time.Now, page.Access{Unix: true}, quiet()), "/fleet.json")
	var got struct {
		status.Fleet
		Tried time.Time
		Error string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatal(err, w.Header())
	}
	if len(got.Hosts) != 20 || got.Hosts[0].Host != f.Hosts[0].Host || got.Series != 100 || got.Tried.IsZero() || got.Error != "one manifest cannot be read" {
		t.Errorf("%+v", got)
	}
}

func TestWithoutAFleetThereIsNoView(t *testing.T) {
	h := open(t, empty(time.Now()), time.Now)
	for _, address := range []string{"/fleet", "/fleet.json", "/fleet/a", "/fleet/"} {
		if w := get(t, h, address); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
	if body := get(t, h, "/").Body.String(); strings.Contains(body, "/fleet") {
		t.Error("there is a link to it")
	}
	if body := get(t, h, "/parts?view=fleet&id=facts").Body.String(); !strings.Contains(body, "Last dump offsite") {
		t.Error(body)
	}
}

func TestAHostThatIsNotThere(t *testing.T) {
	h := openFleet(t, fleetOf(time.Now(), 3), time.Now)
	for _, address := range []string{"/fleet/nobody", "/fleet/?name=", "/fleet/?name=..", "/fleet/web-0001.prod.example.com/", "/fleet/WEB-0001.prod.example.com"} {
		if w := get(t, h, address); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "There is no host of this name") {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
	if w := get(t, h, "/fleet/"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/fleet" {
		t.Error(w.Code, w.Header())
	}
}

// hostileFleet puts every text that hosts and targets choose to be s.
func hostileFleet(now time.Time, s string) *status.Fleet {
	f := &status.Fleet{Target: s, At: now, Whole: true, Checked: true, Hosts: []status.FleetHost{{
		Host: s, Program: s, Signers: []string{s}, Shared: []string{s},
		Series: []status.FleetSeries{{Name: s, Health: "suspect", Reason: s, Untrusted: 1, Overdue: true, Due: now, Backups: 1, Problems: []string{s}}},
	}}}
	f.Sum()
	return f
}

// Names of hosts and series are text, and lead nowhere but to their own page; so is what is searched for.
func TestNamesInTheFleetAreText(t *testing.T) {
	now := time.Now()
	tame := map[string][]string{}
	for i, s := range append([]string{"tame"}, hostile...) {
		r := &reading{fleet: hostileFleet(now, s), err: errors.New(s)}
		h := withFleet(t, empty(now), r, func() time.Time { return now }, page.Access{Unix: true}, quiet())
		link := ""
		for _, n := range nodes(t, get(t, h, "/fleet").Body.String()) {
			if n.Data == "a" && n.Parent.Data == "th" {
				link = attr(n, "href")
			}
		}
		if !strings.HasPrefix(link, "/fleet/") {
			t.Fatalf("%q leads to %q", s, link)
		}
		for kind, address := range map[string]string{"all": "/fleet", "found": "/fleet?q=" + url.QueryEscape(s), "lost": "/fleet?level=ok&q=x" + url.QueryEscape(s), "one": link} {
			w := get(t, h, address)
			if w.Code != http.StatusOK {
				t.Errorf("%q: %s answers %d to %s", s, address, w.Code, w.Header().Get("Location"))
				continue
			}
			shape := shapeOf(t, s, w.Body.String())
			if i == 0 {
				tame[kind] = shape
			} else if blank := strings.TrimSpace(s) == ""; !slices.Equal(shape, tame[kind]) && !(blank && (kind == "found" || kind == "one")) { // nothing to search for, or to show
				t.Errorf("%q makes another document of %s:\n%v\nwant\n%v", s, address, shape, tame[kind])
			}
		}
	}
}

// A browser tidies addresses up before it asks; every host is found all the same.
func FuzzEveryHostIsFound(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, s string) {
		h := openFleet(t, hostileFleet(now, s), func() time.Time { return now })
		for _, n := range nodes(t, get(t, h, "/fleet").Body.String()) {
			if n.Data != "a" || n.Parent.Data != "th" {
				continue
			}
			base := &url.URL{Scheme: "http", Host: "localhost", Path: "/"}
			link, err := base.Parse(attr(n, "href"))
			if err != nil || link.Host != "localhost" {
				t.Fatalf("%q: %v %v", s, link, err)
			}
			w := get(t, h, link.RequestURI())
			if w.Code != http.StatusOK {
				t.Errorf("%q: %s answers %d to %s", s, link, w.Code, w.Header().Get("Location"))
			}
			query := ""
			for _, n := range nodes(t, w.Body.String()) {
				if n.Data == "body" {
					query = attr(n, "data-query")
				}
			}
			if w := get(t, h, "/parts"+query+"&id=detail"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `id="detail"`) {
				t.Errorf("%q: its parts %s: %d", s, query, w.Code)
			}
		}
	})
}

func TestTheFleetIsForThoseWhoMayLook(t *testing.T) {
	token, hash := page.NewToken()
	var log bytes.Buffer
	r := &reading{fleet: fleetOf(time.Now(), 3)}
	h := withFleet(t, empty(time.Now()), r, time.Now, page.Access{TokenHash: hash}, slog.New(slog.NewTextHandler(&log, nil)))
	for _, address := range []string{"/fleet", "/fleet?q=web", "/fleet/web-0001.prod.example.com", "/fleet.json", "/fleet/", "/parts?view=fleet&id=hosts", "/events?view=fleet"} {
		v := visitor{t: t, handler: h, from: "10.0.0.1:1"}
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", address, r.Status)
		}
		v.header = html
		if r := v.do(http.MethodGet, address, nil); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/login?to="+url.QueryEscape(address) {
			t.Errorf("%s: %s to %s", address, r.Status, r.Header.Get("Location"))
		}
	}
	if r.count() != 0 {
		t.Error("it is read for somebody who may not look")
	}
	v := visitor{t: t, handler: h, from: "10.0.0.1:1", header: map[string]string{"Authorization": "Bearer " + token}}
	for _, address := range []string{"/fleet", "/fleet/web-0001.prod.example.com", "/fleet.json"} {
		got := v.do(http.MethodGet, address, nil)
		if csp := got.Header.Get("Content-Security-Policy"); got.StatusCode != http.StatusOK || !strings.Contains(csp, "default-src 'none'") || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %s", address, got.Status, csp)
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			if r := v.do(method, address, url.Values{}); r.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, address, r.Status)
			}
		}
	}
}
