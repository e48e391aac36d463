package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// asker asks questions on standard error and reads answers from standard input, or asks nothing.
type asker struct {
	in    *bufio.Reader
	out   io.Writer
	tty   int // file descriptor of a terminal, or -1
	quiet bool
}

func newAsker(std streams, quiet bool) *asker {
	a := &asker{in: bufio.NewReader(std.in), out: std.err, tty: -1, quiet: quiet}
	if f, ok := std.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.tty = int(f.Fd())
	}
	return a
}

// errNoAnswer: standard input has ended, or nothing may be asked.
var errNoAnswer = errors.New("nobody answers")

// line is the answer, or usual if it is empty. Its errors are errNoAnswer and that ctx has ended.
func (a *asker) line(ctx context.Context, prompt, usual string) (string, error) {
	if a.quiet {
		return usual, errNoAnswer
	}
	if usual != "" {
		prompt += " [" + usual + "]"
	}
	fmt.Fprintf(a.out, "%s: ", prompt)
	answer, err := a.read(ctx)
	if err == nil && answer == "" {
		answer = usual
	}
	return answer, err
}

// read waits for a line, and not longer than ctx.
func (a *asker) read(ctx context.Context) (string, error) {
	type got struct {
		line string
		err  error
	}
	read := make(chan got, 1)
	go func() { // it ends with the process if nobody answers any more
		line, err := a.in.ReadString('\n')
		read <- got{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.out)
		return "", ctx.Err()
	case g := <-read:
		if g.err != nil && g.line == "" {
			fmt.Fprintln(a.out)
			return "", errNoAnswer
		}
		return strings.TrimSpace(g.line), nil
	}
}

// secret is an answer that does not show on a terminal.
func (a *asker) secret(ctx context.Context, prompt string) (string, error) {
	if a.quiet || a.tty < 0 {
		return a.line(ctx, prompt, "")
	}
	fmt.Fprintf(a.out, "%s (does not show): ", prompt)
	show, err := hide(a.tty)
	if err != nil {
		return "", err
	}
	answer, err := a.read(ctx)
	show()
	if err == nil {
		fmt.Fprintln(a.out)
	}
	return answer, err
}

// hide keeps a terminal from showing what is typed, until show.
func hide(tty int) (show func(), err error) {
	before, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(tty, unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(tty, unix.TCSETS, before) }, nil // a terminal that is gone shows nothing
}

// yes is true for a clear yes, and false for a clear no; anything else is asked again.
func (a *asker) yes(ctx context.Context, prompt string) (bool, error) {
	for {
		answer, err := a.line(ctx, prompt+" (yes/no)", "")
		if err != nil {
			return false, err
		}
		switch strings.ToLower(answer) {
		case "yes", "y":
			return true, nil
		case "no", "n":
			return false, nil
		}
		fmt.Fprintln(a.out, "Write yes or no.")
	}
}

// choose is the number of one of several, from 1, or whatever else was answered and other takes, with 0.
func (a *asker) choose(ctx context.Context, prompt, usual string, most int, other func(string) error) (int, string, error) {
	for {
		answer, err := a.line(ctx, prompt, usual)
		if err != nil {
			return 0, "", err
		}
		var n int
		if _, err := fmt.Sscanf(answer, "%d", &n); err == nil && n >= 1 && n <= most && answer == fmt.Sprint(n) {
			return n, answer, nil
		}
		err = fmt.Errorf("write a number from 1 to %d", most)
		if other != nil {
			err = other(answer)
		}
		if err == nil {
			return 0, answer, nil
		}
		fmt.Fprintln(a.out, err)
	}
}
