package drill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"offsite/agent/dump"
)

// Postgres restores into a scratch database of a PostgreSQL server. The role should be one that may create databases, and nothing
// else: role.go says what is done with others.
type Postgres struct {
	// DSN is how to reach the server, as postgres://user@host/database; the database is one that is there already.
	DSN string
	// Container, if set, is the Docker container in which psql and pg_restore are run.
	Container string
	// Checks are asked when the dump is restored; without any, that there is a table is enough.
	Checks []Check
	// Last are the values of the last drill that passed.
	Last map[Asked]string
	// TimeLimit is how long it may take in all; 0: six hours.
	TimeLimit time.Duration
	// Owner tells drills of this host from those of others on the same server; two of one owner must not overlap.
	Owner string
	// State is a directory that remembers what is being made, in case the process is killed.
	State string
	Now   func() time.Time
}

// defaultLimit is how long a drill may take unless its TimeLimit says otherwise.
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
	*client         // by the role of the DSN
	inside  *client // by the role that restores
	role    string  // a scratch role, if one was made
	before  *string // the settings of the role of the DSN, if that restores
	super   bool    // the role of the DSN is a superuser
	dump    Dump
	result  *Result
	scratch map[string]string // scratch databases by the names of the dump's; "" is the first
	locale  map[string]string // of the dump's databases, as far as it was said
	made    []string
	left    map[string]int  // what was left out, and how often
	ready   map[string]bool // extensions that are there already
	schemas map[string]bool // and the schemas that were made for them
}

// Run restores the dump that r gives, asks the checks, and drops what it has made, whatever comes. ctx ends it early.
func (p *Postgres) Run(ctx context.Context, d Dump, r io.Reader) Result {
	result := Result{Began: p.Now().UTC()}
	env, err := environment(p.DSN)
	if err != nil {
		result.fail(setup(fmt.Errorf("the DSN %w", err)))
		return result
	}
	a := &attempt{
		Postgres: p, client: &client{env, p.Container, markOf(p.State)}, dump: d, result: &result, scratch: map[string]string{},
		locale: map[string]string{}, left: map[string]int{}, ready: map[string]bool{}, schemas: map[string]bool{},
	}
	limited, cancel := context.WithTimeout(ctx, p.limit())
	defer cancel()
	err = a.run(limited, r)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("it took longer than %s, its time limit", p.limit())
	}
	if lacks := lacking(a.left); lacks != "" {
		a.warn("left out, since the role that restores may not make them, or what they need is not there: %s", lacks)
		if err != nil {
			err = fmt.Errorf("%w (left out was: %s; what needs them fails)", err, lacks)
		}
	}
	err = errors.Join(err, a.mendSettings(ctx), a.dropAll(ctx))
	result.Took = p.Now().Sub(result.Began)
	result.fail(err)
	return result
}

func (a *attempt) run(ctx context.Context, r io.Reader) error {
	swept, err := a.sweep(ctx, a.client)
	if err != nil {
		return setup(err)
	}
	if len(swept) > 0 {
		a.warn("dropped what an interrupted drill had left: %s", strings.Join(swept, ", "))
	}
	if err := a.harness(ctx); err != nil {
		return setup(err)
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
	made, err := a.create(ctx, a.locale[name])
	if made != "" {
		a.made = append(a.made, made)
	}
	if err != nil {
		return "", setup(err)
	}
	a.scratch[name] = made
	return made, nil
}

// dropAll drops what was made, though ctx may have ended.
func (a *attempt) dropAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var failed []error
	for _, name := range a.made {
		failed = append(failed, a.drop(ctx, a.client, name))
	}
	if a.role != "" {
		failed = append(failed, a.dropRole(ctx, a.client, a.role))
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

// counting counts what passes.
type counting struct {
	r io.Reader
	n int64
}

// Read counts what it gives.
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

// Read marks errors, but for io.EOF.
func (u unreadable) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*readError)) {
		err = &readError{fmt.Errorf("%s: %w", u.what, err)}
	}
	return n, err
}

// readError is one of reading the backup, or of unpacking it: its words say which.
type readError struct{ error }

// Unwrap gives what the reader said.
func (r *readError) Unwrap() error { return r.error }

// unpacking says that an error is one of unpacking, unless it says what it is.
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

// Read remembers errors, but for io.EOF.
func (e *erring) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}
