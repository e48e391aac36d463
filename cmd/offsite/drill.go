package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"offsite/agent/drill"
	"offsite/agent/dump"
	"offsite/agent/vault"
	"offsite/configs"
	"offsite/providers"
)

// drilled is one drill of one series, as --json prints it.
type drilled struct {
	Drill string `json:"drill"`
	drill.Record
}

// drilling is one run of the command.
type drilling struct {
	config   *configs.Config
	opened   *opened
	book     *drill.Book
	identity string
	target   string
	due      bool
	now      func() time.Time
	std      streams
	all      []drilled
}

func drillCommand(config *string, std streams) *cobra.Command {
	d := drilling{now: time.Now, std: std}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "drill [NAME...]", Short: "Prove backups by restoring them into a scratch place", Args: cobra.ArbitraryArgs,
		Long: `Runs the drills of the configuration, or those that are named: fetches the newest healthy backup of each of its series, each
time from another target, opens it, restores it into a scratch database or hands it to a program, asks the checks, and throws it
away. --due runs those whose time has come; a timer or cron calls that once a day. Exit 1 if one fails.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if d.config, err = loadToRead(*config); err != nil {
				return err
			}
			wanted, err := d.named(args)
			if err != nil || len(wanted) == 0 {
				return err
			}
			if d.opened, err = new(bare).open(*config); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.opened.Close()) }()
			if d.target != "" && len(d.from(d.target).targets) == 0 {
				return fmt.Errorf("target %q: %w in the configuration", d.target, errNotFound)
			}
			if d.book, err = drill.OpenBook(d.config.State); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.book.Close()) }()
			if len(d.book.Swept) > 0 {
				fmt.Fprintf(d.std.err, "removed what an interrupted drill had left: %s\n", printable(strings.Join(d.book.Swept, ", ")))
			}
			return d.run(cmd.Context(), wanted, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&d.due, "due", false, "only what is due again, as its every says")
	f.StringVar(&d.identity, "identity", "", "file with the secret key; that of the drill unless set")
	f.StringVar(&d.target, "target", "", "restore from this target")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// named are the drills of those names, or all.
func (d *drilling) named(names []string) (wanted []configs.Drill, err error) {
	for _, c := range d.config.Drills {
		if (len(names) == 0 || slices.Contains(names, c.Name)) && (!d.due || !c.Every.Never()) {
			wanted = append(wanted, c)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(d.config.Drills, func(c configs.Drill) bool { return c.Name == name }) {
			return nil, usageError{fmt.Errorf("drill %q: there is none of that name under drills: in the configuration", name)}
		}
	}
	if len(d.config.Drills) == 0 && d.due {
		fmt.Fprintln(d.std.err, "no drill is due: the configuration has none") // a timer asks that every day
		return nil, nil
	}
	if len(d.config.Drills) == 0 {
		return nil, usageError{errors.New("the configuration has no drills:; example.yaml shows how to write one")}
	}
	return wanted, nil
}

func (d *drilling) run(ctx context.Context, wanted []configs.Drill, asJSON bool) error {
	zone, err := time.LoadLocation(d.config.Zone)
	if err != nil {
		return err
	}
	failed, undone := 0, []error{}
	for _, c := range wanted {
		if ctx.Err() != nil {
			break
		}
		series, err := d.series(ctx, c)
		if err != nil {
			undone = append(undone, fmt.Errorf("drill %s: %w", c.Name, err))
			continue
		}
		for _, s := range series {
			if d.due && !drill.Due(d.book.Records(c.Name, s), c.Every, d.now().In(zone)) {
				continue
			}
			r := d.one(ctx, c, s)
			if ctx.Err() != nil {
				break // what a person has ended says nothing of the backup
			}
			if !r.Passed() {
				failed++
			}
			d.all = append(d.all, drilled{c.Name, r})
			if err := d.book.Add(c.Name, r); err != nil {
				return err
			}
		}
	}
	if err := d.print(asJSON); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed > 0:
		return errors.Join(append(undone, fmt.Errorf("%d of %d drills have failed", failed, len(d.all)))...)
	case len(undone) > 0:
		return errors.Join(undone...)
	case len(d.all) == 0:
		fmt.Fprintln(d.std.err, "no drill is due")
	}
	return nil
}

// series are those of the targets that the drill's pattern fits.
func (d *drilling) series(ctx context.Context, c configs.Drill) (names []string, err error) {
	var failed []error
	for _, t := range d.opened.targets {
		for e, err := range vault.New(t, d.opened.keys).List(ctx, d.config.Host) {
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", t.Name, err))
				break
			}
			if e.Manifest && c.Covers(e.Series) && !slices.Contains(names, e.Series) {
				names = append(names, e.Series)
			}
		}
	}
	if len(names) == 0 && len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("series %q: %w on any target", c.Series, errNotFound)
	}
	slices.Sort(names)
	return names, nil
}

// one restores the newest healthy backup of a series.
func (d *drilling) one(ctx context.Context, c configs.Drill, series string) drill.Record {
	records := d.book.Records(c.Name, series)
	record := drill.Record{Series: series, Target: d.next(c, records), Result: drill.Result{Began: d.now().UTC()}}
	fail := func(err error) drill.Record {
		record.Reason, record.Took = err.Error(), d.now().Sub(record.Began)
		return record
	}
	unready := func(err error) drill.Record {
		record.Setup = true
		return fail(err)
	}
	ids, err := d.identities(c)
	if err != nil {
		return unready(err)
	}
	r := &restoring{opened: d.from(record.Target), what: series, ids: ids, progress: newProgress(d.std.err), talk: d.std.err, now: d.now}
	b, err := r.choose(ctx)
	if err != nil && !errors.Is(err, vault.ErrIntegrity) {
		return unready(err)
	}
	if err != nil {
		return fail(err)
	}
	record.Object, record.Name, record.Taken = b.Object, b.m.Name, b.m.Taken
	if b.m.Health.State == dump.Suspect {
		return fail(fmt.Errorf("there is no healthy backup; the newest, %s, is suspect: %s", b.m.Name, b.m.Health.Reason))
	}
	place, err := d.place(c, records)
	if err != nil {
		return unready(err)
	}
	plain, pipe := io.Pipe()
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		copies := vault.Copies{Vaults: []*vault.Vault{vault.New(r.targets[0], r.keys)}, Names: []string{record.Target}}
		pipe.CloseWithError(r.plain(ctx, copies, b.m, pipe))
	}()
	record.Result = place(ctx, drill.Dump{Series: series, Name: b.m.Name, Object: b.Object, Taken: b.m.Taken, Size: b.m.Size, Kind: dump.Kind(b.m.Health.Kind)}, plain)
	plain.Close()
	<-fetched
	r.progress.wait()
	return record
}

// next is the target to restore from: that of the flag or the configuration, or the one after the last.
func (d *drilling) next(c configs.Drill, records []drill.Record) string {
	switch {
	case d.target != "":
		return d.target
	case c.Target != "":
		return c.Target
	}
	targets := d.opened.targets
	if len(records) > 0 {
		for i, t := range targets {
			if t.Name == records[len(records)-1].Target {
				return targets[(i+1)%len(targets)].Name
			}
		}
	}
	return targets[0].Name
}

// from is what is open, with that target alone.
func (d *drilling) from(target string) *opened {
	o := *d.opened
	o.targets = nil
	for _, t := range d.opened.targets {
		if t.Name == target {
			o.targets = append(o.targets, t)
		}
	}
	return &o
}

func (d *drilling) identities(c configs.Drill) ([]age.Identity, error) {
	file := d.identity
	if file == "" {
		file = c.IdentityFile
	}
	if file == "" {
		return nil, fmt.Errorf("a secret key is needed to open the backup: write identity_file in the drill, or use --identity")
	}
	return loadIdentities(file)
}

// place is where the dump is restored to.
func (d *drilling) place(c configs.Drill, records []drill.Record) (func(context.Context, drill.Dump, io.Reader) drill.Result, error) {
	if c.Postgres == nil {
		return (&drill.Command{Argv: c.Command, TimeLimit: c.TimeLimit, State: d.config.State, Now: d.now}).Run, nil
	}
	dsn, err := providers.ReadSecret(c.Postgres.DSN, c.Postgres.DSNFile)
	if err != nil {
		return nil, err
	}
	p := &drill.Postgres{
		DSN: dsn.Reveal(), Container: c.Postgres.Container, TimeLimit: c.TimeLimit, Last: drill.Values(records),
		Owner: d.config.Host, State: d.config.State, Now: d.now,
	}
	for _, check := range c.Postgres.Checks {
		var expect drill.Expect
		if check.Expect != "" {
			if expect, err = drill.ParseExpect(check.Expect); err != nil {
				return nil, err
			}
		}
		p.Checks = append(p.Checks, drill.Check{SQL: check.SQL, Expect: expect, Database: check.Database})
	}
	return p.Run, nil
}

func (d *drilling) print(asJSON bool) error {
	if asJSON {
		return writeJSON(d.std.out, append([]drilled{}, d.all...))
	}
	if len(d.all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(d.std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DRILL\tSERIES\tTARGET\tFILE\tTOOK\tRESTORED\tROWS\tRESULT")
	for _, r := range d.all {
		result := "passed"
		if !r.Passed() {
			result = "FAILED: " + printable(r.Reason)
		}
		if r.Setup {
			result = "NOT RUN: " + printable(r.Reason)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", r.Drill, printable(r.Series), r.Target, printable(r.Name), r.Took.Round(10*time.Millisecond), humanize.IBytes(uint64(r.Bytes)), r.Rows, result)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range d.all {
		for _, warning := range r.Warnings {
			fmt.Fprintf(d.std.err, "%s: warning: %s\n", r.Drill, printable(warning))
		}
		for _, c := range r.Checks {
			fmt.Fprintf(d.std.err, "%s: %s gives %s\n", r.Drill, printable(c.SQL), printable(c.Got))
		}
	}
	return nil
}
