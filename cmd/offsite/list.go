package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
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
			series := ""
			if len(args) > 0 {
				series = args[0]
			}
			all := []listed{}
			var failed []error
			for _, t := range o.targets {
				found, err := listTarget(cmd.Context(), t, o.keys, o.host, series)
				all = append(all, found...)
				if err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", t.Name, err))
				}
			}
			if err := printList(all, asJSON, std); err != nil {
				return err
			}
			return listOutcome(all, failed, len(o.targets), series)
		},
	}
	where.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&notKept, "not-kept", false, "list dumps that were not shipped, since retention would have removed them at once")
	return cmd
}

func listOutcome(all []listed, failed []error, targets int, series string) error {
	err := errors.Join(failed...)
	switch {
	case err != nil && (len(failed) < targets || len(all) > 0) && !errors.Is(err, vault.ErrIntegrity):
		return fmt.Errorf("%w\n%w", errPartly, err)
	case err == nil && len(all) == 0 && series != "":
		return fmt.Errorf("series %q: %w on any target", series, errNotFound)
	}
	return err
}

// listTarget reads the manifests of one target. What is wrong with one is part of the error; the others are listed.
func listTarget(ctx context.Context, t agent.Target, keys *crypto.Verifiers, host, series string) (all []listed, err error) {
	v := vault.New(t, keys)
	var errs []error
	for e, err := range v.List(ctx, host) {
		if err != nil {
			return all, errors.Join(append(errs, err)...)
		}
		if !e.Manifest || series != "" && e.Series != series {
			continue
		}
		m, signer, err := v.Manifest(ctx, e.Name)
		if err == nil && e.Stored != m.Stored {
			err = fmt.Errorf("%s: %w: the data has %d bytes, the manifest says %d", e.Name, vault.ErrIntegrity, max(0, e.Stored), m.Stored)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, listed{t.Name, m.Host, m.Series, m.Taken, m.Name, m.Object, m.Size, m.Stored, m.Health.State, m.Health.Reason, m.Health.Kind, signer})
	}
	return all, errors.Join(errs...)
}

func printList(all []listed, asJSON bool, std streams) error {
	if asJSON {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tSERIES\tTAKEN\tSIZE\tHEALTH\tFILE")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Target, printable(l.Series), l.Taken.Format(time.RFC3339), humanize.IBytes(uint64(l.Size)), l.Health, printable(l.Name))
	}
	return w.Flush()
}

// printable keeps a name that somebody chose from moving the cursor or drawing lines of its own.
func printable(s string) string {
	quoted := strconv.Quote(s)
	if quoted == `"`+s+`"` {
		return s
	}
	return quoted
}
