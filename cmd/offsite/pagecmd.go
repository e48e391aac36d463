package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"offsite/cmd/offsite/page"
)

func pageCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "page", Short: "What the page in a browser needs", Args: usage(cobra.NoArgs),
		Long: `The agent serves a page that shows how the backups are, where listen in the configuration says so. It is read-only. On a unix socket or a
loopback address, which ssh -L leads to, whoever gets there may look; on any other address a token is asked for.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use: "token", Short: "Make a token for the page", Args: usage(cobra.NoArgs),
		Long: `Prints a fresh token, with which one logs in, and on standard error the line with its hash for the configuration. Nothing is changed or kept.`,
		RunE: func(*cobra.Command, []string) error {
			token, hash := page.NewToken()
			fmt.Fprintf(std.err, "The token comes once; keep it in a password manager. Below its address under listen, the configuration gets its hash:\n    token_hash: %s\n", hash)
			_, err := fmt.Fprintln(std.out, token)
			return err
		},
	})
	return cmd
}
