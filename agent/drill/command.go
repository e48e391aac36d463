package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Command hands the dump, as it was on the host, to a program.
type Command struct {
	// Argv is the program and its arguments.
	Argv []string
	// TimeLimit is how long it may take; 0: six hours.
	TimeLimit time.Duration
	// State is the agent's state directory: what the program has left running is known by it. Empty: what leaves the program's process
	// group lives on.
	State string
	Now   func() time.Time
}

// Run gives the dump to the program's standard input, and what is known of it in its environment: OFFSITE_SERIES, OFFSITE_NAME,
// OFFSITE_OBJECT, OFFSITE_KIND, OFFSITE_TAKEN (RFC 3339) and OFFSITE_SIZE (bytes). Exit status 0 is success, whether it has read all or
// not; but then the rest is read here, since a backup that cannot be read to its end is none. What it prints is kept, and it
// is killed with all that it started when its time is over; what it has left running when it ends is killed, too.
func (c *Command) Run(ctx context.Context, d Dump, r io.Reader) Result {
	result := Result{Began: c.Now().UTC()}
	err := c.run(ctx, d, r, &result)
	result.Took = c.Now().Sub(result.Began)
	result.fail(err)
	return result
}

func (c *Command) run(ctx context.Context, d Dump, r io.Reader, result *Result) error {
	limit := c.TimeLimit
	if limit == 0 {
		limit = defaultLimit
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	counted := &counting{r: unreadable{r, "the backup cannot be read"}}
	src := &erring{r: counted}
	cmd := exec.CommandContext(limited, c.Argv[0], c.Argv[1:]...)
	group(cmd)
	cmd.Env = append(append(os.Environ(), markOf(c.State)...),
		"OFFSITE_SERIES="+d.Series, "OFFSITE_NAME="+d.Name, "OFFSITE_OBJECT="+d.Object, "OFFSITE_KIND="+string(d.Kind),
		"OFFSITE_TAKEN="+d.Taken.UTC().Format(time.RFC3339), "OFFSITE_SIZE="+strconv.FormatInt(d.Size, 10))
	var said tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = src, &said, &said
	err := run(cmd, c.State)
	result.Output = said.String()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("%s took longer than %s, its time limit", c.Argv[0], limit)
	case src.err != nil:
		return src.err
	case err != nil:
		return errors.Join(said.failure(c.Argv[0], err, nil), err)
	}
	_, err = io.Copy(io.Discard, src)
	result.Bytes = counted.n
	return err
}
