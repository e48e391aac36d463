package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/agent/dump"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/crypto"
)

// verified is one backup on one target, as --json prints it.
type verified struct {
	Target string    `json:"target"`
	Series string    `json:"series"`
	Taken  time.Time `json:"taken"`
	Object string    `json:"object"`
	// Result is ok, damaged, untrusted if a key has signed it that is not trusted here, missing if another target has it and this
	// one's policy would keep it, or unknown if it could not be looked at; Problem says why.
	Result  string `json:"result"`
	Problem string `json:"problem,omitempty"`
}

// verifying is what one verify is asked to do.
type verifying struct {
	*opened
	level   vault.Level
	series  string
	sample  int
	ids     []age.Identity
	now     func() time.Time
	seen    []seen // what each target holds whole
	rest    unrepaired
	damaged map[string][]string // objects, by target
	bare    map[string]bool     // objects with data whose manifest was met nowhere yet; false: it was met
}

func verifyCommand(config *string, std streams) *cobra.Command {
	var where bare
	v := verifying{now: time.Now, bare: map[string]bool{}, damaged: map[string][]string{}}
	var level, identity string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Prove that backups are there and whole", Args: usage(cobra.NoArgs),
		Long: `Looks at the backups of the targets, and for those that one target has and another should have: --level head at their
manifests, signatures and sizes; hash downloads them and compares every block with its signed SHA-256, for which no key
is needed; decrypt opens them too and compares the dump. Exit 5 if something is damaged.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			switch v.level = vault.Level(level); v.level {
			case vault.Head, vault.Hash, vault.Decrypt:
			default:
				return usageError{fmt.Errorf("--level %q: write head, hash or decrypt", level)}
			}
			if v.sample < 0 {
				return usageError{errors.New("--sample: write how many backups of each target to look at")}
			}
			if v.opened, err = where.open(*config); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.Close()) }()
			if v.level == vault.Decrypt {
				if v.ids, err = v.identities(identity); err != nil {
					return usageError{err}
				}
			}
			err = v.run(cmd.Context(), asJSON, std)
			if c, loadErr := loadToRead(*config); loadErr == nil && len(v.damaged) > 0 {
				lookAgain(cmd.Context(), c, v.damaged)
			}
			return err
		},
	}
	where.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&level, "level", "hash", "head, hash or decrypt")
	f.StringVar(&v.series, "series", "", "only this series")
	f.IntVar(&v.sample, "sample", 0, "so many of each target, drawn by chance; 0: all")
	f.StringVar(&identity, "identity", "", "file with the secret key, for decrypt; that of the kit unless set")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (v *verifying) run(ctx context.Context, asJSON bool, std streams) error {
	all := []verified{}
	var failed []error
	for _, t := range v.targets {
		some, err := v.target(ctx, t)
		all = append(all, some...)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", t.Name, err))
		}
	}
	if v.sample == 0 {
		all = append(all, v.missing()...)
	}
	if err := printVerified(all, asJSON, std); err != nil {
		return err
	}
	return v.outcome(all, failed, std)
}

// target looks at the backups of one target. An error says that not all could be looked at.
func (v *verifying) target(ctx context.Context, t agent.Target) (all []verified, err error) {
	in := vault.New(t, v.keys)
	var entries []vault.Entry
	for e, err := range in.List(ctx, v.host) {
		if err != nil {
			return nil, err
		}
		if v.series != "" && e.Series != v.series {
			continue
		}
		if e.Manifest {
			entries = append(entries, e)
			v.bare[e.Object] = false
		} else if _, met := v.bare[e.Object]; !met {
			v.bare[e.Object] = true
		}
	}
	if v.sample > 0 && v.sample < len(entries) {
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		entries = entries[:v.sample]
	}
	held := seen{target: t, series: map[string][]retention.Backup{}}
	for _, e := range entries {
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		m, problem := in.Verify(ctx, e.Name, v.level, v.ids...)
		if errors.Is(problem, fs.ErrNotExist) {
			continue // retention has removed it meanwhile
		}
		held.note(e, m)
		one := verified{Target: t.Name, Series: e.Series, Taken: e.Taken, Object: e.Object, Result: "ok"}
		switch {
		case problem == nil:
		case errors.Is(problem, vault.ErrUntrusted):
			one.Result, one.Problem = "untrusted", problem.Error()
		case errors.Is(problem, vault.ErrIntegrity) || errors.Is(problem, crypto.ErrCorrupt):
			one.Result, one.Problem = "damaged", problem.Error()
			v.damaged[t.Name] = append(v.damaged[t.Name], e.Object)
		default:
			one.Result, one.Problem = "unknown", problem.Error()
			err = problem
		}
		all = append(all, one)
	}
	v.seen = append(v.seen, held)
	return all, err
}

// seen is what a target holds, by series, as retention sees it.
type seen struct {
	target agent.Target
	series map[string][]retention.Backup
}

func (s *seen) note(e vault.Entry, m *vault.Manifest) {
	b := retention.Backup{Object: e.Object, Shape: dump.Shape(e.File), Taken: e.Taken, Stored: e.Stored}
	if m == nil {
		b.Unsound = "its manifest cannot be trusted"
	} else {
		b.Found, b.Dump = m.Found, agent.Identity(e.Name, m)
		if m.Health.State == dump.Suspect || m.Health.State == dump.Pending {
			b.Suspect = m.Health.State
		}
	}
	s.series[e.Series] = append(s.series[e.Series], b)
}

// missing are the backups that one target lacks, though another has them and its policy would keep them.
func (v *verifying) missing() (all []verified) {
	for _, here := range v.seen {
		elsewhere := map[string][]retention.Backup{}
		for _, there := range v.seen {
			if there.target.Name != here.target.Name {
				for series, backups := range there.series {
					elsewhere[series] = append(elsewhere[series], backups...)
				}
			}
		}
		for _, series := range slices.Sorted(maps.Keys(elsewhere)) {
			if here.target.Policy == nil || here.target.Retention == agent.Off {
				continue // nobody here knows what it should have
			}
			lacking, coming := retention.Lacking(v.now(), here.target.Policy(series), here.series[series], elsewhere[series])
			v.rest.coming += len(coming)
			for _, b := range lacking {
				all = append(all, verified{here.target.Name, series, b.Taken, b.Object, "missing", "another target has it, and this one's policy would keep it"})
			}
		}
	}
	return all
}

func printVerified(all []verified, asJSON bool, std streams) error {
	if asJSON {
		return writeJSON(std.out, all)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tSERIES\tTAKEN\tFILE\tRESULT")
	for _, o := range all {
		result := o.Result
		if o.Problem != "" {
			result += ": " + printable(o.Problem)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", o.Target, printable(o.Series), o.Taken.Format(time.RFC3339), fileName(o.Object), result)
	}
	return w.Flush()
}

// sayRest says what was not looked at, and what is no backup.
func (v *verifying) sayRest(std streams) {
	for _, bare := range v.bare {
		if bare {
			v.rest.bare++
		}
	}
	v.rest.say(std)
	if v.sample > 0 {
		fmt.Fprintln(std.err, "a sample: what targets lack was not looked for")
	}
}

// outcome sums up for people, and is the error that it deserves.
func (v *verifying) outcome(all []verified, failed []error, std streams) error {
	count := map[string]int{}
	for _, o := range all {
		count[o.Result]++
	}
	fmt.Fprintf(std.err, "%d ok, %d damaged, %d missing, %d could not be looked at (level %s)\n", count["ok"], count["damaged"], count["missing"], count["unknown"], v.level)
	v.sayRest(std)
	switch err := errors.Join(failed...); {
	case count["untrusted"] > 0:
		return errors.Join(fmt.Errorf("%w: %d backups are signed by a key that is not trusted here: if it is this host's former key, put its verifier key under trust; %d are damaged, %d missing", vault.ErrIntegrity, count["untrusted"], count["damaged"], count["missing"]), err)
	case count["damaged"]+count["missing"] > 0:
		return errors.Join(fmt.Errorf("%w: %d backups are damaged, %d missing; `offsite repair` mends what another target, or this host, still has", vault.ErrIntegrity, count["damaged"], count["missing"]), err)
	case err != nil && len(failed) < len(v.targets):
		return fmt.Errorf("%w\n%w", errUnverified, err)
	case err != nil:
		return err
	case len(all) == 0:
		return fmt.Errorf("there is nothing to verify (%w); `offsite list` shows what there is", errNotFound)
	}
	return nil
}
