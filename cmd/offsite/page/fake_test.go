package page_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"offsite/agent/status"
	"offsite/cmd/offsite/page"
)

var prague = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		panic(err)
	}
	return zone
}()

// fake is a Source that a test sets.
type fake struct {
	mu      sync.Mutex
	host    *status.Host
	days    map[string][]status.Day
	next    map[string][]status.Removal
	series  map[string]*status.SeriesDetail
	err     error // of Status
	slowErr error // of Days and Next
	asked   map[string]int
	changed chan struct{}
}

func newFake(h *status.Host) *fake {
	return &fake{host: h, days: map[string][]status.Day{}, next: map[string][]status.Removal{}, series: map[string]*status.SeriesDetail{}, asked: map[string]int{}, changed: make(chan struct{})}
}

func (f *fake) count(what string) func() {
	f.mu.Lock()
	f.asked[what]++
	return f.mu.Unlock
}

func (f *fake) Status(context.Context) (*status.Host, error) {
	defer f.count("status")()
	h := *f.host
	return &h, f.err
}

func (f *fake) Series(_ context.Context, name string) (*status.SeriesDetail, error) {
	defer f.count("series")()
	if s := f.series[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
}

func (f *fake) Days(context.Context) (map[string][]status.Day, error) {
	defer f.count("days")()
	return f.days, f.slowErr
}

func (f *fake) Next(context.Context) (map[string][]status.Removal, error) {
	defer f.count("next")()
	return f.next, f.slowErr
}

func (f *fake) Changed() <-chan struct{} {
	defer f.count("changed")()
	return f.changed
}

// change makes something else of the host, and tells of it.
func (f *fake) change(edit func(*status.Host)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := *f.host
	edit(&h)
	f.host = &h
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) times(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[what]
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open is the page of a source for everybody, as on a unix socket.
func open(t testing.TB, f *fake, now func() time.Time) http.Handler {
	t.Helper()
	return behind(t, f, now, page.Access{Unix: true}, quiet())
}

func behind(t testing.TB, f *fake, now func() time.Time, a page.Access, log *slog.Logger) http.Handler {
	t.Helper()
	p, err := page.New(page.Options{Source: f, Zone: prague, Now: now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h, err := p.Behind(a)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks for a page as a browser does.
func get(t testing.TB, h http.Handler, address string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, address, nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var targetNames = []string{"nas", "lan", "aws"}

// year is one of daily dumps of which the default policy kept what it keeps: 7 days, 4 weeks, 12 months, and the year.
func year(now time.Time, r *rand.Rand, troubles int) (days []status.Day) {
	today := now.In(prague)
	for i := 364; i >= 0; i-- {
		date := today.AddDate(0, 0, -i)
		d := status.Day{Date: date.Format(time.DateOnly), Dumps: 1}
		switch {
		case i < 7:
			d.Tier = "daily"
		case i < 35 && date.Weekday() == time.Sunday:
			d.Tier = "weekly"
		case date.AddDate(0, 0, 1).Day() == 1 && date.Month() == time.December:
			d.Tier = "yearly"
		case date.AddDate(0, 0, 1).Day() == 1:
			d.Tier = "monthly"
		}
		days = append(days, d)
	}
	for range troubles {
		i := r.IntN(360)
		if r.IntN(2) == 0 {
			days[i] = status.Day{Date: days[i].Date, Missing: true}
		} else {
			days[i].Suspect = 1
		}
	}
	return days
}

// realistic is a host with so many series on three targets, each with a year behind it.
func realistic(now time.Time, n int) *fake {
	r := rand.New(rand.NewPCG(1, 2))
	h := &status.Host{Host: "db-server", Version: "offsite 0.9.0", At: now, Zone: "Europe/Prague", Running: true, Started: now.Add(-49 * time.Hour), Level: status.OK}
	f := newFake(h)
	names := []string{"pg/shop", "pg/crypto-ai-agent", "pg/billing", "mysql/wordpress", "redis/sessions"}
	for i := len(names); i < n; i++ {
		names = append(names, fmt.Sprintf("pg/tenant-%03d", i))
	}
	for i, name := range names[:n] {
		f.add(now, r, i, name)
	}
	for i, name := range targetNames {
		h.Targets = append(h.Targets, status.Target{
			Name: name, Location: []string{"dir:/mnt/nas/backups", "minio:minio.lan:9000/backups/db", "s3:corp-backups/db"}[i], Level: status.OK,
			Delivered: now.Add(-time.Duration(12+i) * time.Minute), Backups: 24 * n, Stored: int64(n) * 31e9 * int64(3-i) / 3, Every: 30 * 24 * time.Hour,
			Proven: 24*n - 9*i*n/5, Looked: now.Add(-4 * time.Hour), Retention: []string{"enforce", "enforce", "report"}[i],
			Counts: status.Counts{Delivered: int64(2 * n), Bytes: int64(n) * 2e9, Errors: map[string]int64{}},
		})
	}
	h.Ways = []status.Way{{Name: "mail", Sent: now.Add(-26 * time.Hour)}, {Name: "webhook"}}
	return f
}

// add is one series more.
func (f *fake) add(now time.Time, r *rand.Rand, i int, name string) {
	taken := now.Add(-time.Duration(20+13*(i%40)) * time.Minute).Truncate(time.Second)
	bytes := int64(40e6 * (1 + r.Float64()*60))
	s := status.Series{
		Name: name, Usual: 24 * time.Hour, Due: taken.Add(25 * time.Hour), Level: status.OK,
		Last: &status.Dump{Name: name + "_" + taken.Format("20060102_150405") + ".sql.gz", Taken: taken, Found: taken.Add(time.Minute), Size: bytes, Health: "ok", Kind: "PostgreSQL plain, gzip"},
	}
	for k := range 15 {
		s.Sizes = append(s.Sizes, bytes*int64(80+k+r.IntN(8))/100)
	}
	for _, t := range targetNames {
		s.On = append(s.On, status.Copies{Target: t, Newest: taken, Offsite: taken.Add(time.Duration(3+r.IntN(300)) * time.Second), Backups: 24, Stored: 24 * bytes})
	}
	f.host.Series = append(f.host.Series, s)
	f.days[name] = year(now, r, r.IntN(4))
	for _, t := range targetNames {
		old := taken.AddDate(0, 0, -7)
		f.next[name] = append(f.next[name], status.Removal{Target: t, Name: name + "_" + old.Format("20060102_150405") + ".sql.gz", Taken: old, Stored: bytes, Reason: "no rule keeps it"})
	}
	f.series[name] = f.detail(now, s, bytes)
}

func (f *fake) detail(now time.Time, s status.Series, bytes int64) *status.SeriesDetail {
	d := &status.SeriesDetail{Series: s, Days: f.days[s.Name], Next: f.next[s.Name]}
	for i := len(d.Days) - 1; i >= 0; i-- {
		day := d.Days[i]
		if day.Tier == "" && day.Suspect == 0 {
			continue
		}
		taken := s.Last.Taken.AddDate(0, 0, i-len(d.Days)+1)
		b := status.Backup{Series: s.Name, Name: s.Name + "_" + taken.Format("20060102_150405") + ".sql.gz", Taken: taken, Size: bytes, Health: "ok"}
		if day.Suspect > 0 {
			b.Health, b.Reason = "suspect", "ends in the middle of table public.users: no completion line; pg_dump was probably killed"
		}
		for n, t := range targetNames {
			c := status.Copy{Target: t, Object: "db-server/" + s.Name + "/" + taken.UTC().Format("20060102T150405Z") + "_5f3c9a1e_dump.sql.gz.age", Stored: bytes, Proven: now.AddDate(0, 0, -n*4-1)}
			if day.Tier != "" {
				c.Tiers = []string{day.Tier + " " + day.Date}
			}
			if n == 2 {
				c.Locked, c.Proven = taken.AddDate(0, 1, 0), time.Time{}
			}
			c.Goes = i == len(d.Days)-7
			b.On = append(b.On, c)
		}
		d.Backups = append(d.Backups, b)
	}
	return d
}

// troubled gives a host an alarm, an upload and drills.
func (f *fake) troubled(now time.Time) *fake {
	h := f.host
	h.Level = status.Problem
	h.Alarms = []status.Alarm{
		{Key: "failing/aws", Kind: status.KindFailing, Level: status.Problem, Target: "aws", Since: now.Add(-27 * time.Hour),
			Text: "The target aws has taken nothing for 27 hours; 3 dumps wait for it.", Remedy: "Look whether the key may still write: `offsite doctor --target aws` says which right is missing. What it is owed is kept and goes by itself."},
		{Key: "suspect/mysql/wordpress", Kind: status.KindSuspect, Level: status.Warning, Series: "mysql/wordpress", Since: now.Add(-3 * time.Hour),
			Text: "The newest dump of mysql/wordpress is suspect: it is less than half as large as usual.", Remedy: "If it is fine, say so: `offsite accept wordpress_20261122_030001.sql.gz`."},
	}
	h.Targets[2].Level, h.Targets[2].Failing, h.Targets[2].Error = status.Problem, now.Add(-27*time.Hour), "put: access denied"
	h.Targets[2].Owed, h.Targets[2].OwedBytes, h.Targets[2].Delivered = 3, 4_100_000_000, now.Add(-28*time.Hour)
	h.Targets[2].Counts.Retries, h.Targets[2].Counts.Errors["permission"] = 41, 41
	for i := range h.Series[:min(3, len(h.Series))] {
		on := &h.Series[i].On[2]
		on.Owed, on.Newest, on.Offsite = 1, on.Newest.AddDate(0, 0, -1), on.Offsite.AddDate(0, 0, -1)
	}
	if len(h.Series) > 3 {
		s := &h.Series[3]
		s.Level, s.Last.Health, s.Last.Reason, s.On[1].Suspect = status.Warning, "suspect", "less than half as large as usual", 1
		s.Sizes[len(s.Sizes)-1] = s.Sizes[0] / 3
		f.days[s.Name][len(f.days[s.Name])-1].Suspect = 1
	}
	h.Transfers = []status.Transfer{{Target: "lan", Series: "pg/crypto-ai-agent", Name: "crypto-ai-agent_20261122_120001.sql.gz", Began: now.Add(-3 * time.Minute), Done: 1_310_000_000, Total: 3_020_000_000, Rate: 7.2e6}}
	var runs []status.Run
	for i := range 12 {
		runs = append(runs, status.Run{Target: targetNames[i%3], Dump: "shop.sql.gz", Began: now.AddDate(0, 0, -7*(12-i)), Took: time.Duration(200+i*9) * time.Second, Bytes: 2e9, Rows: 1_204_331, Passed: i != 5})
	}
	failed := append([]status.Run(nil), runs[:4]...)
	failed[3].Passed, failed[3].Reason = false, "SELECT count(*) FROM invoices gave 0, which is not > 100"
	h.Drills = []status.Drill{
		{Name: "shop", Series: "pg/shop", Last: &runs[11], Passed: runs[11].Began, Due: now.AddDate(0, 0, 5), Trend: runs, Level: status.OK},
		{Name: "billing", Series: "pg/billing", Last: &failed[3], Passed: failed[2].Began, Due: now.AddDate(0, 0, -3), Overdue: true, Trend: failed, Level: status.Problem},
		{Name: "wordpress", Level: status.OK, Due: now.AddDate(0, 0, 2)},
	}
	return f
}

// empty is a host on which nothing has happened.
func empty(now time.Time) *fake {
	return newFake(&status.Host{Host: "db-server", Version: "offsite 0.9.0", At: now, Zone: "Europe/Prague", Running: true, Started: now.Add(-time.Minute), Level: status.OK,
		Targets: []status.Target{{Name: "nas", Location: "dir:/mnt/nas/backups", Every: 30 * 24 * time.Hour, Retention: "enforce", Level: status.OK}}})
}
