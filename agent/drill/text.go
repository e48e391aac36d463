package drill

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"offsite/agent/dump"
)

// headSize is how much of a dump is looked at for the locale of its database and its extensions.
const headSize = 1 << 20

// text restores what psql reads.
func (a *attempt) text(ctx context.Context, r *bufio.Reader) error {
	var head []byte
	if a.dump.Kind != dump.PostgresCluster {
		head, _ = r.Peek(headSize) // its error comes again
		a.locale[""] = localeIn(head)
	}
	first, err := a.database(ctx, "")
	if err != nil {
		return err
	}
	if err := a.prepare(ctx, first, head); err != nil {
		return err
	}
	key, err := a.restrictKey(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := a.inside.command(ctx, "psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", first)
	var said tail
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	released, err := start(cmd)
	if err != nil {
		return said.failure("psql", err, nil)
	}
	defer released()
	filterErr := a.feed(ctx, r, in, key, first)
	if filterErr != nil && !errors.Is(filterErr, syscall.EPIPE) {
		cancel()
	}
	in.Close()
	err = wait(cmd, "")
	switch {
	case filterErr != nil && !errors.Is(filterErr, syscall.EPIPE):
		return filterErr
	case err != nil:
		return said.failure("psql", err, ctx.Err())
	}
	return filterErr
}

// feed passes the text on to psql, which is connected to the first scratch database.
func (a *attempt) feed(ctx context.Context, r *bufio.Reader, psql io.Writer, key, first string) error {
	now := first
	// A scratch database need not outlive a power cut.
	f := &filter{in: r, out: psql, key: key, left: a.left, prologue: "SET synchronous_commit = off;\n"}
	f.database = func(name string) (string, error) {
		there, err := a.database(ctx, name)
		now = there
		return there, err
	}
	f.extension = func(name string) (bool, error) { return a.extension(ctx, now, name) }
	f.schemas = a.schemas
	f.locale = func(name, statement string) { a.locale[name] = localeOf(statement) }
	if err := f.run(); err != nil {
		return err
	}
	return f.ended()
}

// restrictKey is a key for \restrict if psql knows that; empty: it does not.
func (a *attempt) restrictKey(ctx context.Context) (string, error) {
	cmd := a.command(ctx, "psql", "--help=commands")
	help, err := cmd.Output()
	if err != nil {
		return "", new(tail).failure("psql", err, ctx.Err())
	}
	if !strings.Contains(string(help), `\restrict`) {
		a.warn("psql is older than August 2025, and does not know \\restrict: a filter alone keeps a hostile dump from running programs by it; update it")
		return "", nil
	}
	return rand.Text(), nil
}

// archive restores what pg_restore reads, from its standard input unless the arguments say another place: what it writes as text goes
// the way of a text, so that the same is left out of it.
func (a *attempt) archive(ctx context.Context, r io.Reader, format string, more ...string) error {
	args := append([]string{format, "-C", "--no-owner", "--no-acl", "--no-tablespaces", "--no-security-labels"}, more...)
	version, err := a.clientVersion(ctx)
	if err != nil {
		return err
	}
	if version >= 12 {
		args = append([]string{"-f", "-"}, args...) // older ones would make a file of that name
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &producer{stopped: ctx.Err, cmd: a.command(ctx, "pg_restore", args...)}
	defer p.close(cancel)
	if err := p.start(r); err != nil {
		return err
	}
	return a.text(ctx, bufio.NewReaderSize(p, 1<<20))
}

var firstNumber = regexp.MustCompile(`\d+`)

// clientVersion is the major version of pg_restore.
func (a *attempt) clientVersion(ctx context.Context) (int, error) {
	said, err := a.command(ctx, "pg_restore", "--version").Output()
	if err != nil {
		return 0, new(tail).failure("pg_restore", err, ctx.Err())
	}
	n, err := strconv.Atoi(firstNumber.FindString(string(said)))
	if err != nil {
		return 0, setup(fmt.Errorf("pg_restore --version says %.40q", said))
	}
	return n, nil
}

// producer is a program whose output is read. That it failed, or its input, is told at the end of it.
type producer struct {
	cmd      *exec.Cmd
	stopped  func() error // why it was ended from outside; nil: it was not
	out      io.Reader
	in       *erring
	said     tail
	released func()
	end      error // what a reader is told at the end; nil: it has not come
}

// start starts the program; nil: it reads nothing. close must be called, also if that fails.
func (p *producer) start(in io.Reader) (err error) {
	p.cmd.Stderr = &p.said
	if in != nil {
		p.in = &erring{r: in}
		p.cmd.Stdin = p.in
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return err
	}
	if p.released, err = start(p.cmd); err != nil {
		p.released = nil
		return p.said.failure("pg_restore", err, nil)
	}
	return nil
}

// Read gives what the program writes, and at its end io.EOF, or why it failed.
func (p *producer) Read(b []byte) (int, error) {
	if p.end != nil {
		return 0, p.end
	}
	n, err := p.out.Read(b)
	if err == nil || n > 0 {
		return n, nil
	}
	p.wait()
	return 0, p.end
}

// wait waits for the program, once.
func (p *producer) wait() {
	if p.end != nil {
		return
	}
	p.end = io.EOF
	err := wait(p.cmd, "")
	switch {
	case p.in != nil && p.in.err != nil:
		p.end = p.in.err
	case err != nil:
		p.end = p.said.failure("pg_restore", err, p.stopped())
	}
}

// close ends the program if it has not ended.
func (p *producer) close(cancel func()) {
	cancel()
	if p.released != nil {
		p.wait()
		p.released()
	}
}
