package metrics

import (
	"fmt"
	"time"

	"offsite/agent/status"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// busy is a host with something of everything: shop is fine, the newest dump of blog is suspect and overdue, new has nothing yet;
// lan fails.
func busy() *status.Host {
	return &status.Host{
		Host: "db-server", Version: "v1.2.3", At: now, Zone: "UTC", Running: true, Started: ago(50 * time.Hour), Level: status.Problem,
		Alarms: []status.Alarm{
			{Key: "overdue/blog", Kind: status.KindOverdue, Level: status.Problem, Series: "blog"},
			{Key: "suspect/blog", Kind: status.KindSuspect, Level: status.Problem, Series: "blog"},
			{Key: "failing/lan", Kind: status.KindFailing, Level: status.Warning, Target: "lan"},
			{Key: "later/x", Kind: "of a later version", Level: status.Warning},
		},
		Series: []status.Series{
			{
				Name: "shop", Usual: 24 * time.Hour, Due: now.Add(15 * time.Hour), Level: status.OK,
				Last: &status.Dump{Name: "shop.sql.gz", Taken: ago(9 * time.Hour), Size: 1 << 30, Health: "ok"},
				On: []status.Copies{
					{Target: "nas", Newest: ago(9 * time.Hour), Offsite: ago(8*time.Hour + 30*time.Minute), Backups: 24, Stored: 24 << 30},
					{Target: "lan", Newest: ago(33 * time.Hour), Backups: 20, Suspect: 1, Damaged: 2, Missing: 3, Stored: 20 << 30, Owed: 1, Held: "more than half would go"},
				},
			},
			{
				Name: "blog", Usual: time.Hour, Due: ago(2 * time.Hour), Overdue: true, Level: status.Problem,
				Last: &status.Dump{Name: "blog.dump", Taken: ago(3 * time.Hour), Size: 20, Health: "suspect", Reason: "empty"},
				On:   []status.Copies{{Target: "nas", Newest: ago(4 * time.Hour), Backups: 2, Stored: 4096}, {Target: "lan", Owed: 3}},
			},
			{Name: "new", On: []status.Copies{{Target: "nas"}, {Target: "lan"}}},
		},
		Targets: []status.Target{
			{
				Name: "nas", Level: status.OK, Delivered: ago(8 * time.Hour), Backups: 26, Stored: 24<<30 + 4096, Every: 30 * 24 * time.Hour, Proven: 25, Looked: ago(6 * time.Hour),
				Counts: status.Counts{
					Delivered: 5, Bytes: 6 << 30, Removed: 2, Retries: 1, Errors: map[string]int64{"network": 1}, Compared: 1 << 30,
					Took: []int64{0, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1}, Seconds: 50000.5,
				},
			},
			{
				Name: "lan", Level: status.Warning, Failing: ago(5 * time.Hour), Error: "connection refused", Owed: 4, OwedBytes: 1<<30 + 60, Backups: 20, Stored: 20 << 30, Damaged: 2, Missing: 3,
				Counts: status.Counts{Retries: 30, Errors: map[string]int64{"network": 28, "permission": 2, "of a later version": 1}},
			},
		},
		Transfers: []status.Transfer{
			{Target: "lan", Series: "shop", Done: 1 << 20, Total: 1 << 30, Rate: 1e6},
			{Target: "lan", Series: "blog", Done: 10, Total: 20, Rate: 10},
		},
		Drills: []status.Drill{
			{
				Name: "weekly", Series: "shop", Passed: ago(72 * time.Hour), Due: now.Add(96 * time.Hour),
				Last: &status.Run{Target: "nas", Taken: ago(81 * time.Hour), Began: ago(72 * time.Hour), Took: 95 * time.Second, Bytes: 1 << 30, Rows: 123456, Passed: true},
			},
			{
				Name: "weekly", Series: "blog", Overdue: true, Due: ago(48 * time.Hour),
				Last: &status.Run{Target: "nas", Taken: ago(24 * time.Hour), Began: ago(23 * time.Hour), Took: 2 * time.Second, Bytes: 20, Reason: "empty"},
			},
			{Name: "never"},
		},
		Ways: []status.Way{{Name: "mail", Sent: ago(time.Hour)}, {Name: "chat", Failing: ago(time.Hour), Error: "403"}},
	}
}

// large is a host with so many series on so many targets.
func large(series, targets int) *status.Host {
	h := &status.Host{Running: true, At: now, Started: ago(time.Hour)}
	for t := range targets {
		h.Targets = append(h.Targets, status.Target{Name: fmt.Sprint("target-", t), Counts: status.Counts{Took: make([]int64, len(status.Buckets)+1)}})
	}
	for i := range series {
		s := status.Series{Name: fmt.Sprint("series-", i), Last: &status.Dump{Taken: now, Size: 1, Health: "ok"}}
		for t := range targets {
			s.On = append(s.On, status.Copies{Target: h.Targets[t].Name, Newest: now, Backups: 24, Stored: 10})
		}
		h.Series = append(h.Series, s)
		h.Drills = append(h.Drills, status.Drill{Name: "all", Series: s.Name})
	}
	return h
}
