package drill

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"offsite/agent/dump"
)

// Postgres restores into a scratch database of a PostgreSQL server. The role should be one that may create databases, and nothing
// else: a dump is a program that runs with its rights.
type Postgres struct {
	// DSN is how to reach the server, as postgres://user@host/database; the database is one that is there already.
	DSN string
	// Container, if set, is the Docker container in which psql and pg_restore are run.
	Container string
	// Checks are asked when the dump is restored; without any, that there is a table is enough.
	Checks []Check
	// Last are the values of the last drill that passed, by the SQL of the check.
	Last map[string]string
	// TimeLimit is how long it may take in all; 0: six hours.
	TimeLimit time.Duration
	// Owner tells drills of this host from those of others on the same server; two of one owner must not overlap.
	Owner string
	// State is a directory that remembers what is being made, in case the process is killed.
	State string
	Now   func() time.Time
}

const defaultLimit = 6 * time.Hour

func (p *Postgres) limit() time.Duration {
	if p.TimeLimit > 0 {
		return p.TimeLimit
	}
	return defaultLimit
}

// attempt is one Run.
type attempt struct {
	*Postgres
	*client
	dump    Dump
	result  *Result
	scratch map[string]string // scratch databases by the names of the dump's; "" is the first
	made    []string
}

// Run restores the dump that r gives, asks the checks, and drops what it has made, whatever comes. ctx ends it early.
func (p *Postgres) Run(ctx context.Context, d Dump, r io.Reader) Result {
	result := Result{Began: p.Now().UTC()}
	env, err := environment(p.DSN)
	if err != nil {
		result.Reason = "the DSN " + err.Error()
		return result
	}
	a := &attempt{Postgres: p, client: &client{env, p.Container}, dump: d, result: &result, scratch: map[string]string{}}
	limited, cancel := context.WithTimeout(ctx, p.limit())
	defer cancel()
	err = a.run(limited, r)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("it took longer than %s, its time limit", p.limit())
	}
	err = errors.Join(err, a.dropAll(ctx))
	result.Took = p.Now().Sub(result.Began)
	if err != nil {
		result.Reason = err.Error()
	}
	return result
}

func (a *attempt) run(ctx context.Context, r io.Reader) error {
	swept, err := a.sweep(ctx, a.client)
	if err != nil {
		return err
	}
	if len(swept) > 0 {
		a.warn("dropped what an interrupted drill had left: %s", strings.Join(swept, ", "))
	}
	if super, err := a.query(ctx, a.maintenance(a.client), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user;"); err != nil {
		return err
	} else if super == "t" {
		a.warn("the role of the drill is a superuser: whatever a dump says runs with its rights; one with CREATEDB is enough")
	}
	if _, err := a.database(ctx, ""); err != nil {
		return err
	}
	plain, unpacker, err := dump.Unpack(unreadable{r, "the backup cannot be read"})
	if err != nil {
		return unpacking(err)
	}
	defer unpacker.Close()
	counted := &counting{r: plain}
	err = a.restore(ctx, bufio.NewReaderSize(unreadable{counted, "the dump cannot be unpacked"}, 1<<20))
	a.result.Bytes = counted.n
	if err != nil {
		return err
	}
	return a.check(ctx)
}

func (a *attempt) warn(format string, args ...any) {
	a.result.Warnings = append(a.result.Warnings, fmt.Sprintf(format, args...))
}

// database is the scratch database for one that the dump names. A dump of one database has one, whatever it is called.
func (a *attempt) database(ctx context.Context, name string) (string, error) {
	if a.dump.Kind != dump.PostgresCluster {
		name = ""
	}
	if there, ok := a.scratch[name]; ok {
		return there, nil
	}
	made, err := a.create(ctx, a.client)
	if made != "" {
		a.made = append(a.made, made)
	}
	if err == nil {
		a.scratch[name] = made
	}
	return made, err
}

// dropAll drops what was made, though ctx may have ended.
func (a *attempt) dropAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var failed []error
	for _, name := range a.made {
		failed = append(failed, a.drop(ctx, a.client, name))
	}
	return errors.Join(failed...)
}

// restore feeds the dump to the program that understands it.
func (a *attempt) restore(ctx context.Context, r *bufio.Reader) error {
	switch a.dump.Kind {
	case dump.PostgresPlain, dump.PostgresCluster:
		return a.text(ctx, r)
	case dump.PostgresCustom:
		return a.archive(ctx, r, "-Fc")
	case dump.PostgresTar:
		return a.tar(ctx, r)
	case "":
		return errors.New("nobody knows what this dump is, so it cannot be restored into PostgreSQL: a drill with command: can do it")
	}
	return fmt.Errorf("this dump is of the kind %q, which PostgreSQL cannot restore: a drill with command: can do it", a.dump.Kind)
}

