package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

// watcher is somebody elsewhere who is told of runs.
type watcher struct {
	down  bool
	heard []string
}

func (*watcher) Name() string { return "watcher" }

func (w *watcher) Send(_ context.Context, e alarm.Event, text string) error {
	if w.down {
		return errors.New("no route")
	}
	w.heard = append(w.heard, strings.TrimSpace(string(e)+" "+text))
	return nil
}

func (w *watcher) news() string {
	text := strings.Join(w.heard, "; ")
	w.heard = nil
	return text
}

func TestEachRunIsPinged(t *testing.T) {
	y := newYear(t)
	shop, alive := &watcher{}, &watcher{}
	y.pings = alarm.Pings{Series: []alarm.SeriesPing{{Ping: shop, Series: "sh*"}}, Alive: []alarm.AlivePing{{Ping: alive, Every: time.Minute}}}
	for i := range 5 { // a history is one run
		y.dump("shop", 1000+i)
		y.dump("blog", 1000)
		y.now = y.now.Add(24 * time.Hour)
	}
	y.once()
	if got := shop.news(); got != "started found shop_20260306_030000.sql, 1004 B; succeeded shop_20260306_030000.sql, 1004 B, is on a, b" {
		t.Errorf("%q", got)
	}
	if got := alive.news(); got != "succeeded" {
		t.Errorf("alive: %q", got)
	}
	y.once()
	if got := shop.news(); got != "" {
		t.Errorf("nothing new: %q", got)
	}

	cut := filepath.Join(y.dumps, y.now.Format("shop_20060102_150405.sql"))
	if err := os.WriteFile(cut, []byte("--\n-- PostgreSQL database dump\n--\nCREATE TABLE t (i int);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	y.once()
	if got := shop.news(); !strings.Contains(got, "started found shop_20260307") || !strings.Contains(got, "; failed shop_20260307_030000.sql is suspect: ") || strings.Contains(got, "succeeded") {
		t.Errorf("%q", got)
	}
	if got := alive.news(); !strings.Contains(got, "failed the newest dump of series shop") {
		t.Errorf("alive: %q", got)
	}

	// One that a target lacks goes on after a restart.
	y.now = y.now.Add(24 * time.Hour)
	y.dump("shop", 1000)
	down(y.b)
	y.once()
	if got := shop.news(); got != "started found shop_20260308_030000.sql, 1000 B" {
		t.Errorf("%q", got)
	}
	y.b.Fault(nil)
	y.now = y.now.Add(time.Hour)
	y.once()
	if got := shop.news(); got != "succeeded shop_20260308_030000.sql, 1000 B, is on a, b" {
		t.Errorf("%q", got)
	}
}

func TestAPingThatFailsIsTold(t *testing.T) {
	y := newYear(t)
	dead := &watcher{down: true}
	y.pings = alarm.Pings{Alive: []alarm.AlivePing{{Ping: dead, Every: time.Minute}}}
	a := y.start()
	defer a.Close()
	if _, err := a.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := a.Status()
	if err != nil || len(s.Alarms) != 1 || s.Alarms[0].Kind != status.KindWay || !strings.Contains(s.Alarms[0].Text, "no route") {
		t.Errorf("%+v, %v", s, err)
	}
}
