package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offsite/providers/mem"
)

// Two databases whose dumps have the same name, each in a directory of its own, are two transfers; the end of one is not that of the other.
func TestDumpsOfOneNameAreTransfersOfTheirOwn(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	for _, series := range []string{"blog", "shop"} {
		if err := os.Mkdir(filepath.Join(h.dumps, series), 0o700); err != nil {
			t.Fatal(err)
		}
		h.write(series+"/db_20261122.sql", 1000)
	}
	free := map[string]chan struct{}{"blog%2Fdb": make(chan struct{}), "shop%2Fdb": make(chan struct{})}
	h.a.Fault(func(c mem.Call) error {
		for series, free := range free {
			if c.Op == "put" && strings.Contains(c.Name, series) {
				<-free
			}
		}
		return nil
	})
	a := h.start()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	until := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			s, err := a.Status()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, u := range s.Transfers {
				got[u.Series] = true
			}
			if fmt.Sprint(got) == want {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("under way are %v, want %s", got, want)
				return
			}
		}
	}
	until("map[blog/db:true shop/db:true]")
	close(free["blog%2Fdb"])
	until("map[shop/db:true]")
	close(free["shop%2Fdb"])
	until("map[]")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
