package vault_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"offsite/agent/vault"
	"offsite/providers/mem"
)

// put makes a backup of which only the names and sizes are looked at.
func put(t *testing.T, target *mem.Target, host, series string, taken time.Time) {
	t.Helper()
	name, err := vault.NewName(host, series, taken, "0123abcd", "x")
	if err != nil {
		t.Fatal(err)
	}
	target.Set(name.String(), []byte("12345"))
	target.Set(name.Manifest(), []byte("not looked at"))
}

// Hosts and series whose names begin alike do not run into each other, whatever stands in between in the order of bytes.
func TestStreamsOfAllHosts(t *testing.T) {
	target := mem.New()
	var want []string
	for _, host := range []string{"a", "a-b", "a.b", "ab", "a/b", "ž"} {
		for _, series := range []string{"s", "s-1", "sub/s"} {
			for i := range 2 {
				put(t, target, host, series, taken.Add(time.Duration(i)*time.Hour))
			}
			want = append(want, host+" "+series+" 2 10")
		}
	}
	target.Set("a/readme", []byte("x"))
	var got, strange []string
	for st, err := range vault.New(target, nil).Streams(t.Context(), vault.Survey{Until: taken.AddDate(1, 0, 0), Newest: 1, Times: 1, Strange: func(o string) { strange = append(strange, o) }}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %d %d", st.Host, st.Series, st.Backups, st.Stored))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || !slices.Equal(strange, []string{"a/readme"}) {
		t.Errorf("%q, strange %q\nwant %q", got, strange, want)
	}
}

// Of a series that is never pruned no more is kept than was asked for.
func TestStreamsKeepTheNewest(t *testing.T) {
	target := mem.New()
	const all = 1000
	for i := range all {
		put(t, target, "host", "shop", taken.Add(time.Duration(i)*time.Hour))
	}
	put(t, target, "host", "shop", taken.AddDate(10, 0, 0))
	last := taken.Add((all - 1) * time.Hour)
	for st, err := range vault.New(target, nil).Streams(t.Context(), vault.Survey{Hosts: "ho", Until: last, Newest: 3, Times: 10}) {
		if err != nil {
			t.Fatal(err)
		}
		if st.Backups != all+1 || st.Future != 1 || st.Unfinished+st.Lost != 0 {
			t.Errorf("%+v", st)
		}
		if len(st.Newest) != 3 || !st.Newest[0].Taken.Equal(last) || !st.Newest[2].Taken.Equal(last.Add(-2*time.Hour)) {
			t.Errorf("%+v", st.Newest)
		}
		if len(st.Times) != 10 || cap(st.Times) > 50 || !st.Times[0].Equal(last.Add(-9*time.Hour)) || !st.Times[9].Equal(last) {
			t.Errorf("%v", st.Times)
		}
	}
	for range vault.New(target, nil).Streams(t.Context(), vault.Survey{Hosts: "hx"}) {
		t.Error("another host")
	}
}
