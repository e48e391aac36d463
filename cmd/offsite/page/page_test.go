package page_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	nethtml "golang.org/x/net/html"

	"offsite/agent/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nodes are all elements of a document.
func nodes(t testing.TB, body string) []*nethtml.Node {
	t.Helper()
	doc, err := nethtml.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var all []*nethtml.Node
	for n := range doc.Descendants() {
		if n.Type == nethtml.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *nethtml.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *nethtml.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		switch {
		case d.Type == nethtml.TextNode:
			b.WriteString(d.Data)
		case slices.Contains([]string{"td", "th", "dt", "dd", "li", "p", "div", "h2", "h3"}, d.Data):
			b.WriteString(" ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func find(t testing.TB, body, id string) *nethtml.Node {
	t.Helper()
	for _, n := range nodes(t, body) {
		if attr(n, "id") == id {
			return n
		}
	}
	t.Fatalf("there is no %s in\n%s", id, body)
	return nil
}

func TestIsEverythingSafe(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		f              *fake
		headline, said string
	}{
		{realistic(now, 5), "Everything is safe", "Every dump that is to go offsite is there: 5 databases, 3 targets."},
		{realistic(now, 5).troubled(now), "1 problem, 1 warning", "3 dumps are still to be delivered."},
		{empty(now), "Nothing to protect yet", "The first one will show here."},
	} {
		body := get(t, open(t, c.f, time.Now), "/").Body.String()
		if got := text(find(t, body, "headline")); got != c.headline {
			t.Errorf("%s, want %s", got, c.headline)
		}
		if got := text(find(t, body, "verdict")); !strings.Contains(got, c.said) {
			t.Errorf("%s, want %s", got, c.said)
		}
	}
	stopped := realistic(now, 1)
	stopped.host.Running = false
	if got := text(find(t, get(t, open(t, stopped, time.Now), "/").Body.String(), "verdict")); !strings.Contains(got, "No agent runs") {
		t.Error(got)
	}
}

// All that the issue of the page asks for is on it, as text.
func TestAllIsThere(t *testing.T) {
	now := time.Now()
	h := open(t, realistic(now, 5).troubled(now), time.Now)
	body := get(t, h, "/").Body.String()
	for id, want := range map[string][]string{
		"verdict": {"The target aws has taken nothing for 27 hours", "What to do: Look whether the key may still write: offsite doctor --target aws", "mysql/wordpress"},
		"facts":   {"Last dump offsite", "minutes ago pg/shop", "92 % 333 of 360", "Waiting 3 3.8 GiB to deliver"},
		"uploads": {"pg/crypto-ai-agent to lan 43 %", "crypto-ai-agent_20261122_120001.sql.gz 1.2 GiB of 2.8 GiB, 6.9 MiB/s, 3 min 57 s left"},
		"series":  {"Last dump 20 minutes ago, healthy", "Due in 24 hours, usually every day", "suspect: less than half as large as usual", "24 hours ago 1 waiting 24"},
		"targets": {"nas Works dir:/mnt/nas/backups", "144 GiB in 120 backups", "120 of 120 within 30 days", "Takes nothing since", "put: access denied", "41 permission errors"},
		"next":    {"15 backups", "pg/shop", "aws, lan, nas"},
		"drills":  {"Passed 7 days ago from aws in 4 min 59 s, 1,204,331 rows", "Failed", "gave 0, which is not > 100", "overdue", "Not run yet"},
		"ways":    {"mail works 26 hours ago", "webhook works nothing yet"},
	} {
		got := text(find(t, body, id))
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q:\n%s", id, w, got)
			}
		}
	}
	for _, want := range []string{`<noscript><meta http-equiv="refresh" content="30"></noscript>`, "Calendar from ", "Sizes of the last 15 dumps: first ", "The last 12 runs: 11 passed, 1 failed; the last took 4 min 59 s."} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	body = get(t, h, "/series/pg/shop").Body.String()
	got := text(find(t, body, "detail"))
	for _, want := range []string{"offsite restore --identity identity.txt pg/shop", "healthy, PostgreSQL plain, gzip", "aws 24 hours ago 1 waiting", "goes next", "proven whole 24 hours ago", "not read again yet · locked until ",
		"offsite restore --identity identity.txt db-server/pg/shop/20", "nas, lan, aws no rule keeps it", "As a table", "kept as weekly"} {
		if !strings.Contains(got, want) {
			t.Errorf("the series lacks %q:\n%s", want, got)
		}
	}
}

