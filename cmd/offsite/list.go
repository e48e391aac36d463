package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/agent/vault"
	"offsite/crypto"
)

// listed is one backup on one target, as --json prints it.
type listed struct {
	Target   string    `json:"target"`
	Host     string    `json:"host"`
	Series   string    `json:"series"`
	Taken    time.Time `json:"taken"`
	Name     string    `json:"name"`
	Object   string    `json:"object"`
	Size     int64     `json:"size"`
	Stored   int64     `json:"stored"`
	Health   string    `json:"health"`
	Reason   string    `json:"health_reason,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	SignedBy string    `json:"signed_by"`
}

func listCommand(config *string, std streams) *cobra.Command {
	var asJSON, notKept bool
	var where bare
	cmd := &cobra.Command{
		Use: "list [SERIES]", Short: "List what the targets hold", Args: usage(cobra.MaximumNArgs(1)),
		Long: `Lists the backups on the targets. --not-kept lists the other side instead: dumps of this host that a target did not get,
since its retention would have removed them at once.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if notKept {
				return listNotKept(cmd.Context(), *config, args, asJSON, std)
			}
			o, err := where.open(*config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.Close()) }()
			o.note(std.err)
			series := ""
			if len(args) > 0 {
				series = args[0]
			}
			out := newListing(asJSON, std.out)
			var failed []error
			for _, t := range o.targets {
				if err := listTarget(cmd.Context(), t, o.keys, o.host, series, out); err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", t.Name, err))
				}
			}
			if err := out.end(); err != nil {
				return err
			}
			return listOutcome(out.rows, failed, len(o.targets), series)
		},
	}
	where.flags(cmd)
	where.history(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&notKept, "not-kept", false, "list dumps that were not shipped, since retention would have removed them at once")
	return cmd
}

func listOutcome(rows int, failed []error, targets int, series string) error {
	err := errors.Join(failed...)
	switch {
	case err != nil && (len(failed) < targets || rows > 0) && !errors.Is(err, vault.ErrIntegrity):
		return fmt.Errorf("%w\n%w", errPartly, err)
	case err == nil && rows == 0 && series != "":
		return fmt.Errorf("series %q: %w on any target", series, errNotFound)
	}
	return err
}

const (
	// readAhead is how many manifests are read at once.
	readAhead = 16
	// mostWrong is how many manifests that are wrong are named: of a target without its keys each is.
	mostWrong = 100
)

// listTarget lists one target as its manifests come. What is wrong with one is part of the error; the others are listed.
func listTarget(ctx context.Context, t agent.Target, keys *crypto.Verifiers, host, series string, out *listing) error {
	v := vault.New(t, keys)
	entries := v.List(ctx, host)
	if host != "" && series != "" {
		entries = v.ListSeries(ctx, host, series)
	}
	var errs []error
	wrong := 0
	for r, err := range v.Read(ctx, inSeries(entries, series), readAhead) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		m, err := r.Manifest, r.Err
		if err == nil && r.Stored != m.Stored {
			err = fmt.Errorf("%s: %w: the data has %d bytes, the manifest says %d", r.Name, vault.ErrIntegrity, max(0, r.Stored), m.Stored)
		}
		if err != nil {
			if wrong++; wrong <= mostWrong {
				errs = append(errs, err)
			}
			continue
		}
		if err := out.add(listed{t.Name, m.Host, m.Series, m.Taken, m.Name, m.Object, m.Size, m.Stored, m.Health.State, m.Health.Reason, m.Health.Kind, r.Signer}); err != nil {
			return err
		}
	}
	if wrong > mostWrong {
		errs = append(errs, fmt.Errorf("and %d more", wrong-mostWrong))
	}
	return errors.Join(errs...)
}

// inSeries leaves out what is of another series; "": nothing.
func inSeries(entries iter.Seq2[vault.Entry, error], series string) iter.Seq2[vault.Entry, error] {
	return func(yield func(vault.Entry, error) bool) {
		for e, err := range entries {
			if (err != nil || series == "" || e.Series == series) && !yield(e, err) {
				return
			}
		}
	}
}

// harmless keeps what is said, of which a store or a file name may be a part, from drawing anything on a terminal but its lines.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// printable keeps a name that somebody chose from moving the cursor or drawing lines of its own.
func printable(s string) string {
	quoted := strconv.Quote(s)
	if quoted == `"`+s+`"` {
		return s
	}
	return quoted
}
