package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// command is one process of a contestant.
type command struct {
	argv   []string
	env    []string // beside what this process has
	stdin  string   // a file; empty: nothing, or the process before
	stdout string   // a file; empty: nothing, or the process after
}

// sample is what one run took.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system, of all processes of the contestant
	peak int64         // bytes resident at most, added up over the processes
}

// measure runs the processes of a pipeline and waits for all. Its servers are not part of it.
func measure(ctx context.Context, pipeline []command) (s sample, err error) {
	cmds, files, err := connect(ctx, pipeline)
	begin := time.Now()
	for i, c := range cmds {
		if err == nil {
			if err = c.Start(); err != nil {
				err = fmt.Errorf("%s: %w", pipeline[i].argv[0], err)
			}
		}
	}
	for _, f := range files { // the processes have them
		f.Close()
	}
	for i, c := range cmds {
		if c.Process == nil {
			continue
		}
		if waitErr := c.Wait(); waitErr != nil && err == nil {
			err = fmt.Errorf("%s: %w: %s", strings.Join(pipeline[i].argv, " "), waitErr, tail(c.Stderr.(*strings.Builder).String()))
		}
		usage := c.ProcessState.SysUsage().(*syscall.Rusage)
		s.cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		s.peak += usage.Maxrss << 10 // getrusage(2): kilobytes, of the largest of a process and its children
	}
	s.wall = time.Since(begin)
	return s, err
}

// connect makes the processes of a pipeline, and gives the files that are to be closed when they run.
func connect(ctx context.Context, pipeline []command) (cmds []*exec.Cmd, files []*os.File, err error) {
	var before *os.File
	for i, p := range pipeline {
		c := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
		c.Env = append(environment(), p.env...)
		c.Stderr = &strings.Builder{}
		switch {
		case before != nil:
			c.Stdin = before
		case p.stdin != "":
			f, err := os.Open(p.stdin)
			if err != nil {
				return nil, files, err
			}
			c.Stdin, files = f, append(files, f)
		}
		before = nil
		switch {
		case i+1 < len(pipeline):
			r, w, err := os.Pipe()
			if err != nil {
				return nil, files, err
			}
			c.Stdout, before, files = w, r, append(files, r, w)
		case p.stdout != "":
			f, err := os.Create(p.stdout)
			if err != nil {
				return nil, files, err
			}
			c.Stdout, files = f, append(files, f)
		}
		cmds = append(cmds, c)
	}
	return cmds, files, nil
}

func tail(s string) string {
	const most = 600
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return strings.TrimSpace(s)
}

// environment is this process's, without certificates that only some of the contestants would read.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "SSL_CERT_")
	})
}