var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, `{{.}}`, `</title><svg onload=alert(1)>`, `-->`, `a/../b`, `..`, `.`, `/`, `//evil.example`, `a//b/`, ``,
	`%2e%2e`, `a%2Fb`, `a?b=c#d`, `a&amp;b`, "a\nb", "\u202egnp", "\xff", `sub/shop`, `příšerně žluťoučký`, `a b+c`, "\\", "]]>", "`offsite`", ` `,
}

// whatever puts every text that comes from outside to be s.
func whatever(now time.Time, s string) *fake {
	f := realistic(now, 1)
	h := f.host
	h.Level, h.Targets[0].Location, h.Targets[0].Error, h.Targets[0].Failing = status.Problem, s, s, now
	h.Series, f.series, f.days, f.next = nil, map[string]*status.SeriesDetail{}, map[string][]status.Day{}, map[string][]status.Removal{}
	f.add(now, rand.New(rand.NewPCG(1, 1)), 0, s)
	h.Series[0].Last.Reason, h.Series[0].Last.Health, h.Series[0].On[0].Held = s, "suspect", s
	d := f.series[s]
	d.Last, d.On[0].Held, d.Next[0].Reason = h.Series[0].Last, s, s
	d.Backups[0].Reason, d.Backups[0].On[0].Damage, d.Backups[0].On[1].Tiers = s, s, []string{s}
	h.Alarms = []status.Alarm{{Key: s, Kind: status.KindOverdue, Level: status.Problem, Series: s, Target: s, Text: s, Remedy: s, Since: now}}
	h.Transfers = []status.Transfer{{Target: "nas", Series: s, Name: s, Done: 1, Total: 2}}
	r := status.Run{Target: "nas", Dump: s, Began: now, Reason: s}
	h.Drills = []status.Drill{{Name: "x", Series: s, Last: &r, Trend: []status.Run{r}}}
	h.Ways = []status.Way{{Name: s, Failing: now, Error: s}}
	return f
}

// Names may be anything: they are text, lead nowhere but to their series, and make no element or attribute.
func TestNamesAreText(t *testing.T) {
	now := time.Now()
	tame := map[string][]string{}
	for i, s := range append([]string{"tame"}, hostile...) {
		h := open(t, whatever(now, s), func() time.Time { return now })
		for _, address := range []string{"/", "/series/"} {
			if address == "/series/" {
				address = seriesLink(t, h)
			}
			w := get(t, h, address)
			if w.Code != http.StatusOK {
				t.Errorf("%q: %s answers %d", s, address, w.Code)
				continue
			}
			key := strings.HasPrefix(address, "/series")
			shape := shapeOf(t, s, w.Body.String())
			if i == 0 {
				tame[fmt.Sprint(key)] = shape
			} else if want := tame[fmt.Sprint(key)]; !slices.Equal(shape, want) && !strings.Contains(s, "`") && s != "" { // a command in the texts of alarms, and no text at all
				t.Errorf("%q makes another document of %s:\n%v\nwant\n%v", s, address, shape, want)
			}
		}
	}
}

// shapeOf is a document without its texts and values, after a look whether something in it could run or lead away.
func shapeOf(t *testing.T, s, body string) (shape []string) {
	t.Helper()
	for _, n := range nodes(t, body) {
		tag := n.Data
		for _, a := range n.Attr {
			tag += " " + a.Key
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || (a.Key == "href" || a.Key == "src" || a.Key == "action") && (!strings.HasPrefix(a.Val, "/") && a.Val != "#main" || strings.HasPrefix(a.Val, "//")) {
				t.Errorf("%q: %s has %s=%q", s, n.Data, a.Key, a.Val)
			}
		}
		shape = append(shape, tag)
	}
	if strings.Contains(body, "\u202e") {
		t.Errorf("%q: text can be turned around", s)
	}
	return shape
}

// seriesLink is where the first page leads for its one series.
func seriesLink(t *testing.T, h http.Handler) string {
	t.Helper()
	for _, n := range nodes(t, get(t, h, "/").Body.String()) {
		if href := attr(n, "href"); strings.HasPrefix(href, "/series/") {
			return href
		}
	}
	t.Fatal("no link to a series")
	return ""
}

