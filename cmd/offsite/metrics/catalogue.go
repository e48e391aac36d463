package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"offsite/agent/status"
)

// metric is one name.
type metric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	name   string
	help   string
	labels []string
}

// value is the metric now.
func (m *metric) value(v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
}

// since is a counter that began with the agent.
func (m *metric) since(started time.Time, v float64, labels ...string) prometheus.Metric {
	if started.IsZero() {
		return m.value(v, labels...)
	}
	return prometheus.MustNewConstMetricWithCreatedTimestamp(m.desc, m.kind, v, started, labels...)
}

// histogram is how long deliveries took. Counts that do not fit the buckets, such as none at all, are an empty one.
func (m *metric) histogram(started time.Time, c *status.Counts, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(status.Buckets))
	var sum uint64
	fits := len(c.Took) == len(status.Buckets)+1
	for i, bound := range status.Buckets {
		if fits {
			sum += uint64(max(0, c.Took[i]))
		}
		buckets[bound] = sum
	}
	seconds := 0.0
	if fits {
		sum += uint64(max(0, c.Took[len(status.Buckets)]))
		seconds = c.Seconds
	}
	if started.IsZero() {
		return prometheus.MustNewConstHistogram(m.desc, sum, seconds, buckets, labels...)
	}
	return prometheus.MustNewConstHistogramWithCreatedTimestamp(m.desc, sum, seconds, buckets, started, labels...)
}

// family is a metric of each subject of one sort. Where of does not know a value, there is none.
type family[T any] struct {
	*metric
	of func(*T) (value float64, known bool)
}

// catalogue is all that there is. It does not change.
type catalogue struct {
	all []*metric // in the order of the documentation

	build, readable, alarmed, errors, took, drillsDropped *metric

	hosts     []family[status.Host]
	serieses  []family[status.Series]
	copies    []family[status.Copies]
	dropped   []family[rest]
	targeted  []family[status.Target]
	transfers []family[moving]
	counts    []family[status.Counts]
	drilled   []family[status.Drill]
}

func newCatalogue() *catalogue {
	c := &catalogue{}
	c.build = c.gauge("offsite_build_info", "The program; always 1.", "version")
	c.readable = c.gauge("offsite_status_readable", "1 if the state of this host could be read for this scrape; 0: all else of offsite is left out.")
	c.ofHost()
	c.alarmed = c.gauge("offsite_alarms", "Alarms that last, by kind and level (warning or problem); all kinds are always there.", "kind", "level")
	c.ofSeries()
	c.ofCopies()
	c.ofRest()
	c.ofTargets()
	c.ofTransfers()
	c.ofCounts()
	c.ofDrills()
	return c
}

func (c *catalogue) add(name, help string, kind prometheus.ValueType, labels []string) *metric {
	m := &metric{prometheus.NewDesc(name, help, labels, nil), kind, name, help, labels}
	c.all = append(c.all, m)
	return m
}

func (c *catalogue) gauge(name, help string, labels ...string) *metric {
	return c.add(name, help, prometheus.GaugeValue, labels)
}

func (c *catalogue) counter(name, help string, labels ...string) *metric {
	return c.add(name, help, prometheus.CounterValue, labels)
}

// always and the next are ways to say a value.
func always(v float64) (float64, bool) { return v, true }

func number[N int | int64](n N) (float64, bool) { return float64(n), true }

func truth(b bool) (float64, bool) { return yes(b), true }

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// instant is left out if it never was.
func instant(t time.Time) (float64, bool) {
	return float64(t.UnixMilli()) / 1000, !t.IsZero()
}

// ever is 0 if it never was: an alert on its age must notice that.
func ever(t time.Time) (float64, bool) {
	if t.IsZero() {
		return 0, true
	}
	return instant(t)
}

// length is left out if it is not known.
func length(d time.Duration) (float64, bool) { return d.Seconds(), d > 0 }
