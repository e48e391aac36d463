package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	svix "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"offsite/agent/alarm"
	"offsite/configs"
)

// receiver remembers the paths that were posted to, and the last call.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	paths  []string
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.paths, r.header, r.body = append(r.paths, req.URL.Path), req.Header, b
	}))
	t.Cleanup(r.Close)
	return r
}

// withAlarms is the configuration with these alarms, in a file.
func withAlarms(t *testing.T, alarms string, args ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "offsite.yaml")
	text := "host: db-server\nwatch: [{path: /usr/share}]\nrecipients: [age12d9cnl2sg8k7r6xaqp28nk6mpyg9rt48zhk78rf96ljgmr8k4fdqyypzq9]\ntargets: {nas: {dir: {path: /mnt/nas}}}\nalarms:\n" + fmt.Sprintf(alarms, args...)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATestByAWebhookAndAChat(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hook, chat := newReceiver(t), newReceiver(t)
	path := withAlarms(t, "  ways:\n    hook: {webhook: {url: %s/hook, secret_file: %s}}\n    chat: {url_file: %s, level: problem}\n", hook.URL, file(t, secret+"\n"),
		file(t, "generic+http://"+strings.TrimPrefix(chat.URL, "http://")+"/chat"))
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--config", path, "alarm", "test"}, streams{nil, &out, &errs}); code != exitDone || out.String() != "hook: ok\nchat: ok\n" || errs.Len() > 0 {
		t.Errorf("%d %s %s", code, &out, &errs)
	}
	verifier, err := svix.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(hook.body, hook.header); err != nil || hook.paths[0] != "/hook" {
		t.Error(err, hook.paths)
	}
	if chat.paths[0] != "/chat" || !strings.Contains(string(chat.body), "TEST") {
		t.Errorf("%v %s", chat.paths, chat.body)
	}
}

// A secret that comes later is taken then.
func TestAWayThatCannotBeOpenedYet(t *testing.T) {
	hook := newReceiver(t)
	secret := filepath.Join(t.TempDir(), "later")
	c, err := loadToRead(withAlarms(t, "  ways: {hook: {webhook: {url: %s, secret_file: %s}}}\n", hook.URL, secret))
	if err != nil {
		t.Fatal(err)
	}
	w := ways(c.Alarms.Ways, time.Now)[0]
	m := testMessage("h", time.Now())
	if err := w.Send(t.Context(), m); err == nil || w.Name() != "hook" || !strings.Contains(err.Error(), "later") {
		t.Error(err)
	}
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Send(t.Context(), m); err != nil || len(hook.paths) != 1 {
		t.Error(err)
	}
}

func TestPingsOfTheConfiguration(t *testing.T) {
	r := newReceiver(t)
	c, err := loadToRead(withAlarms(t, "  pings:\n    - {series: \"shop*\", url: %[1]s/shops}\n    - {series: shop, url_file: %[2]s}\n    - {alive: 5m, url: %[1]s/alive}\n", r.URL, file(t, r.URL+"/shop\n")))
	if err != nil {
		t.Fatal(err)
	}
	all := pings(c)
	for _, run := range []struct {
		series string
		event  alarm.Event
	}{{"shop", alarm.Started}, {"shop2", alarm.Failed}, {"other", alarm.Failed}, {"shop", alarm.Succeeded}} {
		if err := all.Run(t.Context(), run.series, run.event, ""); err != nil {
			t.Error(err)
		}
	}
	alive := all.Alive[0]
	event, text := alarm.Alive(nil)
	if err := alive.Send(t.Context(), event, text); err != nil || alive.Every != 5*time.Minute || alive.Name() != "ping alive" {
		t.Error(err, alive)
	}
	if got := strings.Join(r.paths, " "); got != "/shops/start /shop/start /shops/fail /shops /shop /alive" {
		t.Error(got)
	}
	c.Alarms.Pings[1] = configs.Ping{Series: "shop", URLFile: "/not/there"}
	r.paths = nil
	if err := pings(c).Run(t.Context(), "shop", alarm.Started, ""); err == nil || !strings.Contains(err.Error(), "ping of shop: open /not/there") || len(r.paths) != 1 {
		t.Error(err, r.paths)
	}
}
