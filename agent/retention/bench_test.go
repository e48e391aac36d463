package retention

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkPlan plans for 100,000 backups in 200 series, as one listing of a target gives them.
func BenchmarkPlan(b *testing.B) {
	const series, each = 200, 500
	policy := Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: Forever, MinKeep: 3}
	first := time.Date(2024, 1, 1, 3, 0, 0, 0, time.UTC)
	all := make([][]Backup, series)
	for s := range all {
		for i := range each {
			taken := first.AddDate(0, 0, i)
			all[s] = append(all[s], Backup{Object: fmt.Sprintf("host/series%d/%s_%08x_dump.sql.gz.age", s, taken.Format("20060102T150405Z"), i), Taken: taken, Stored: 1 << 20})
		}
	}
	now := first.AddDate(0, 0, each)
	b.ReportAllocs()
	for b.Loop() {
		for _, backups := range all {
			if plan := Make(now, policy, backups); len(plan.Keep)+len(plan.Remove) != each {
				b.Fatal("backups got lost")
			}
		}
	}
}
