package page

import (
	"testing"
	"time"
)

func TestHowLongAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 59*time.Minute + 59*time.Second: "59 minutes ago", time.Hour: "1 hour ago",
		47 * time.Hour: "47 hours ago", 48 * time.Hour: "2 days ago", 59 * 24 * time.Hour: "59 days ago", 60 * 24 * time.Hour: "2 months ago", 730 * 24 * time.Hour: "2 years ago",
		-30 * time.Second: "in a moment", -90 * time.Second: "in 1 minute", -25 * time.Hour: "in 25 hours",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestHowLong(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "less than a second", 999 * time.Millisecond: "less than a second", 48 * time.Second: "48 s", 2*time.Hour + 14*time.Minute + 3*time.Second: "2 h 14 min", 2*time.Hour + 3*time.Second: "2 h",
		24 * time.Hour: "1 day", 50 * time.Hour: "2 days 2 h",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{24*time.Hour + 9*time.Minute: "every day", 7*24*time.Hour - time.Minute: "every week", time.Hour + time.Minute: "every hour", 6 * time.Hour: "every 6 h", 15 * time.Minute: "every 15 min"} {
		if got := (clock{}).Every(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestPercentSays100OnlyOfAll(t *testing.T) {
	for _, c := range []struct {
		n, of int64
		want  int
	}{{0, 0, 0}, {999, 1000, 99}, {1000, 1000, 100}, {1001, 1000, 100}, {-1, 5, 0}, {1 << 62, 1 << 62, 100}} {
		if got := percent(c.n, c.of); got != c.want {
			t.Errorf("%d of %d: %d", c.n, c.of, got)
		}
	}
}

func TestCommandsInText(t *testing.T) {
	if got := code("say `offsite <x>` & go"); got != "say <code>offsite &lt;x&gt;</code> &amp; go" {
		t.Error(got)
	}
}
