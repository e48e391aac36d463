package alarm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"offsite/agent/status"
)

var start = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *Book {
	t.Helper()
	b, err := Open(dir, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trouble(key string, level status.Level) status.Alarm {
	return status.Alarm{Key: key, Kind: status.KindOverdue, Level: level, Text: "text of " + key}
}

// said are the notices as "key state".
func said(notices []Notice) string {
	var all []string
	for _, n := range notices {
		all = append(all, n.Key+" "+string(n.State))
	}
	return strings.Join(all, ", ")
}

// tell is one turn in which the way works.
func tell(b *Book, now time.Time, way string, troubles ...status.Alarm) string {
	b.Update(now, troubles)
	due := b.Due(now, way)
	if len(due) > 0 {
		b.Done(now, way, due, nil)
	}
	return said(due)
}

func TestToldOnceDailyAndWhenItIsOver(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	a := trouble("overdue/shop", status.Problem)
	now := start
	for hour := range 73 {
		if hour == 30 { // a restart in between
			if err := b.Save([]string{"mail"}); err != nil {
				t.Fatal(err)
			}
			b = open(t, dir)
		}
		want := ""
		switch hour {
		case 0:
			want = "overdue/shop begun"
		case 24, 48, 72:
			want = "overdue/shop lasting"
		}
		if got := tell(b, now, "mail", a); got != want {
			t.Errorf("after %d hours: told %q, want %q", hour, got, want)
		}
		now = now.Add(time.Hour)
	}
	if got := tell(b, now, "mail"); got != "overdue/shop over" {
		t.Errorf("at the end: %q", got)
	}
	if got := tell(b, now, "mail"); got != "" || len(b.Lasting()) != 0 {
		t.Errorf("after the end: %q, %v", got, b.Lasting())
	}
	if got := tell(b, now.Add(time.Hour), "mail", a); got != "overdue/shop begun" {
		t.Errorf("when it begins again: %q", got)
	}
}

// A way that fails is tried again later and later, holds up no other, and tells then what is news for its reader.
func TestAWayThatFails(t *testing.T) {
	b := open(t, t.TempDir())
	a, worse := trouble("failing/nas", status.Warning), trouble("failing/nas", status.Problem)
	b.Update(start, []status.Alarm{a})
	tries := 0
	for now := start; now.Before(start.Add(6 * time.Hour)); now = now.Add(30 * time.Second) {
		if due := b.Due(now, "mail"); len(due) > 0 {
			tries++
			b.Done(now, "mail", due, errors.New("no route"))
		}
	}
	if tries < 10 || tries > 20 {
		t.Errorf("%d tries in six hours", tries)
	}
	if got := tell(b, start, "hook", a); got != "failing/nas begun" {
		t.Errorf("the other way: %q", got)
	}
	ways := b.Ways([]string{"hook", "mail", "never"})
	if ways[1].Error != "no route" || !ways[1].Failing.Equal(start) || !ways[0].Failing.IsZero() || ways[0].Sent.IsZero() {
		t.Errorf("%+v", ways)
	}
	later := start.Add(7 * time.Hour)
	if got := tell(b, later, "hook", worse); got != "failing/nas begun" {
		t.Errorf("worse: %q", got)
	}
	b.Update(later, nil) // over before the mail could ever be sent
	if due := b.Due(later, "mail"); len(due) > 0 {
		t.Errorf("told of the end of what it never told: %q", said(due))
	}
	if got := tell(b, later, "hook"); got != "failing/nas over" {
		t.Errorf("%q", got)
	}
}

func TestAnEventIsToldOnce(t *testing.T) {
	b := open(t, t.TempDir())
	b.Event(start, trouble("journal", status.Warning), 48*time.Hour)
	var all []string
	for hour := range 60 {
		if got := tell(b, start.Add(time.Duration(hour)*time.Hour), "mail"); got != "" {
			all = append(all, got)
		}
		if lasts := len(b.Lasting()) == 1; lasts != (hour < 48) {
			t.Errorf("after %d hours it lasts: %v", hour, lasts)
		}
	}
	if !slices.Equal(all, []string{"journal begun"}) {
		t.Errorf("%q", all)
	}
}

// An event that comes again and again is told again after a day, and at once when it gets worse.
func TestAnEventThatComesAgain(t *testing.T) {
	b := open(t, t.TempDir())
	var all []string
	for hour := range 50 {
		now := start.Add(time.Duration(hour) * time.Hour)
		level := status.Warning
		if hour >= 40 {
			level = status.Problem
		}
		b.Event(now, trouble("killed", level), 24*time.Hour)
		if got := tell(b, now.Add(time.Minute), "mail"); got != "" {
			all = append(all, fmt.Sprintf("%d %s", hour, got))
		}
	}
	if got := strings.Join(all, ", "); got != "0 killed begun, 24 killed lasting, 40 killed begun" {
		t.Error(got)
	}
}

func TestWorstComesFirst(t *testing.T) {
	b := open(t, t.TempDir())
	old := trouble("b", status.Warning)
	old.Since = start.Add(-time.Hour)
	if got := tell(b, start, "mail", trouble("a", status.Warning), old, trouble("c", status.Problem)); got != "c begun, b begun, a begun" {
		t.Error(got)
	}
}

func TestADamagedBookIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bookFile), []byte(`{"alarms": {"a": `), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir, time.Hour)
	if err == nil || b == nil {
		t.Fatalf("%v", err)
	}
	if got := tell(b, start, "mail", trouble("a", status.Problem)); got != "a begun" {
		t.Error(got)
	}
}

