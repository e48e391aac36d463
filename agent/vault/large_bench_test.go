package vault_test

import (
	"runtime"
	"testing"
	"time"

	"offsite/agent/vault"
	"offsite/providers/targettest"
)

// BenchmarkTenMillionObjects goes through the listing of 1,000 hosts with five series of 1,000 backups each, as the fleet's page
// does, without the server's part. MiB-held is what is held more at its end, for the newest backup and the rhythm of each series.
func BenchmarkTenMillionObjects(b *testing.B) {
	v := vault.New(targettest.Crowd{Size: 10_000_000}, nil)
	survey := vault.Survey{Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Newest: 3, Times: 30}
	b.ReportAllocs()
	most := int64(0)
	before := inUse()
	for b.Loop() {
		series, backups := 0, 0
		for s, err := range v.Streams(b.Context(), survey) {
			if err != nil {
				b.Fatal(err)
			}
			if series, backups = series+1, backups+s.Backups; series%1000 == 0 {
				most = max(most, inUse()-before)
			}
		}
		if series != 5000 || backups != 5_000_000 {
			b.Fatal(series, backups)
		}
	}
	b.ReportMetric(float64(most)/(1<<20), "MiB-held")
}

// inUse is how many bytes of the heap are in use.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
