package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// client runs the programs of PostgreSQL, on this machine or in a container. How to reach the server, the password too, is in the
// environment, which no other user sees; arguments everybody does.
type client struct {
	env       []string // libpq's variables
	container string
	mark      []string // for the environment, too
}

// variables are those of libpq for the parameters that a DSN may have (PostgreSQL manual, "Environment Variables").
var variables = map[string]string{
	"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD", "passfile": "PGPASSFILE",
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "connect_timeout": "PGCONNECT_TIMEOUT",
	"options": "PGOPTIONS", "channel_binding": "PGCHANNELBINDING", "gssencmode": "PGGSSENCMODE",
}

// CheckDSN says what is wrong with a DSN; nil: nothing. An error never shows the password.
func CheckDSN(dsn string) error {
	_, err := environment(dsn)
	return err
}

// environment is what a DSN means for the programs.
func environment(dsn string) (env []string, err error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("should be an address such as postgres://drill@db-server:5432/postgres, or postgres:///postgres?host=/var/run/postgresql")
	}
	set := map[string]string{"PGDATABASE": "postgres", "PGAPPNAME": "offsite drill", "PGCONNECT_TIMEOUT": "20"}
	for name, value := range map[string]string{
		"PGHOST": u.Hostname(), "PGPORT": u.Port(), "PGUSER": u.User.Username(), "PGDATABASE": strings.TrimPrefix(u.Path, "/"),
	} {
		if value != "" {
			set[name] = value
		}
	}
	if password, has := u.User.Password(); has {
		set["PGPASSWORD"] = password
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("what follows its question mark is not name=value&name=value")
	}
	for name, values := range query {
		variable, known := variables[name]
		if !known {
			return nil, fmt.Errorf("the parameter %q is not known here", name)
		}
		set[variable] = values[len(values)-1]
	}
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// killed is how long a program gets to end once it was killed, and its output to come.
const killed = 10 * time.Second

// command is a program with its environment, not started yet. Arguments hold no secret.
func (c *client) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if c.container != "" {
		inside := []string{"exec", "-i"}
		for _, v := range c.env {
			name, _, _ := strings.Cut(v, "=")
			inside = append(inside, "-e", name) // docker takes the value from its own environment
		}
		program, args = "docker", append(append(inside, c.container, program), args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") }), append(c.env, c.mark...)...)
	group(cmd)
	return cmd
}

// query runs SQL in a database and gives what it prints.
func (c *client) query(ctx context.Context, database, sql string) (string, error) {
	cmd := c.command(ctx, "psql", "-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", database)
	var out bytes.Buffer
	var said tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(sql), &out, &said
	if err := run(cmd, ""); err != nil {
		return "", said.failure("psql", err, ctx.Err())
	}
	return strings.TrimRight(out.String(), "\r\n"), nil
}

// kept is how much of what a program prints is kept: its end.
const kept = 64 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write never fails. It may be called concurrently.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*kept {
		t.b = append(t.b[:0], t.b[len(t.b)-kept:]...)
	}
	return len(p), nil
}

// String is what was kept, as valid UTF-8.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.b[max(0, len(t.b)-kept):]), "�")
}

// failure is why a program failed: in its own last words, if it had any.
func (t *tail) failure(program string, err, ended error) error {
	if ended != nil {
		return ended
	}
	const last = 3
	lines := strings.Split(strings.TrimSpace(t.String()), "\n")
	words := strings.Join(lines[max(0, len(lines)-last):], "; ")
	if errors.Is(err, exec.ErrNotFound) {
		return setup(fmt.Errorf("%s is not installed here: %w", program, err))
	}
	said := fmt.Errorf("%s: %s", program, words)
	if words == "" {
		said = fmt.Errorf("%s: %w", program, err)
	}
	var exit *exec.ExitError
	if program == "psql" && errors.As(err, &exit) && exit.ExitCode() == connectionLost || noContainer.MatchString(words) {
		return setup(said)
	}
	return said
}

// connectionLost is psql's exit status for a server that cannot be reached, or no longer.
const connectionLost = 2

// noContainer is what Docker says.
var noContainer = regexp.MustCompile(`No such container|is not running|Cannot connect to the Docker daemon`)
