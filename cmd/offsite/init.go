package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/dustin/go-humanize"
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
	// Found and Forecast are what was learnt, as comments for the configuration.
	Found, Forecast []string

	secret string // of a key pair that init made
	kit    string
	dir    string // of the configuration
	found  []foundSeries
	// secrets were typed, and tried are the targets that work. undo takes back what was made outside of the configuration's directory.
	secrets []secretFile
	tried   map[string]bool
	undo    []func()
	again   bool
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
'sftp://backup@nas/db?key_file=/etc/offsite/ssh-key'; and retention=off, for keys that may not remove.`,
		Example: "  offsite init --watch /var/backups/db --target nas=/mnt/nas/backups --target shore=sftp://backup@shore/db",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := filepath.Abs(*config)
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				if err := a.setUp(cmd.Context(), path, newAsker(std, yes), std); err != nil {
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
			if err := prepare(cmd.Context(), path, a.tried, std); err != nil {
				return err
			}
			if len(a.tried) > 0 {
				fmt.Fprint(std.err, "\nNext: `offsite agent --once` ships what is there, `offsite install` makes the agent a service, and `offsite doctor` says what is still to be done.\n")
			}
			return nil
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

// setUp asks, and then writes all at once: configuration, keys and recovery kit, or nothing.
func (a *answers) setUp(ctx context.Context, path string, ask *asker, std streams) (err error) {
	a.dir, a.tried = filepath.Dir(path), map[string]bool{}
	defer func() {
		if err == nil {
			return
		}
		for _, undo := range a.undo {
			undo()
		}
		if ctx.Err() != nil {
			fmt.Fprintln(std.err, "interrupted: nothing was written")
		}
	}()
	err = a.complete(ctx, ask)
	if errors.Is(err, errNoAnswer) {
		return usageError{a.unanswered()}
	}
	if err != nil {
		return err
	}
	if a.kit == "" {
		a.kit = filepath.Join(a.dir, kitName)
	}
	if len(a.Recipients) == 0 {
		if a.secret, a.Recipients, err = newKey(); err != nil {
			return err
		}
	}
	for _, s := range a.secrets {
		s.name(s.path)
	}
	text, err := a.render()
	if err != nil {
		return err
	}
	c, err := configs.Parse(path, text, configChecks())
	if err != nil {
		return usageError{err}
	}
	if err := a.forecast(c, std.err); err != nil {
		return err
	}
	if text, err = a.render(); err != nil {
		return err
	}
	return a.save(path, text, std)
}

func newKey() (secret string, recipients []string, err error) {
	secret, public, err := crypto.GenerateIdentity(false)
	return secret, []string{public}, err
}

// unanswered says what nobody has answered.
func (a *answers) unanswered() error {
	if len(a.Watch) == 0 || len(a.Targets) == 0 && len(a.places) == 0 {
		return errors.New("init needs at least one --watch DIRECTORY and one --target PLACE")
	}
	return errors.New("the answers came to their end before all was asked: nothing was written; --yes asks nothing, and every answer can be a flag")
}

// save writes all files. Half of a set-up would be in the way of the next try: what was written goes if something fails.
func (a *answers) save(path string, text []byte, std streams) (err error) {
	var written []string
	defer func() {
		if err != nil {
			for _, p := range written {
				err = errors.Join(err, os.Remove(p))
			}
			err = usageError{err}
		}
	}()
	hadDir := exists(a.dir)
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return err
	}
	if !hadDir {
		defer func() {
			if err != nil {
				os.Remove(a.dir) // unless there is something in it that is not ours
			}
		}()
	}
	put := func(path string, b []byte, mode fs.FileMode) error {
		err := newFile(path, b, mode)
		if err == nil {
			written = append(written, path)
		}
		return err
	}
	for _, s := range a.secrets {
		if err := put(s.path, []byte(s.value+"\n"), 0o600); err != nil {
			return err
		}
	}
	key := filepath.Join(a.dir, "signing.key")
	hadKey := exists(key)
	verifier, err := ensureSigner(key, a.Host, std)
	if err != nil {
		return err
	}
	if !hadKey {
		written = append(written, key)
	}
	if err := a.writeKit(verifier, text, put, std); err != nil {
		return err
	}
	if err := put(path, text, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "wrote %s\n", path)
	return nil
}

// complete asks for what the flags left out, and reads the places.
func (a *answers) complete(ctx context.Context, ask *asker) error {
	if err := a.askWatch(ctx, ask); err != nil {
		return err
	}
	for i := range a.Watch {
		abs, err := filepath.Abs(a.Watch[i])
		if err != nil {
			return err
		}
		a.Watch[i] = abs
	}
	if err := a.check(nil, false); err != nil {
		return err
	}
	if err := a.learn(ctx, ask.out); err != nil {
		return err
	}
	if ask.quiet && len(a.places) == 0 {
		return errNoAnswer
	}
	return a.askTargets(ctx, ask)
}

// askWatch asks for the directory until it is one.
func (a *answers) askWatch(ctx context.Context, ask *asker) error {
	if len(a.Watch) > 0 {
		return nil
	}
	return askUntil(ctx, ask, "Directory with the database dumps", "", func(s string) error {
		if s == "" {
			return errors.New("write the directory into which the dumps are written")
		}
		path, err := filepath.Abs(expand(s))
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s is not there; is it spelt right?", path)
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is a file; write the directory", path)
		}
		a.Watch = []string{path}
		return nil
	})
}

// learn looks at the dumps that are there, and shows which series they are.
func (a *answers) learn(ctx context.Context, out io.Writer) error {
	zone, err := time.LoadLocation(a.Zone)
	if err != nil {
		return usageError{fmt.Errorf("%q is not a zone; write one such as Europe/Prague or UTC", a.Zone)}
	}
	c := &configs.Config{}
	for i, path := range a.Watch {
		w := configs.Watch{Path: path}
		if len(a.Watch) > 1 {
			w.Name = a.WatchName(i)
		}
		c.Watch = append(c.Watch, w)
	}
	for _, s := range sources(c, zone) {
		found, err := findSeries(ctx, s, time.Now())
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(out, "warning: not all of %s can be read: %v\n", s.Path, err)
		}
		a.found = append(a.found, found...)
	}
	if len(a.found) == 0 {
		fmt.Fprintln(out, "No dump lies there yet: the series will be learnt from the first ones.")
		return ctx.Err()
	}
	fmt.Fprintf(out, "\nFound %d series:\n", len(a.found))
	showSeries(out, a.found)
	for _, s := range a.found {
		a.Found = append(a.Found, fmt.Sprintf("%s: %d dumps, %s, %s", printable(s.name), len(s.dumps), rhythm(s.gap()), humanize.IBytes(uint64(s.size()))))
	}
	return ctx.Err()
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
{{- with .Found}}

# What was there on {{$.Today}}:
{{- range .}}
#   {{.}}
{{- end}}
{{- end}}

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
# What retention keeps: the newest backup of each of so many days, weeks, months and years that have one.
{{- with .Forecast}}
# In a year that is, if all goes on as it did:
{{- range .}}
#   {{.}}
{{- end}}
{{- end}}
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

// Today is for the template.
func (a *answers) Today() string { return time.Now().Format(time.DateOnly) }

// writeKit writes all that a restore without this host needs: as text, which is input too, and as a page for a printer.
func (a *answers) writeKit(verifier string, config []byte, put func(string, []byte, fs.FileMode) error, std streams) error {
	k := kit{host: a.Host, secret: a.secret, recipients: a.Recipients, verifier: verifier, config: config, targets: a.Targets}
	text, err := k.format()
	if err != nil {
		return err
	}
	page, err := k.page(text, a.Today())
	if err != nil {
		return err
	}
	if err := put(a.kit, text, 0o600); err != nil {
		return err
	}
	paper := strings.TrimSuffix(a.kit, ".txt") + ".html"
	if err := put(paper, page, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "wrote the recovery kit %s, and the same for a printer, %s\n", a.kit, paper)
	if lacking := k.lacking(); lacking != "" {
		fmt.Fprint(std.err, strings.ReplaceAll(strings.TrimSpace(lacking), "\n\n\n", "\n")+"\n")
	}
	if a.secret != "" {
		fmt.Fprintf(std.err, "IMPORTANT: it holds the only key that opens the backups. Print it or copy it off this host, then remove both files here.\n")
	}
	return nil
}
