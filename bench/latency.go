package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	liveDumps = 100
	settle    = 200 * time.Millisecond
)

// latency runs the agent as a service and writes one dump of 1 MiB after the other into the watched directory: how long it takes
// from close to the commit on MinIO and in the journal, beyond settle.
func (b *bench) latency(ctx context.Context) (string, error) {
	if b.http == "" || !b.only.MatchString("close-to-commit/offsite agent") {
		return "", nil
	}
	one, err := os.ReadFile(b.path("data", "one.bin"))
	if err != nil {
		return "", err
	}
	if err := b.forget("minio")(ctx); err != nil {
		return "", err
	}
	dir := b.path("live")
	config := strings.Replace(b.configText("minio", dir), "settle: 0s", "settle: "+settle.String(), 1)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(b.config("live"), []byte(config), 0o600); err != nil {
		return "", err
	}
	agent := exec.CommandContext(ctx, b.offsite, "--config", b.config("live"), "agent")
	agent.Env = environment()
	log, err := agent.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := agent.Start(); err != nil {
		return "", err
	}
	defer agent.Wait()
	defer agent.Process.Signal(syscall.SIGTERM)
	watching, delivered := heard(log)
	select {
	case <-watching:
	case <-time.After(time.Minute):
		return "", errors.New("the agent does not watch")
	case <-ctx.Done():
		return "", ctx.Err()
	}

	var took []time.Duration
	for i := range liveDumps {
		path := fmt.Sprintf("%s/live_%s.bin", dir, time.Now().Add(time.Duration(-i)*time.Minute).Format("20060102_150405"))
		if err := os.WriteFile(path, one, 0o644); err != nil {
			return "", err
		}
		closed := time.Now()
		select {
		case at := <-delivered:
			took = append(took, at.Sub(closed)-settle)
		case <-time.After(20 * time.Second):
			return "", fmt.Errorf("%s was not delivered", path)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	slices.Sort(took)
	at := func(part int) string {
		return took[min(len(took)-1, len(took)*part/100)].Round(100 * time.Microsecond).String()
	}
	return fmt.Sprintf("\n### close-to-commit\n\n%d dumps of 1 MiB, one after the other, from close to the commit on MinIO and in the journal, beyond `settle`:\np50 %s, p90 %s, p99 %s, most %s\n",
		len(took), at(50), at(90), at(99), at(100)), nil
}

// heard tells what the agent's log says: that it watches, and when dumps were delivered.
func heard(log io.Reader) (watching <-chan struct{}, delivered <-chan time.Time) {
	began, times := make(chan struct{}), make(chan time.Time, liveDumps)
	go func() {
		begin := sync.OnceFunc(func() { close(began) })
		for lines := bufio.NewScanner(log); lines.Scan(); {
			switch {
			case strings.Contains(lines.Text(), "msg=watching"):
				begin()
			case strings.Contains(lines.Text(), "msg=delivered"):
				times <- time.Now()
			}
		}
	}()
	return began, times
}
