package status

import (
	"fmt"
	"testing"
	"time"
)

// The worst comes first, and each sum is that of what is below it, however often it is made.
func TestAFleetIsSummedUp(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	fine := FleetSeries{Name: "fine", Newest: at, Backups: 2, Stored: 10}
	f := Fleet{Hosts: []FleetHost{
		{Host: "c", Series: []FleetSeries{fine}},
		{Host: "b", Series: []FleetSeries{fine, {Name: "late", Newest: at.Add(-time.Hour), Overdue: true, Backups: 1}, {Name: "bad", Newest: at.Add(time.Hour), Lost: 1, Health: "suspect"}}},
		{Host: "a", Series: []FleetSeries{fine, {Name: "new"}}},
		{Host: "0", Shared: []string{"a"}, Series: []FleetSeries{fine, {Name: "hidden", Newest: at, Unread: 2}}},
	}}
	for range 2 {
		f.Sum()
		order := ""
		for _, h := range f.Hosts {
			order += fmt.Sprintf("%s %s %s\n", h.Host, h.Level, h.Series[0].Name)
		}
		if want := "b problem bad\n0 warning hidden\na warning new\nc ok fine\n"; order != want {
			t.Errorf("%s", order)
		}
		if f.Level != Problem || f.Series != 8 || f.Overdue != 1 || f.Suspect != 1 || f.Unsound != 1 || f.Unread != 1 || f.Backups != 9 || f.Stored != 40 {
			t.Errorf("%+v", f)
		}
		if h := f.Hosts[0]; !h.Newest.Equal(at.Add(time.Hour)) || h.Backups != 3 || h.Stored != 10 {
			t.Errorf("%+v", h)
		}
	}
}
