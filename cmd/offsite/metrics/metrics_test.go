package metrics

import (
	"context"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"offsite/agent/status"
)

var update = flag.Bool("update", false, "write the golden file and the documentation anew")

var silent = slog.New(slog.DiscardHandler)

func serve(t *testing.T, source func(context.Context) (*status.Host, error)) (code int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	w := httptest.NewRecorder()
	New(source, "v1.2.3", silent).ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

func of(h *status.Host) func(context.Context) (*status.Host, error) {
	return func(context.Context) (*status.Host, error) { return h, nil }
}

// ours are the lines that are of offsite.
func ours(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "offsite_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Everything that a scrape says of a busy host. Names and meanings are an interface: other people's alerts rest on them.
func TestExposition(t *testing.T) {
	code, body := serve(t, of(busy()))
	if code != http.StatusOK {
		t.Fatal(code, body)
	}
	const golden = "testdata/busy.txt"
	got := ours(body)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Errorf("%v; -update writes %s anew; it is now:\n%s", err, golden, got)
	}
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func registry(h *status.Host) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(&collector{newCatalogue(), h, "v1.2.3"})
	return r
}

func TestNamesFollowTheConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(registry(busy()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Every metric of the catalogue is really given out, and nothing else.
func TestTheBusyHostHasEveryMetric(t *testing.T) {
	families, err := registry(busy()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, f := range families {
		got = append(got, f.GetName())
	}
	for _, m := range newCatalogue().all {
		want = append(want, m.name)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func samples(t *testing.T, h *status.Host) (byName map[string][]*dto.Metric, n int) {
	t.Helper()
	families, err := registry(h).Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName = map[string][]*dto.Metric{}
	for _, f := range families {
		byName[f.GetName()] = f.GetMetric()
		n += len(f.GetMetric())
	}
	return byName, n
}

func value(m *dto.Metric) float64 { return m.GetGauge().GetValue() + m.GetCounter().GetValue() }

// What cannot be read is said, and nothing old is shown.
func TestUnreadable(t *testing.T) {
	var log strings.Builder
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	w := httptest.NewRecorder()
	New(func(context.Context) (*status.Host, error) { return nil, errors.New("the journal is gone") }, "v1", slog.New(slog.NewTextHandler(&log, nil))).ServeHTTP(w, r)
	got := ours(w.Body.String())
	if w.Code != http.StatusOK || !strings.Contains(got, "offsite_status_readable 0\n") || strings.Contains(got, "offsite_agent_up") || !strings.Contains(got, `offsite_build_info{version="v1"} 1`) {
		t.Errorf("%d %s", w.Code, got)
	}
	if !strings.Contains(log.String(), "the journal is gone") {
		t.Error(log.String())
	}
}

// The alert on a host without any alarm has something to look at.
func TestAllAlarmsAreAlwaysThere(t *testing.T) {
	all, _ := samples(t, &status.Host{})
	if got, want := len(all["offsite_alarms"]), 2*len(kinds); got != want {
		t.Errorf("%d alarms, want %d", got, want)
	}
	for _, m := range all["offsite_alarms"] {
		if value(m) != 0 {
			t.Error(m)
		}
	}
}

// A kind that package status gets is not counted as other.
func TestTheKindsAreThoseOfStatus(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../../../agent/status/status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{other}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Kind") {
			kind, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			want = append(want, kind)
		}
		return true
	})
	got := slices.Clone(kinds)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, status has %q", got, want)
	}
}

// Ten thousand series on four targets, half of them in trouble.
func TestCardinalityIsBounded(t *testing.T) {
	h := large(10_000, 4)
	for i := range h.Series {
		if i%2 == 1 {
			h.Series[i].Overdue, h.Series[i].Level = true, status.Problem
		}
	}
	all, n := samples(t, h)
	small, m := samples(t, large(Most, 4))
	if got := len(all["offsite_series_overdue"]); got != Most || got != len(small["offsite_series_overdue"]) {
		t.Errorf("%d series are shown", got)
	}
	if n > m {
		t.Errorf("%d samples for 10,000 series, %d for %d", n, m, Most)
	}
	for name, want := range map[string]float64{
		"offsite_series_dropped": 9000, "offsite_dropped_overdue": 4500, "offsite_dropped_level": 2,
		"offsite_dropped_stored_bytes": 9000 * 4 * 10, "offsite_drills_dropped": 9000,
	} {
		if got := value(all[name][0]); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// Names are chosen by whoever writes dumps, and must neither break a scrape nor grow without bounds.
func TestLabels(t *testing.T) {
	long := strings.Repeat("ž", 200)
	h := &status.Host{}
	for _, name := range []string{"plain", "plain", "a\xff", "a\xfe", "a\uFFFD", long, long + "x", "\"\\\n", ""} {
		h.Series = append(h.Series, status.Series{Name: name, On: []status.Copies{{Target: "nas"}, {Target: "nas"}}})
		h.Targets = append(h.Targets, status.Target{Name: name})
		h.Drills = append(h.Drills, status.Drill{Name: name, Series: name})
	}
	all, _ := samples(t, h)
	for _, name := range []string{"offsite_series_overdue", "offsite_target_failing", "offsite_drill_overdue", "offsite_dumps_owed"} {
		if got := len(all[name]); got != 8 {
			t.Errorf("%s: %d, want 8", name, got)
		}
		for _, m := range all[name] {
			for _, l := range m.GetLabel() {
				if v := l.GetValue(); len(v) > longest || !utf8.ValidString(v) {
					t.Errorf("%s: %q", name, v)
				}
			}
		}
	}
	if code, body := serve(t, of(h)); code != http.StatusOK {
		t.Error(body)
	}
}

// Whoever opens many scrapes does not make the agent read its state as many times.
func TestScrapesAreBounded(t *testing.T) {
	in, out := make(chan struct{}, scrapes), make(chan struct{})
	handler := New(func(ctx context.Context) (*status.Host, error) {
		in <- struct{}{}
		<-out
		return &status.Host{}, nil
	}, "v1", silent)
	done := make(chan int, scrapes)
	ask := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	for range scrapes {
		go func() { done <- ask() }()
		<-in
	}
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Error(code)
	}
	close(out)
	for range scrapes {
		if code := <-done; code != http.StatusOK {
			t.Error(code)
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	handler := New(of(large(50, 4)), "v1", silent)
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
		b.SetBytes(int64(w.Body.Len()))
	}
}
