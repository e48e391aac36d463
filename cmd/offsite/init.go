package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"offsite/configs"
	"offsite/crypto"
)

// answers are what init needs to know.
type answers struct {
	Host, Zone, State string
	Watch             []string
	places            []string // as they were given: [NAME=]PLACE
	Targets           []configs.Target
	Recipients        []string
	secret            string // of a key pair that init made
	kit               string
}

func initCommand(config *string, std streams) *cobra.Command {
	var a answers
	var yes bool
	host, _ := os.Hostname()
	cmd := &cobra.Command{
		Use: "init", Short: "Write the configuration, keys and recovery kit; over an existing one, prepare what is missing",
		Long: `Asks what it must know and no flag says, writes the configuration, the signing key and the recovery kit, prepares
each target, and tries it with a probe. Over an existing configuration it changes nothing of it.

A target is ` + configs.PlaceForms + `.
The path of sftp:// is below the directory that the login leads to; two slashes make it absolute. Every key of the
configuration can follow a question mark: 's3://bucket/db?region=eu-central-1&storage_class=STANDARD_IA',
'sftp://backup@nas/db?key_file=/etc/offsite/ssh-key'.`,
		Example: "  offsite init --watch /var/backups/db --target nas=/mnt/nas/backups --target shore=sftp://backup@shore/db",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := filepath.Abs(*config)
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				if err := setUp(cmd.Context(), path, &a, newAsker(std, yes), std); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(std.err, "%s is there and stays as it is\n", path)
				for _, name := range []string{"host", "zone", "state", "watch", "target", "recipient", "kit"} {
					if cmd.Flags().Changed(name) {
						fmt.Fprintf(std.err, "--%s has no effect: edit %s, or move it away to begin anew\n", name, path)
					}
				}
			}
			return prepare(cmd.Context(), path, std)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.Host, "host", host, "name under which the backups lie")
	f.StringVar(&a.Zone, "zone", localZone(), "IANA zone of times in file names")
	f.StringVar(&a.State, "state", "/var/lib/offsite", "the agent's own directory")
	f.StringArrayVar(&a.Watch, "watch", nil, "directory with dumps; may come several times")
	f.StringArrayVar(&a.places, "target", nil, "place for the backups, [NAME=]PLACE; may come several times")
	f.StringArrayVar(&a.Recipients, "recipient", nil, "public key; a new key pair is made if there is none")
	f.StringVar(&a.kit, "kit", "", "file for the recovery kit; "+kitName+" beside the configuration unless set")
	f.BoolVar(&yes, "yes", false, "ask nothing; pins the SSH key that a server shows")
	return cmd
}

func localZone() string {
	if link, err := os.Readlink("/etc/localtime"); err == nil {
		if _, zone, ok := strings.Cut(link, "zoneinfo/"); ok {
			return zone
		}
	}
	return "UTC"
}

// setUp writes configuration, signing key and recovery kit.
func setUp(ctx context.Context, path string, a *answers, ask *asker, std streams) error {
	if err := a.complete(ctx, filepath.Dir(path), ask); err != nil {
		return err
	}
	if a.kit == "" {
		a.kit = filepath.Join(filepath.Dir(path), kitName)
	}
	if len(a.Recipients) == 0 {
		secret, public, err := crypto.GenerateIdentity(false)
		if err != nil {
			return err
		}
		a.secret, a.Recipients = secret, []string{public}
	}
	text, err := a.render()
	if err != nil {
		return err
	}
	if _, err := configs.Parse(path, text, configChecks()); err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	key := filepath.Join(filepath.Dir(path), "signing.key")
	hadKey := exists(key)
	verifier, err := ensureSigner(key, a.Host, std)
	if err != nil {
		return err
	}
	if err = a.writeKit(verifier, text, std); err == nil {
		if err = newFile(path, text, 0o644); err != nil {
			err = errors.Join(err, os.Remove(a.kit))
		}
	}
	if err != nil { // half of a setup would be in the way of the next try
		if !hadKey {
			err = errors.Join(err, os.Remove(key))
		}
		return usageError{err}
	}
	fmt.Fprintf(std.err, "wrote %s\n", path)
	return nil
}