// text restores what psql reads.
func (a *attempt) text(ctx context.Context, r *bufio.Reader) error {
	args := []string{"-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", a.scratch[""]}
	if a.dump.Kind == dump.PostgresPlain {
		args = append(args, "--single-transaction")
	}
	key, err := a.restrictKey(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := a.command(ctx, "psql", args...)
	var said tail
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return said.failure("psql", err, nil)
	}
	f := &filter{in: r, out: in, key: key, database: func(name string) (string, error) { return a.database(ctx, name) }}
	filterErr := f.run()
	if filterErr == nil {
		filterErr = f.ended()
	}
	if filterErr != nil && !errors.Is(filterErr, syscall.EPIPE) {
		cancel() // nothing of it is to be committed
	}
	in.Close()
	err = cmd.Wait()
	switch {
	case filterErr != nil && !errors.Is(filterErr, syscall.EPIPE):
		return filterErr
	case err != nil:
		return said.failure("psql", err, ctx.Err())
	}
	return filterErr
}

// restrictKey is a key for \restrict if psql knows that; empty: it does not.
func (a *attempt) restrictKey(ctx context.Context) (string, error) {
	help, err := a.command(ctx, "psql", "--help=commands").Output()
	if err != nil {
		return "", new(tail).failure("psql", err, ctx.Err())
	}
	if !strings.Contains(string(help), `\restrict`) {
		return "", nil
	}
	return rand.Text(), nil
}

// archive restores what pg_restore reads from its standard input.
func (a *attempt) archive(ctx context.Context, r io.Reader, format string, more ...string) error {
	args := append([]string{format, "-w", "--exit-on-error", "--no-owner", "--no-acl", "--no-tablespaces", "--no-publications", "--no-subscriptions", "--no-security-labels", "-d", a.scratch[""]}, more...)
	cmd := a.command(ctx, "pg_restore", args...)
	var said tail
	src := &erring{r: r}
	cmd.Stdin, cmd.Stderr = src, &said
	if r == nil {
		cmd.Stdin = nil
	}
	err := cmd.Run()
	switch {
	case src.err != nil:
		return src.err
	case err != nil:
		return said.failure("pg_restore", err, ctx.Err())
	}
	return nil
}

// facts counts tables and their rows, exactly.
const facts = `SELECT count(*) || ' ' || coalesce(sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', table_schema, table_name), false, true, '')))[1]::text::bigint), 0)
FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema');`

// check counts what is there, and asks the checks.
func (a *attempt) check(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Values(a.scratch)) {
		said, err := a.query(ctx, name, facts)
		if err != nil {
			return fmt.Errorf("the restored tables cannot be read: %w", err)
		}
		tables, rows, _ := strings.Cut(said, " ")
		t, err1 := strconv.ParseInt(tables, 10, 64)
		n, err2 := strconv.ParseInt(rows, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		a.result.Tables, a.result.Rows = a.result.Tables+t, a.result.Rows+n
	}
	if a.result.Tables == 0 {
		return errors.New("the restore went through, and there is no table")
	}
	var failed []error
	for _, c := range a.Checks {
		failed = append(failed, a.ask(ctx, c))
	}
	return errors.Join(failed...)
}

func (a *attempt) ask(ctx context.Context, c Check) error {
	database, known := a.scratch[c.Database]
	if !known && c.Database != "" && a.dump.Kind != dump.PostgresCluster {
		database, known = a.scratch[""], true
	}
	checked := Checked{SQL: c.SQL, Expect: c.Expect.String()}
	defer func() { a.result.Checks = append(a.result.Checks, checked) }()
	if !known {
		return fmt.Errorf("check %q: the dump has no database %s", c.SQL, c.Database)
	}
	got, err := a.query(ctx, database, c.SQL)
	if err != nil {
		return fmt.Errorf("check %q: %w", c.SQL, err)
	}
	checked.Got, checked.OK = got, c.Expect.Holds(got, a.Last[c.SQL])
	if checked.OK {
		return nil
	}
	last := ""
	if c.Expect.ofLast {
		last = ", which was " + a.Last[c.SQL]
	}
	return fmt.Errorf("check %q gives %q, expected is %s%s", c.SQL, got, c.Expect, last)
}

// counting counts what passes.
type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// unreadable says what an error of a reader means, unless one below it has.
type unreadable struct {
	io.Reader
	what string
}

func (u unreadable) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*readError)) {
		err = &readError{fmt.Errorf("%s: %w", u.what, err)}
	}
	return n, err
}

type readError struct{ error }

func (r *readError) Unwrap() error { return r.error }

func unpacking(err error) error {
	if errors.As(err, new(*readError)) {
		return err
	}
	return fmt.Errorf("the dump cannot be unpacked: %w", err)
}

// erring remembers why a reader failed: to the program that reads it, that looks like the end.
type erring struct {
	r   io.Reader
	err error
}

func (e *erring) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}
