package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"offsite/crypto"
)

func keygenCommand(std streams) *cobra.Command {
	var pq bool
	cmd := &cobra.Command{
		Use: "keygen", Short: "Make an age key pair", Args: usage(cobra.NoArgs),
		Long: "Prints an age identity file: keep it off the host that makes the dumps. Its public key is a recipient for the configuration.",
		RunE: func(*cobra.Command, []string) error {
			secret, public, err := crypto.GenerateIdentity(pq)
			if err != nil {
				return err
			}
			fmt.Fprintf(std.err, "public key: %s\n", public)
			_, err = fmt.Fprintf(std.out, "# public key: %s\n%s\n", public, secret)
			return err
		},
	}
	cmd.Flags().BoolVar(&pq, "pq", false, "hybrid post-quantum; opening needs age 1.3 or later")
	return cmd
}
