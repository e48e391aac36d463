package page

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"offsite/agent/status"
)

const (
	// hostsAtOnce is how many hosts a page of the fleet has.
	hostsAtOnce = 1000
	// maxQuery is how many characters of what is searched for count.
	maxQuery = 200
)

// filter is which hosts of the fleet are shown.
type filter struct {
	Q     string // in the name of the host, or of one of its series
	Level status.Level
	page  int // from 1
}

// newFilter reads a filter from an address. What makes no sense there is as if it were not there.
func newFilter(q url.Values) filter {
	f := filter{Q: strings.TrimSpace(q.Get("q")), page: 1}
	if r := []rune(f.Q); len(r) > maxQuery {
		f.Q = string(r[:maxQuery])
	}
	switch l := status.Level(q.Get("level")); l {
	case status.Problem, status.Warning, status.OK:
		f.Level = l
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		f.page = n
	}
	return f
}

// values are what newFilter makes the filter of.
func (f filter) values() url.Values {
	q := url.Values{}
	if f.Q != "" {
		q.Set("q", f.Q)
	}
	if f.Level != "" {
		q.Set("level", string(f.Level))
	}
	if f.page > 1 {
		q.Set("page", strconv.Itoa(f.page))
	}
	return q
}

func (f filter) url() string {
	if q := f.values(); len(q) > 0 {
		return "/fleet?" + q.Encode()
	}
	return "/fleet"
}

// at is the filter with another level, from the first page on.
func (f filter) at(l status.Level) filter { return filter{f.Q, l, 1} }

// finds says whether what is searched for is there.
func (f filter) finds(h *status.FleetHost) bool {
	q := strings.ToLower(f.Q)
	if strings.Contains(strings.ToLower(h.Host), q) {
		return true
	}
	for i := range h.Series {
		if strings.Contains(strings.ToLower(h.Series[i].Name), q) {
			return true
		}
	}
	return false
}

// hosts is the table of them.
type hosts struct {
	Say      clock
	Rows     []hostRow
	Found    int // by what is searched for, of whatever level
	Tally    []tally
	From, To int // which of them are shown, from 1
	Of       int // those of the level
	Before   string
	After    string
	Filter   filter
}

// tally is how many hosts of a level there are, and where only these are shown.
type tally struct {
	Name    string
	N       int
	URL     string
	Current bool
}

// hostRow is a host of the table.
type hostRow struct {
	hostLink
	Level   status.Level
	Wrong   string
	Newest  time.Time
	Series  int
	Backups int
	Stored  int64
}

func hostsOf(c clock, l fleetLook, f filter) hosts {
	v := hosts{Say: c, Filter: f}
	count := map[status.Level]int{}
	var fit []*status.FleetHost
	for i := range l.Hosts {
		h := &l.Hosts[i]
		if !f.finds(h) {
			continue
		}
		v.Found++
		count[h.Level]++
		if f.Level == "" || f.Level == h.Level {
			fit = append(fit, h)
		}
	}
	for _, level := range []status.Level{"", status.Problem, status.Warning, status.OK} {
		name, n := levelName(level), count[level]
		if level == "" {
			name, n = "All", v.Found
		}
		v.Tally = append(v.Tally, tally{name, n, f.at(level).url(), f.Level == level})
	}
	v.Of = len(fit)
	last := max(1, (len(fit)+hostsAtOnce-1)/hostsAtOnce)
	f.page = min(f.page, last)
	from, to := (f.page-1)*hostsAtOnce, min(f.page*hostsAtOnce, len(fit))
	v.From, v.To = from+1, to
	for _, h := range fit[from:to] {
		v.Rows = append(v.Rows, hostRow{linkOf(h), h.Level, wrongs(h), h.Newest, len(h.Series), h.Backups, h.Stored})
	}
	if f.page > 1 {
		v.Before = filter{f.Q, f.Level, f.page - 1}.url()
	}
	if f.page < last {
		v.After = filter{f.Q, f.Level, f.page + 1}.url()
	}
	return v
}

// wrongs says in a few words what is wrong with a host: how many of its series are how, worst first.
func wrongs(h *status.FleetHost) string {
	said := seriesWrongs(h)
	if n := len(h.Shared); n > 0 {
		shared := "key shared with " + plural(n, "host")
		if said != "" {
			shared += ", "
		}
		said = shared + said
	}
	return said
}

// seriesWrongs is that of the series alone.
func seriesWrongs(h *status.FleetHost) string {
	const most = 3 // that are named
	var untrusted, damaged, lost, overdue, suspect, unread, future, none int
	for i := range h.Series {
		s := &h.Series[i]
		untrusted, damaged, lost = untrusted+one(s.Untrusted > 0), damaged+one(s.Damaged > 0), lost+one(s.Lost > 0)
		overdue, suspect = overdue+one(s.Overdue), suspect+one(s.Health == "suspect")
		unread, future = unread+one(s.Unread > 0), future+one(s.Future > 0)
		none += one(s.Newest.IsZero() && !s.Unsound() && s.Unread == 0 && s.Health != "suspect")
	}
	var said []string
	for _, k := range []struct {
		n    int
		what string
	}{{untrusted, "not trusted"}, {damaged, "damaged"}, {lost, "without its data"}, {overdue, "overdue"}, {suspect, "suspect"},
		{unread, "not readable"}, {none, "without a healthy backup"}, {future, "ahead of the clock"}} {
		if k.n > 0 {
			said = append(said, counted(k.n)+" "+k.what)
		}
	}
	if more := len(said) - most; more > 0 {
		said = append(said[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(said, ", ")
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