// What does not change is not written: an idle agent leaves the disk alone.
func TestSaveWritesWhatChanged(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	tell(b, start, "mail", trouble("a", status.Problem))
	if err := b.Save([]string{"mail"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, bookFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	tell(b, start.Add(time.Minute), "mail", trouble("a", status.Problem))
	if err := b.Save([]string{"mail"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was written though nothing had changed")
	}
}

// Whatever begins, ends and fails, with restarts in between: a reader hears of each trouble at the latest when the way works again, not
// more often than daily unless it gets worse, and of the end of all that they have heard of and of nothing else.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "book")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b, _ := Open(dir, 24*time.Hour)
		now := start
		knows := map[string]time.Time{} // what the reader takes for lasting, and when they heard of it
		levels := map[string]status.Level{}
		lasting := map[string]status.Level{}
		turn := func(works bool) {
			var troubles []status.Alarm
			for key, level := range lasting {
				troubles = append(troubles, trouble(key, level))
			}
			b.Update(now, troubles)
			due := b.Due(now, "mail")
			if len(due) == 0 {
				return
			}
			if !works {
				b.Done(now, "mail", due, errors.New("down"))
				return
			}
			b.Done(now, "mail", due, nil)
			for _, n := range due {
				heard, known := knows[n.Key]
				switch n.State {
				case Over:
					if !known {
						t.Fatalf("%s is over, and nobody had heard of it", n.Key)
					}
					delete(knows, n.Key)
					continue
				case Lasting:
					if !known || now.Sub(heard) < 24*time.Hour {
						t.Fatalf("%s lasts: known %v, heard %s ago", n.Key, known, now.Sub(heard))
					}
				case Begun:
					if known && status.Worse(levels[n.Key], n.Level) == levels[n.Key] {
						t.Fatalf("%s is told as new twice", n.Key)
					}
				}
				knows[n.Key], levels[n.Key] = now, n.Level
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "turns") {
			now = now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "hours")) * time.Hour)
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				lasting[key] = rapid.SampledFrom([]status.Level{status.Warning, status.Problem}).Draw(t, "level")
			case 1:
				delete(lasting, key)
			case 2:
				if err := b.Save([]string{"mail"}); err != nil {
					t.Fatal(err)
				}
				b, _ = Open(dir, 24*time.Hour)
			}
			turn(rapid.Bool().Draw(t, "works"))
		}
		now = now.Add(time.Hour)
		turn(true)
		for key := range lasting {
			if _, known := knows[key]; !known {
				t.Fatalf("%s lasts, and nobody has heard of it", key)
			}
		}
		for key := range knows {
			if lasting[key] == "" {
				t.Fatalf("%s is over, and nobody has heard of that", key)
			}
		}
	})
}

// Who may write to the state directory must not have root write elsewhere.
func TestALinkInTheStateDirectoryLeadsNowhere(t *testing.T) {
	dir := t.TempDir()
	b, victim := open(t, dir), filepath.Join(dir, "victim")
	if err := os.Symlink(victim, b.path+".new"); err != nil {
		t.Fatal(err)
	}
	b.Update(start, []status.Alarm{trouble("overdue/shop", status.Problem)})
	err := b.Save(nil)
	if _, there := os.Lstat(victim); there == nil || err == nil {
		t.Errorf("it was written where a link led: %v", err)
	}
}
