package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	then = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	now  = then.Add(2 * time.Hour)

	overdue = alarm.Notice{State: alarm.Begun, Alarm: status.Alarm{Key: "overdue/shop", Kind: status.KindOverdue, Level: status.Problem, Series: "shop", Text: "series shop is overdue", Remedy: "look at cron", Since: then}}
	failing = alarm.Notice{State: alarm.Lasting, Alarm: status.Alarm{Key: "failing/nas", Kind: status.KindFailing, Level: status.Warning, Target: "nas", Text: "target nas takes nothing", Since: then}}
	over    = alarm.Notice{State: alarm.Over, Over: now, Alarm: status.Alarm{Key: "drill/x", Kind: status.KindDrill, Level: status.Problem, Text: "drill x has failed", Since: then}}
	test    = alarm.Notice{State: alarm.Begun, Alarm: status.Alarm{Key: "test", Kind: status.KindTest, Level: status.OK, Text: "this is a test", Since: now}}
)

func message(notices ...alarm.Notice) alarm.Message {
	return alarm.Message{Host: "db-server", At: now, Notices: notices}
}

func TestTitles(t *testing.T) {
	for _, c := range []struct {
		notices []alarm.Notice
		want    string
	}{
		{[]alarm.Notice{overdue}, "[offsite db-server] PROBLEM: series shop is overdue"},
		{[]alarm.Notice{failing}, "[offsite db-server] STILL WARNING: target nas takes nothing"},
		{[]alarm.Notice{over}, "[offsite db-server] OVER: drill x has failed"},
		{[]alarm.Notice{test}, "[offsite db-server] TEST: this is a test"},
		{[]alarm.Notice{overdue, failing, over}, "[offsite db-server] PROBLEM: 1 new alarm, 1 alarm lasts, 1 is over"},
		{[]alarm.Notice{failing, over, over}, "[offsite db-server] WARNING: 1 alarm lasts, 2 are over"},
		{[]alarm.Notice{over, over}, "[offsite db-server] OVER: 2 alarms"},
	} {
		if got, _ := Text(message(c.notices...)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestBody(t *testing.T) {
	_, got := Text(message(overdue, failing, over))
	const want = `db-server, 2026-11-22T05:00:00Z

NEW PROBLEM: series shop is overdue
  what to do: look at cron
  since 2026-11-22T03:00:00Z

STILL WARNING: target nas takes nothing
  since 2026-11-22T03:00:00Z

OVER: drill x has failed
  from 2026-11-22T03:00:00Z to 2026-11-22T05:00:00Z
`
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestAFloodIsCounted(t *testing.T) {
	m := message()
	for range 1000 {
		m.Notices = append(m.Notices, overdue)
	}
	body := text(m, chatMost)
	if len(body) > chatMost || !strings.Contains(body, " more: `offsite status` shows what lasts") {
		t.Errorf("%d bytes: %s", len(body), body[len(body)-200:])
	}
	long := overdue
	long.Text, long.Remedy = strings.Repeat("ä", 10_000), strings.Repeat("€", 10_000)
	if body := text(message(long, long), 1000); len(body) > 1000 || !utf8.ValidString(body) || !strings.Contains(body, "and 1 more") {
		t.Errorf("%d bytes: %s", len(body), body)
	}
	w := wire(m)
	if len(w.Notices) != noticesMost || w.More != 800 {
		t.Errorf("%d notices and %d more", len(w.Notices), w.More)
	}
}

func TestWhatIsOnTheWire(t *testing.T) {
	body, id, err := encode(message(overdue, over))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	title, text := Text(message(overdue, over))
	if got["format"] != "offsite-alarm/1" || got["host"] != "db-server" || got["at"] != "2026-11-22T05:00:00Z" || got["level"] != "problem" || got["state"] != "begun" || got["title"] != title || got["text"] != text {
		t.Errorf("%s", body)
	}
	const first = `{"state":"begun","key":"overdue/shop","kind":"overdue","level":"problem","series":"shop","text":"series shop is overdue","remedy":"look at cron","since":"2026-11-22T03:00:00Z"}`
	if !strings.Contains(string(body), first) || !strings.Contains(string(body), `"over":"2026-11-22T05:00:00Z"`) {
		t.Errorf("%s", body)
	}
	if _, again, _ := encode(message(overdue, over)); again != id {
		t.Error("the same message has another id")
	}
	if _, other, _ := encode(message(overdue)); other == id {
		t.Error("another message has the same id")
	}
	for _, c := range []struct {
		notices []alarm.Notice
		want    alarm.State
	}{{[]alarm.Notice{over, failing}, alarm.Lasting}, {[]alarm.Notice{failing, overdue}, alarm.Begun}, {[]alarm.Notice{over}, alarm.Over}} {
		if got := wire(message(c.notices...)).State; got != c.want {
			t.Errorf("state %s, want %s", got, c.want)
		}
	}
}

// Whatever a file is called: the title is one line, and nothing forges a line of the body or turns its direction.
func FuzzText(f *testing.F) {
	f.Add("db", "shop\r\nBcc: x@y", "a\u202eb\x00\x1b[31m", 2)
	f.Add("\xff", "\u2028", strings.Repeat("x", 5000), 3)
	f.Fuzz(func(t *testing.T, host, text, remedy string, n int) {
		m := alarm.Message{Host: host, At: now}
		for i := range 1 + n&3 {
			notice := alarm.Notice{State: []alarm.State{alarm.Begun, alarm.Lasting, alarm.Over}[i%3], Over: now}
			notice.Text, notice.Remedy = text, remedy
			m.Notices = append(m.Notices, notice)
		}
		title, body := Text(m)
		if !utf8.ValidString(title) || strings.IndexFunc(title, bad) >= 0 || utf8.RuneCountInString(title) > titleMost {
			t.Errorf("%q", title)
		}
		if !utf8.ValidString(body) || strings.IndexFunc(strings.ReplaceAll(body, "\n", ""), bad) >= 0 || len(body) > textMost {
			t.Errorf("%q", body)
		}
		known := []string{"NEW ", "STILL ", "OVER: ", "  what to do: ", "  since ", "  from ", "and "}
		for _, line := range strings.Split(body, "\n")[1:] {
			ok := line == ""
			for _, k := range known {
				ok = ok || strings.HasPrefix(line, k)
			}
			if !ok {
				t.Errorf("a forged line %q in %q", line, body)
			}
		}
		if _, _, err := encode(m); err != nil {
			t.Error(err)
		}
	})
}

func bad(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

func TestAtLeast(t *testing.T) {
	got := &recorder{}
	w := AtLeast(status.Problem, got)
	if err := w.Send(t.Context(), message(overdue, failing, over)); err != nil || len(got.all) != 1 || len(got.all[0].Notices) != 2 {
		t.Errorf("%v %+v", err, got.all)
	}
	if err := w.Send(t.Context(), message(failing)); err != nil || len(got.all) != 1 {
		t.Error("a warning was told", err)
	}
	if err := w.Send(t.Context(), message(test)); err != nil || len(got.all) != 2 || w.Name() != "recorder" {
		t.Error("a test was not told", err)
	}
	if w := AtLeast("", got); w != alarm.Way(got) {
		t.Error("without a level all is told")
	}
}