// complete asks for what the flags left out, and reads the places.
func (a *answers) complete(ctx context.Context, dir string, ask *asker) error {
	if len(a.Watch) == 0 {
		if answer := ask.line("Directory with the database dumps"); answer != "" {
			a.Watch = []string{answer}
		}
	}
	for i := range a.Watch {
		abs, err := filepath.Abs(a.Watch[i])
		if err != nil {
			return err
		}
		a.Watch[i] = abs
	}
	if len(a.places) == 0 {
		a.askPlaces(ask)
	}
	if len(a.Watch) == 0 || len(a.places) == 0 {
		return usageError{errors.New("init needs at least one --watch DIRECTORY and one --target PLACE")}
	}
	for i, place := range a.places {
		t, err := parseNamed(place, fmt.Sprintf("target%d", i+1))
		if err != nil {
			return usageError{err}
		}
		if err := a.askAccess(ctx, &t, dir, ask); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
		a.Targets = append(a.Targets, t)
	}
	return nil
}

var namedPlace = regexp.MustCompile(`^([a-z0-9][a-z0-9-]*)=(.+)$`)

// parseNamed reads [NAME=]PLACE.
func parseNamed(s, name string) (configs.Target, error) {
	if m := namedPlace.FindStringSubmatch(s); m != nil {
		name, s = m[1], m[2]
	}
	t, err := configs.ParsePlace(s, nil)
	t.Name = name
	return t, err
}

var configTemplate = template.Must(template.New("").Parse(`# offsite: what to watch, whom to encrypt for, where to send it. Written by offsite init.

# The name under which this host's backups lie on every target. Do not change it later.
host: {{.Host}}

# The zone of times in file names that have none of their own.
zone: {{.Zone}}

# The agent's own directory; disposable.
state: {{printf "%q" .State}}

watch:
{{- range $i, $w := .Watch}}
  - path: {{printf "%q" $w}}
{{- if gt (len $.Watch) 1}}
    name: {{$.WatchName $i}}
{{- end}}
{{- end}}

# Public keys; any one of their secret keys opens the backups. Add a second one whose secret key is kept offline.
recipients:
{{- range .Recipients}}
  - {{.}}
{{- end}}

targets:
{{range .Targets}}{{.YAML}}{{end}}
keep: {daily: 7, weekly: 4, monthly: 12, yearly: forever}
`))

func (a *answers) render() ([]byte, error) {
	var b bytes.Buffer
	err := configTemplate.Execute(&b, a)
	return b.Bytes(), err
}

// WatchName is for the template: a name for each of several directories.
func (a *answers) WatchName(i int) string {
	return fmt.Sprintf("%s%d", strings.Map(nameRune, filepath.Base(a.Watch[i])), i+1)
}

func nameRune(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
		return r
	}
	return -1
}

// writeKit writes all that a restore without this host needs.
func (a *answers) writeKit(verifier string, config []byte, std streams) error {
	k := kit{host: a.Host, secret: a.secret, recipients: a.Recipients, verifier: verifier, config: config, targets: a.Targets}
	text, err := k.format()
	if err != nil {
		return err
	}
	if err := newFile(a.kit, text, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "wrote the recovery kit %s\n", a.kit)
	if lacking := k.lacking(); lacking != "" {
		fmt.Fprint(std.err, strings.ReplaceAll(strings.TrimSpace(lacking), "\n\n\n", "\n")+"\n")
	}
	if a.secret != "" {
		fmt.Fprintf(std.err, "IMPORTANT: it holds the only key that opens the backups. Print it or copy it off this host, then remove it here.\n")
	}
	return nil
}
