package alarm_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

type watcher struct {
	name string
	got  []string
	err  error
}

func (w *watcher) Name() string { return w.name }
func (w *watcher) Send(_ context.Context, e alarm.Event, text string) error {
	w.got = append(w.got, string(e)+" "+text)
	return w.err
}

func TestWhichWatchersAreTold(t *testing.T) {
	one, some, odd := &watcher{name: "one", err: errors.New("down")}, &watcher{name: "some"}, &watcher{name: "odd"}
	p := alarm.Pings{Series: []alarm.SeriesPing{{Ping: one, Series: "shop"}, {Ping: some, Series: "sh*"}, {Ping: odd, Series: "[x"}}}
	if err := p.Run(t.Context(), "shop", alarm.Started, "a"); err == nil || err.Error() != "one: down" {
		t.Error(err)
	}
	if err := errors.Join(p.Run(t.Context(), "ship", alarm.Failed, "b"), p.Run(t.Context(), "other", alarm.Failed, "c"), p.Run(t.Context(), "[x", alarm.Succeeded, "")); err != nil {
		t.Error(err)
	}
	if strings.Join(one.got, ",") != "started a" || strings.Join(some.got, ",") != "started a,failed b" || strings.Join(odd.got, ",") != "succeeded " {
		t.Error(one.got, some.got, odd.got)
	}
}

func TestAlive(t *testing.T) {
	if e, text := alarm.Alive([]status.Alarm{{Level: status.Warning, Text: "w"}}); e != alarm.Succeeded || text != "" {
		t.Error(e, text)
	}
	if e, text := alarm.Alive([]status.Alarm{{Level: status.Problem, Text: "a"}, {Level: status.Warning, Text: "w"}, {Level: status.Problem, Text: "b"}}); e != alarm.Failed || text != "a\nb" {
		t.Error(e, text)
	}
}
