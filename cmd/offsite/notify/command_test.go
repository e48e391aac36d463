package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(script string) *Command {
	return &Command{Label: "page", Argv: []string{"/bin/sh", "-c", script}, TimeLimit: 20 * time.Second}
}

func TestAProgramGetsAll(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	m := message(overdue, over)
	m.Host = "db"
	if err := sh(`{ printf '%s|' "$OFFSITE_HOST" "$OFFSITE_TITLE" "$OFFSITE_LEVEL" "$OFFSITE_STATE"; cat; } > `+out).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(out)
	body, _, _ := encode(m)
	if want := "db|[offsite db] PROBLEM: 1 new alarm, 1 is over|problem|begun|" + string(body); string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestProgramsThatFail(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"exit 3", "/bin/sh: exit status 3"},
		{"echo one; echo no modem >&2; exit 3", "/bin/sh: exit status 3: one; no modem"},
		{"kill -9 $$", "/bin/sh: signal: killed"},
		{`printf 'a\r\033[31mb'; exit 1`, "/bin/sh: exit status 1: a \uFFFD[31mb"},
	} {
		if err := sh(c.script).Send(t.Context(), message(overdue)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.script, err, c.want)
		}
	}
	for _, program := range []string{"/not/there", "offsite-not-there"} {
		if err := (&Command{Label: "x", Argv: []string{program}}).Send(t.Context(), message(overdue)); err == nil || !strings.Contains(err.Error(), program) {
			t.Error(err)
		}
	}
}

func TestAFloodOfOutputIsBounded(t *testing.T) {
	err := sh("head -c 30000000 /dev/zero | tr '\\0' 'x'; echo; echo the end; exit 1").Send(t.Context(), message(overdue))
	if err == nil || len(err.Error()) > 4*errorMost || !strings.HasSuffix(err.Error(), "the end") {
		t.Errorf("%.200v", err)
	}
	var said tail
	for range 1000 {
		said.Write([]byte(strings.Repeat("y", 10_000)))
		if cap(said.b) > 64<<10 {
			t.Fatalf("%d bytes are kept", cap(said.b))
		}
	}
}

func TestAProgramThatReadsNothingHasSucceeded(t *testing.T) {
	m := message()
	for range noticesMost {
		m.Notices = append(m.Notices, overdue) // more than a pipe holds
	}
	if err := sh("exec <&-; exit 0").Send(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// A program that hangs is killed with what it has started.
func TestAProgramThatHangs(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	c := sh("sleep 1000 & echo $$ $! > " + pids + ".new; mv " + pids + ".new " + pids + "; wait")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if _, err := os.Stat(pids); err == nil {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := c.Send(ctx, message(overdue)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b, _ := os.ReadFile(pids)
	for _, field := range strings.Fields(string(b)) {
		pid, _ := strconv.Atoi(field)
		if !gone(pid) {
			t.Errorf("process %d lives on", pid)
		}
	}
	c = sh("echo working; sleep 1000")
	for c.TimeLimit = 300 * time.Millisecond; ; c.TimeLimit *= 4 {
		err := c.Send(t.Context(), message(overdue))
		want := fmt.Sprintf("/bin/sh took longer than %s, its time limit", c.TimeLimit)
		if err != nil && err.Error() == want && c.TimeLimit < time.Minute {
			continue // so busy is this machine that the shell had no time to say anything
		}
		if err == nil || err.Error() != want+": working" {
			t.Error(err)
		}
		break
	}
}

// gone waits until a process is none any more, or one that only its parent has not heard of.
func gone(pid int) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
		if syscall.Kill(pid, 0) != nil {
			return true
		}
	}
	return false
}
