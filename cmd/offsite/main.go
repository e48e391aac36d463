// Command offsite ships finished database dumps to places off this host, encrypted, and brings them back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"offsite/configs"
)

// version is set by the build.
var version = "devel"

func main() {
	if err := conceal(); err != nil {
		fmt.Fprintf(os.Stderr, "offsite: memory is not kept from core dumps: %v\n", err)
	}
	// A reader that goes away, as head does, is an error like another: what a command began is removed all the same.
	// (Not signal.Ignore, which programs that are started inherit.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// SIGHUP, too, ends a command; the service takes it for itself, see hangups.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// streams are a command's input and output: data goes to out, talk to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run runs one command and gives its exit code.
func run(ctx context.Context, args []string, std streams) int {
	root := &cobra.Command{
		Use:   "offsite",
		Short: "Ships finished database dumps off this host, encrypted with age, and brings them back",
		Long: `offsite watches directories into which cron jobs write database dumps, encrypts each finished dump with age, and
ships it to every target. A backup is a plain age file: age and any client of the store restore it without offsite.

Exit status: 0 done, 1 failed, 2 usage or configuration, 3 partly (some target failed), 4 not found, 5 integrity
(signature, hash, decryption), 130 interrupted.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	config := configs.DefaultPath
	if env := os.Getenv("OFFSITE_CONFIG"); env != "" {
		config = env
	}
	root.PersistentFlags().StringVar(&config, "config", config, "configuration file, also $OFFSITE_CONFIG")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.Version = version
	root.SetVersionTemplate("offsite {{.Version}}\n")
	root.AddCommand(initCommand(&config, std), agentCommand(&config, std), pushCommand(&config, std), listCommand(&config, std), fleetCommand(&config, std),
		restoreCommand(&config, std), pruneCommand(&config, std), verifyCommand(&config, std), acceptCommand(&config, std),
		repairCommand(&config, std), drillCommand(&config, std), statusCommand(&config, std), installCommand(&config, std), alarmCommand(&config, std), doctorCommand(&config, std),
		lookCommand(std), docsCommand(std), pageCommand(std), keygenCommand(std), versionCommand(std))
	addCompletions(root, &config)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(std.err, "offsite: %s\n", harmless(strings.TrimSpace(strings.ReplaceAll(err.Error(), "\t", "  "))+asRoot(err)))
	}
	return exitCode(ctx, err)
}

// asRoot says what helps somebody whom this host keeps from a file. (That a store refuses is no error of a system call.)
func asRoot(err error) string {
	if os.Geteuid() == 0 || !errors.Is(err, syscall.EACCES) {
		return ""
	}
	return "; what the service has is root's: try it with sudo, or name a configuration of your own with --config"
}

// usage turns a check of arguments into one whose failure is a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; it goes `%s`, see %s --help", err, strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.CommandPath())}
		}
		return nil
	}
}

func versionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, "offsite", version)
			return err
		},
	}
}
