package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	alertsFile    = "../../../configs/alerts.yaml"
	dashboardFile = "../../../configs/dashboard.json"
	docsFile      = "../../../docs/metrics.md"
)

// promtool runs Prometheus' own program.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	tools := os.Getenv("OFFSITE_TEST_BIN")
	if tools == "" {
		tools, _ = filepath.Abs("../../../.cache/bin")
	}
	tool := filepath.Join(tools, "promtool")
	if _, err := os.Stat(tool); err != nil {
		t.Fatalf("promtool is missing: make servers (%v)", err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertsAreRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", alertsFile)
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool(t, "test", "rules", "testdata/alerts_test.yaml")
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	b, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(b, &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Each alert says how bad it is, what is wrong and what to do, and is tried in testdata/alerts_test.yaml.
func TestAlertsTellPeopleWhatToDo(t *testing.T) {
	tests, err := os.ReadFile("testdata/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts(t) {
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.For == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: for, summary and description are needed", r.Alert)
		}
		if !strings.Contains(string(tests), `alertname="`+r.Alert+`"`) {
			t.Errorf("%s is not tried", r.Alert)
		}
	}
}

type panel struct {
	ID         int                      `json:"id"`
	Type       string                   `json:"type"`
	Title      string                   `json:"title"`
	Grid       struct{ X, Y, W, H int } `json:"gridPos"`
	Datasource struct{ UID string }     `json:"datasource"`
	Targets    []struct {
		Expr       string
		Datasource struct{ UID string }
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct{ Unit string }
	} `json:"fieldConfig"`
}

type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any
		}
	} `json:"templating"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// What Grafana needs to import it anywhere: no data source of ours, places that do not overlap, units.
func TestDashboardCanBeImported(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || d.Templating.List[0].Type != "datasource" || d.Templating.List[0].Name != "datasource" {
		t.Errorf("uid %q, title %q, schema %d, variables %v", d.UID, d.Title, d.SchemaVersion, d.Templating.List)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: the id comes twice, or the title is missing", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
			for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%q overlaps %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%q has no unit, no query, or a data source of its own", p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" {
				t.Errorf("%q: data source %q", p.Title, q.Datasource.UID)
			}
		}
	}
}

// expressions are those of the dashboard, as Grafana would send them.
func (d dashboard) expressions() (all []string) {
	vars := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$series", ".*", "$target", ".*")
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all = append(all, vars.Replace(q.Expr))
		}
	}
	return all
}

// Prometheus' own parser reads what Grafana will send.
func TestDashboardAsksInPromQL(t *testing.T) {
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for i, e := range readDashboard(t).expressions() {
		rules += fmt.Sprintf("  - record: panel:%d\n    expr: %q\n", i, e)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=none", file)
}

var (
	ourName = regexp.MustCompile(`\boffsite_[a-z0-9_]+`)
	// matcher and grouping are where labels stand in an expression.
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)`)
)

// mentioned are the metrics and labels in an expression.
func mentioned(expr string) (names, labels []string) {
	for _, name := range ourName.FindAllString(expr, -1) {
		names = append(names, strings.TrimSuffix(name, "_bucket"))
	}
	for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, m[1])
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return names, labels
}

// Alerts and dashboard ask for nothing that is not there, and everything that is there is asked for.
func TestWhatIsAskedForIsExported(t *testing.T) {
	d := readDashboard(t)
	expressions := d.expressions()
	for _, v := range d.Templating.List {
		expressions = append(expressions, fmt.Sprint(v.Query))
	}
	for _, r := range alerts(t) {
		expressions = append(expressions, r.Expr)
	}
	exported, known := map[string]bool{}, []string{"instance", "job", "le"}
	for _, m := range newCatalogue().all {
		exported[m.name] = false
		known = append(known, m.labels...)
	}
	for _, e := range expressions {
		names, labels := mentioned(e)
		for _, name := range names {
			if _, ok := exported[name]; !ok {
				t.Errorf("%s is not exported: %s", name, e)
			}
			exported[name] = true
		}
		for _, l := range labels {
			if !slices.Contains(known, l) {
				t.Errorf("no metric has a label %s: %s", l, e)
			}
		}
	}
	for name, asked := range exported {
		if !asked {
			t.Errorf("neither an alert nor the dashboard asks for %s", name)
		}
	}
}

// table is the part of the documentation that is made here.
func table() string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | |\n|---|---|---|---|\n")
	for _, m := range newCatalogue().all {
		kind := map[prometheus.ValueType]string{prometheus.GaugeValue: "gauge", prometheus.CounterValue: "counter", 0: "histogram"}[m.kind]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind, strings.Join(m.labels, ", "), m.help)
	}
	return b.String()
}

// -update writes it.
func TestEveryMetricIsDocumented(t *testing.T) {
	b, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- made by go test ./cmd/offsite/metrics -update -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q", docsFile, begin, end)
	}
	want := before + begin + table() + end + after
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Errorf("%s is not what the catalogue says: -update writes it anew", docsFile)
	}
}
