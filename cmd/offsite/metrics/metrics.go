// Package metrics shows a [status.Host] to Prometheus: docs/metrics.md has every metric, configs/alerts.yaml and
// configs/dashboard.json what to make of them.
//
// Nothing is counted here. Each scrape asks for the host as it is and makes its metrics of that, so that they say what the status
// command and the page say. Instants are timestamps and never ages, units are base units, what never happened is 0 where an
// alert has to notice that, and left out elsewhere.
//
// The number of time series is bounded: labels are series, target, kind, level and drill, of which kinds and levels are fixed, and
// targets are what the configuration has. Of series and drills no more than [Most] are shown one by one; the rest is summed up.
package metrics

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"offsite/agent/status"
)

// Most is how many series, and how many drills of series, are shown one by one.
const Most = 1000

// scrapes is how many may be answered at once: each asks for the whole host.
const scrapes = 2

// New is the handler of /metrics. Each scrape asks source once, with the context of its request; source must be safe for
// concurrent use. When it fails, the scrape says so (offsite_status_readable is 0), log has the reason, and what is of the host is
// left out: nothing old is passed off as new. version is of the program.
func New(source func(context.Context) (*status.Host, error), version string, log *slog.Logger) http.Handler {
	own := prometheus.NewRegistry()
	own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	all := newCatalogue()
	turn := make(chan struct{}, scrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
			return
		}
		host, err := source(r.Context())
		if err != nil {
			log.Error("metrics: the state of this host cannot be read", "err", err)
			host = nil
		}
		one := prometheus.NewRegistry()
		one.MustRegister(&collector{all, host, version})
		promhttp.HandlerFor(prometheus.Gatherers{own, one}, promhttp.HandlerOpts{
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), EnableOpenMetrics: true,
		}).ServeHTTP(w, r)
	})
}

// collector makes the metrics of one host at one instant. host is nil if nobody knows it.
type collector struct {
	*catalogue
	host    *status.Host
	version string
}

var _ prometheus.Collector = (*collector)(nil)

// Describe is part of prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.all {
		out <- m.desc
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	out <- c.build.value(1, label(c.version))
	out <- c.readable.value(yes(c.host != nil))
	if c.host == nil {
		return
	}
	each(out, c.hosts, c.host)
	c.alarms(out)
	c.series(out)
	c.targets(out)
	c.drills(out)
}

// each gives what the families say of one subject.
func each[T any](out chan<- prometheus.Metric, families []family[T], subject *T, labels ...string) {
	for _, f := range families {
		if v, known := f.of(subject); known {
			out <- f.value(v, labels...)
		}
	}
}

// series come in their order: which are shown changes little from scrape to scrape.
func (c *collector) series(out chan<- prometheus.Metric) {
	seen := labels{}
	var rest rest
	for i := range c.host.Series {
		s := &c.host.Series[i]
		if len(seen) >= Most || !seen.add(s.Name) {
			rest.add(s)
			continue
		}
		each(out, c.serieses, s, label(s.Name))
		on := labels{}
		for j := range s.On {
			if on.add(s.On[j].Target) {
				each(out, c.copies, &s.On[j], label(s.Name), label(s.On[j].Target))
			}
		}
	}
	each(out, c.dropped, &rest)
}

func (c *collector) targets(out chan<- prometheus.Metric) {
	seen := labels{}
	for i := range c.host.Targets {
		t := &c.host.Targets[i]
		if !seen.add(t.Name) {
			continue
		}
		name := label(t.Name)
		each(out, c.targeted, t, name)
		each(out, c.transfers, underWay(c.host, t.Name), name)
		for kind, n := range errorsByKind(t.Counts.Errors) {
			out <- c.errors.since(c.host.Started, float64(n), name, kind)
		}
		for _, f := range c.counts {
			v, _ := f.of(&t.Counts)
			out <- f.since(c.host.Started, v, name)
		}
		out <- c.took.histogram(c.host.Started, &t.Counts, name)
	}
}

func (c *collector) drills(out chan<- prometheus.Metric) {
	seen := labels{}
	dropped := 0.0
	for i := range c.host.Drills {
		d := &c.host.Drills[i]
		if len(seen) >= Most || !seen.add(d.Name+"\x00"+d.Series) {
			dropped++
			continue
		}
		each(out, c.drilled, d, label(d.Name), label(d.Series))
	}
	out <- c.drillsDropped.value(dropped)
}

// alarms counts them. All kinds are always there, so that an alert has no gaps.
func (c *collector) alarms(out chan<- prometheus.Metric) {
	type of struct {
		kind  string
		level status.Level
	}
	count := map[of]int{}
	for _, kind := range kinds {
		for _, level := range levels {
			count[of{kind, level}] = 0
		}
	}
	for _, a := range c.host.Alarms {
		at := of{oneOf(kinds, a.Kind), status.Warning}
		if rank(a.Level) > rank(status.Warning) {
			at.level = status.Problem
		}
		count[at]++
	}
	for at, n := range count {
		out <- c.alarmed.value(float64(n), at.kind, string(at.level))
	}
}
