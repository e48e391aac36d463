package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"offsite/cmd/offsite/manual"
	"offsite/configs"
)

// docsCommand writes what packages bring beside the program: it alone knows all commands. It is hidden, since people meet it once at most.
func docsCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use: "docs DIR", Short: "Write man pages and completions", Hidden: true, Args: usage(cobra.ExactArgs(1)),
		Long: `Writes the man pages, and completions for bash, zsh and fish, into a directory, which is made if it is missing. The same program writes the
same bytes on every host: the pages have the date of $SOURCE_DATE_EPOCH, or today's without it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"), time.Now)
			if err != nil {
				return usageError{err}
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return writeDocs(cmd.Root(), args[0], date)
		},
	}
}

// sourceDate reads the variable by which builds are told what time it is (reproducible-builds.org/specs/source-date-epoch).
func sourceDate(epoch string, now func() time.Time) (time.Time, error) {
	if epoch == "" {
		return now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("$SOURCE_DATE_EPOCH is %q: it should be seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0), nil
}

// aside is what the page of the program says and its help does not.
var aside = [][2]string{
	{"ENVIRONMENT", "`OFFSITE_CONFIG` is the configuration file unless `--config` names another. Where the configuration has no keys for a target, the " +
		"environment of AWS (`AWS_ACCESS_KEY_ID` and its like) or of ssh (`SSH_AUTH_SOCK`) is asked."},
	{"FILES", "`" + configs.DefaultPath + "`: the configuration, which `offsite init` writes; see `offsite.yaml`(5).\n\n" +
		"`/etc/offsite/signing.key`: the key by which this host's backups are known to be its own. It never leaves the host, and goes with no package.\n\n" +
		"`/var/lib/offsite`: the state. It is disposable: without it, the agent asks the targets what they hold.\n\n" +
		"`/run/offsite/agent.sock`: where the running agent answers root and the group offsite."},
}

func writeDocs(root *cobra.Command, dir string, date time.Time) error {
	forgetHost(root)
	from := manual.Source{Version: version, Date: date}
	files := append(manual.Commands(root, from, aside), manual.Configuration(configs.Example, from))
	for _, shell := range []struct {
		name string
		gen  func(*bytes.Buffer) error
	}{ // under the names by which the shells find them
		{"offsite.bash", func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) }},
		{"_offsite", func(b *bytes.Buffer) error { return root.GenZshCompletion(b) }},
		{"offsite.fish", func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) }},
	} {
		var script bytes.Buffer
		if err := shell.gen(&script); err != nil {
			return err
		}
		files = append(files, manual.Page{Name: shell.name, Text: script.Bytes()})
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// forgetHost takes out of the defaults what comes from the host on which the pages are made.
func forgetHost(root *cobra.Command) {
	root.PersistentFlags().Lookup("config").DefValue = configs.DefaultPath
	for _, c := range root.Commands() {
		if c.Name() == "init" {
			c.Flags().Lookup("host").DefValue = "the name of this host"
			c.Flags().Lookup("zone").DefValue = "the zone of this host"
		}
	}
}
