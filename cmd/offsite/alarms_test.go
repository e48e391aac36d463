package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"offsite/agent"
	"offsite/configs"
)

// mailbox is a real SMTP server for one test.
type mailbox struct {
	heard
	address string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return letter{m}, nil }

type letter struct{ m *mailbox }

func (letter) Reset()                               {}
func (letter) Logout() error                        { return nil }
func (letter) Mail(string, *smtp.MailOptions) error { return nil }
func (letter) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (l letter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	l.m.note(string(text))
	return err
}

func openMailbox(t *testing.T) *mailbox {
	t.Helper()
	m := &mailbox{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = listener.Addr().String()
	server := smtp.NewServer(m)
	server.Domain = "localhost"
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return m
}

// take gives the subjects that have come since the last call.
func (m *mailbox) take() (subjects []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range m.all {
		letter, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			panic(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(letter.Header.Get("Subject"))
		if err != nil {
			panic(err)
		}
		subjects = append(subjects, subject)
	}
	m.all = nil
	return subjects
}

// hooked is a real HTTP receiver: the states of alarms, by their keys, that have come since the last call.
type hooked struct {
	mu  sync.Mutex
	all []string
}

func (h *hooked) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var m struct {
		Notices []struct {
			Key   string `json:"key"`
			State string `json:"state"`
		} `json:"notices"`
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range m.Notices {
		h.all = append(h.all, n.Key+" "+n.State)
	}
}

func (h *hooked) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.Sort(h.all)
	text := strings.Join(h.all, ", ")
	h.all = nil
	return text
}

// town is a host with a real mail server and a real receiver of webhooks, in simulated time.
type town struct {
	t     *testing.T
	c     *configs.Config
	dumps string
	now   time.Time
	mail  *mailbox
	hook  *hooked
}

func newTown(t *testing.T) *town {
	dir := t.TempDir()
	x := &town{t: t, dumps: filepath.Join(dir, "dumps"), now: time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC), mail: openMailbox(t), hook: &hooked{}}
	receiver := httptest.NewServer(x.hook)
	t.Cleanup(receiver.Close)
	for _, sub := range []string{"dumps", "nas", "two"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "offsite.yaml")
	std := streams{strings.NewReader(""), io.Discard, io.Discard}
	if code := run(t.Context(), []string{"init", "--yes", "--config", config, "--host", "h", "--zone", "UTC", "--state", filepath.Join(dir, "state"), "--watch", x.dumps,
		"--target", "nas=" + filepath.Join(dir, "nas"), "--target", "two=" + filepath.Join(dir, "two")}, std); code != exitDone {
		t.Fatal(code)
	}
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, `
alarms:
  ways:
    mail: {url: "smtp://%s/?from=offsite@example.org&to=you@example.org"}
    hook: {webhook: {url: %q, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="}}
`, x.mail.address, receiver.URL)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if x.c, err = loadConfig(config); err != nil {
		t.Fatal(err)
	}
	return x
}

// look runs the agent once, at an instant.
func (x *town) look() {
	x.t.Helper()
	o, err := agentOptions(x.c, io.Discard)
	if err != nil {
		x.t.Fatal(err)
	}
	o.Now = func() time.Time { return x.now }
	a, err := agent.New(o)
	if err == nil {
		_, err = a.Once(x.t.Context())
		err = errors.Join(err, a.Close(), closeTargets(o.Targets))
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

// dump writes the dump of now.
func (x *town) dump(series, text string) {
	path := filepath.Join(x.dumps, x.now.Format(series+"_20060102_150405.sql"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
	if err := os.Chtimes(path, x.now, x.now); err != nil {
		x.t.Fatal(err)
	}
}

// heard makes sure of what the webhook was told, and the mail in so many letters.
func (x *town) heard(when, hook string, letters ...string) {
	x.t.Helper()
	if got := x.hook.take(); got != hook {
		x.t.Errorf("%s: the webhook heard %q, want %q", when, got, hook)
	}
	got := x.mail.take()
	if len(got) != len(letters) {
		x.t.Errorf("%s: letters %q, want %q", when, got, letters)
		return
	}
	for i, want := range letters {
		if !strings.Contains(got[i], want) {
			x.t.Errorf("%s: the letter %q, want one with %q", when, got[i], want)
		}
	}
}

// Each alarm fires once, is repeated daily, and clears, at a real mail server and a real receiver of webhooks.
func TestAlarmsOverTheWire(t *testing.T) {
	t.Parallel()
	x := newTown(t)
	const whole = "--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n"
	for range 7 {
		x.now = x.now.Add(24 * time.Hour)
		x.dump("shop", whole)
		x.look()
	}
	x.heard("in good days", "")

	x.now = x.now.Add(27 * time.Hour)
	x.look()
	x.heard("cron is dead", "overdue/shop begun", "PROBLEM: series shop is overdue")
	x.now = x.now.Add(time.Hour)
	x.look()
	x.heard("an hour later", "")
	x.now = x.now.Add(24 * time.Hour)
	x.look()
	x.heard("a day later", "overdue/shop lasting", "PROBLEM: series shop is overdue")

	away := filepath.Join(filepath.Dir(x.dumps), "away")
	if err := os.Rename(filepath.Join(filepath.Dir(x.dumps), "two"), away); err != nil {
		t.Fatal(err)
	}
	x.dump("shop", whole[:50])
	x.look()
	x.heard("it is back, cut off", "overdue/shop over, suspect/shop begun", "PROBLEM: 1 new alarm, 1 is over")
	x.now = x.now.Add(2 * time.Hour)
	x.look()
	x.heard("a target is away", "failing/two begun", "target two takes nothing")

	if err := os.Rename(away, filepath.Join(filepath.Dir(x.dumps), "two")); err != nil {
		t.Fatal(err)
	}
	x.now = x.now.Add(time.Hour)
	x.dump("shop", whole)
	x.look()
	x.heard("all is well", "failing/two over, suspect/shop over", "OVER: 2 alarms")
}