// A browser tidies addresses up before it asks; every series is found all the same.
func FuzzEverySeriesIsFound(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, s string) {
		h := open(t, whatever(now, s), func() time.Time { return now })
		base := &url.URL{Scheme: "http", Host: "localhost", Path: "/"}
		link, err := base.Parse(seriesLink(t, h))
		if err != nil || link.Host != "localhost" {
			t.Fatalf("%q: %v %v", s, link, err)
		}
		if w := get(t, h, link.RequestURI()); w.Code != http.StatusOK {
			t.Errorf("%q: %s answers %d to %s", s, link, w.Code, w.Header().Get("Location"))
		}
	})
}

// manySeries is what the size and the time of the page are measured with: 50 series, a year, 3 targets.
func manySeries(now time.Time) *fake { return realistic(now, 50).troubled(now) }

func TestThePageIsSmall(t *testing.T) {
	now := time.Now()
	body := get(t, open(t, manySeries(now), time.Now), "/").Body.Bytes()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(body)
	z.Close()
	t.Logf("%d bytes, %d packed", len(body), packed.Len())
	if len(body) > 200_000 {
		t.Errorf("%d bytes", len(body))
	}
	// The most that calendars can take: no two days alike.
	f := manySeries(now)
	tiers := []string{"daily", "weekly", "monthly", "yearly", "other", ""}
	for _, days := range f.days {
		for i := range days {
			days[i].Tier = tiers[(i*7+i/7)%6]
		}
	}
	if n := get(t, open(t, f, time.Now), "/").Body.Len(); n > 450_000 {
		t.Errorf("%d bytes at the worst", n)
	} else {
		t.Logf("%d bytes at the worst", n)
	}
}

func BenchmarkThePage(b *testing.B) {
	h := open(b, manySeries(time.Now()), time.Now)
	for b.Loop() {
		if w := get(b, h, "/"); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

func TestPackedForWhoeverCanUnpack(t *testing.T) {
	now := time.Now()
	h := open(t, realistic(now, 5), time.Now)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 12_000 {
		t.Errorf("%q, %d bytes", w.Header().Get("Content-Encoding"), w.Body.Len())
	}
}

func TestStatusAsJSON(t *testing.T) {
	now := time.Now().Truncate(time.Second).UTC()
	f := realistic(now, 3)
	w := get(t, open(t, f, time.Now), "/status.json")
	var got status.Host
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatal(err, w.Header())
	}
	if got.Host != "db-server" || len(got.Series) != 3 || !got.Series[0].Last.Taken.Equal(f.host.Series[0].Last.Taken) {
		t.Errorf("%+v", got)
	}
}

// What the Source cannot say is said, and only the log has the cause.
func TestWhatCannotBeShown(t *testing.T) {
	now := time.Now()
	f := realistic(now, 1)
	f.err = errors.New("secret://path")
	w := get(t, open(t, f, time.Now), "/")
	if body := w.Body.String(); w.Code != http.StatusInternalServerError || strings.Contains(body, "secret") || !strings.Contains(body, "The agent’s log says why.") {
		t.Errorf("%d\n%s", w.Code, body)
	}
	f.err, f.slowErr = nil, errors.New("secret://path")
	w = get(t, open(t, f, time.Now), "/")
	body := w.Body.String()
	if w.Code != http.StatusOK || strings.Contains(body, "secret") || !strings.Contains(text(find(t, body, "next")), "cannot be shown now") || !strings.Contains(text(find(t, body, "series")), "calendars cannot be shown now") {
		t.Errorf("%d\n%s", w.Code, body)
	}
	for _, address := range []string{"/series/none", "/series/", "/nothing", "/fleet", "/parts?series=none"} {
		if w := get(t, open(t, f, time.Now), address); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "none") {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
}

func TestPartsAreThoseOfThePage(t *testing.T) {
	now := time.Now()
	h := open(t, realistic(now, 2).troubled(now), func() time.Time { return now })
	for _, address := range []string{"/", "/series/pg/shop"} {
		whole := get(t, h, address).Body.String()
		query := "?"
		if address != "/" {
			query = "?series=pg/shop&"
		}
		n := 0
		for _, part := range nodes(t, whole) {
			if attr(part, "data-v") == "" {
				continue
			}
			n++
			got := strings.TrimSpace(get(t, h, "/parts"+query+"id="+attr(part, "id")).Body.String())
			if !strings.Contains(whole, got) || !strings.Contains(got, `data-v="`+attr(part, "data-v")+`"`) {
				t.Errorf("%s of %s is another one by itself:\n%s", attr(part, "id"), address, got)
			}
		}
		if n < 3 {
			t.Errorf("%s has %d parts", address, n)
		}
	}
}
