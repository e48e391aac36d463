package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"offsite/agent/alarm"
)

var _ alarm.Way = (*Command)(nil)

// Command hands messages to a program.
type Command struct {
	// Label is the name of the way.
	Label string
	// Argv is the program and its arguments; there is no shell.
	Argv []string
	// TimeLimit is how long it may take; 0: a minute.
	TimeLimit time.Duration
}

// Name is that of the configuration.
func (c *Command) Name() string { return c.Label }

// Send gives the message as JSON to the program's standard input, and what is most asked for in its environment: OFFSITE_HOST,
// OFFSITE_TITLE, OFFSITE_LEVEL and OFFSITE_STATE, as the package comment has them. Exit status 0 is success, whether it has read all
// or not. It is killed with all that it started when its time is over; what it leaves running after a success is left alone.
func (c *Command) Send(ctx context.Context, m alarm.Message) error {
	body, _, err := encode(m)
	if err != nil {
		return err
	}
	limit := c.TimeLimit
	if limit == 0 {
		limit = patience
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w := wire(m)
	cmd := exec.CommandContext(limited, c.Argv[0], c.Argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "OFFSITE_HOST="+Line(w.Host), "OFFSITE_TITLE="+w.Title, "OFFSITE_LEVEL="+string(w.Level), "OFFSITE_STATE="+string(w.State))
	var said tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(body), &said, &said
	err = cmd.Run()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && limited.Err() == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("%s took longer than %s, its time limit%s", c.Argv[0], limit, said.words())
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is not installed here", c.Argv[0])
	case errors.As(err, new(*exec.ExitError)):
		return fmt.Errorf("%s: %w%s", c.Argv[0], err, said.words())
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// kept is how much of what a program prints is kept.
const kept = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	t.b = append(t.b, p[max(0, n-kept):]...)
	t.b = append(t.b[:0], t.b[max(0, len(t.b)-kept):]...)
	return n, nil
}

// words are the last lines, to be put after an error; "" if there are none.
func (t *tail) words() string {
	const last = 3
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	end := []rune(strings.Join(lines[max(0, len(lines)-last):], "; "))
	words := Line(string(end[max(0, len(end)-errorMost):]))
	if words == "" {
		return ""
	}
	return ": " + words
}
