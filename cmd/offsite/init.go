package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"offsite/configs"
	"offsite/crypto"
	"offsite/providers"
)

// answers are what init needs to know.
type answers struct {
	Host, Zone, State string
	Watch, Targets    []string
	Recipients        []string
	kit               string
}

func initCommand(config *string, std streams) *cobra.Command {
	var a answers
	var yes bool
	host, _ := os.Hostname()
	cmd := &cobra.Command{
		Use: "init", Short: "Write the configuration, keys and recovery kit; over an existing one, prepare what is missing",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := filepath.Abs(*config)
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				if err := setUp(path, &a, yes, std); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(std.err, "%s is there and stays as it is\n", path)
			}
			return prepare(cmd.Context(), path, std)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.Host, "host", host, "name under which the backups lie")
	f.StringVar(&a.Zone, "zone", localZone(), "IANA zone of times in file names")
	f.StringVar(&a.State, "state", "/var/lib/offsite", "the agent's own directory")
	f.StringArrayVar(&a.Watch, "watch", nil, "directory with dumps; may come several times")
	f.StringArrayVar(&a.Targets, "target", nil, "place for the backups, [NAME=]DIRECTORY; may come several times")
	f.StringArrayVar(&a.Recipients, "recipient", nil, "public key; a new key pair is made if there is none")
	f.StringVar(&a.kit, "kit", "", "file for the recovery kit; offsite-recovery-kit.txt beside the configuration unless set")
	f.BoolVar(&yes, "yes", false, "ask nothing")
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
func setUp(path string, a *answers, yes bool, std streams) error {
	if !yes {
		a.ask(std)
	}
	if len(a.Watch) == 0 || len(a.Targets) == 0 {
		return usageError{errors.New("init needs at least one --watch DIRECTORY and one --target DIRECTORY")}
	}
	if a.kit == "" {
		a.kit = filepath.Join(filepath.Dir(path), "offsite-recovery-kit.txt")
	}
	secret := ""
	if len(a.Recipients) == 0 {
		var public string
		var err error
		if secret, public, err = crypto.GenerateIdentity(false); err != nil {
			return err
		}
		a.Recipients = []string{public}
	}
	text, err := a.render()
	if err != nil {
		return err
	}
	if _, err := configs.Parse(path, text, configs.Checks{}); err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	vkey, err := ensureSigner(filepath.Join(filepath.Dir(path), "signing.key"), a.Host, std)
	if err != nil {
		return err
	}
	if err := a.writeKit(secret, vkey, text, std); err != nil {
		return err
	}
	if err := newFile(path, text, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "wrote %s\n", path)
	return nil
}

// ask fills what the flags left out, when there is somebody to ask.
func (a *answers) ask(std streams) {
	in := bufio.NewScanner(std.in)
	question := func(prompt string, list *[]string) {
		for len(*list) == 0 {
			fmt.Fprintf(std.err, "%s: ", prompt)
			if !in.Scan() {
				return
			}
			if answer := strings.TrimSpace(in.Text()); answer != "" {
				*list = append(*list, answer)
			}
		}
	}
	question("Directory with the database dumps", &a.Watch)
	question("Mounted directory for the backups", &a.Targets)
}

var configTemplate = template.Must(template.New("").Parse(`# offsite: what to watch, whom to encrypt for, where to send it. Written by offsite init.

# The name under which this host's backups lie on every target. Do not change it later.
host: {{.Host}}

# The zone of times in file names that have none of their own.
zone: {{.Zone}}

# The agent's own directory; disposable.
state: {{.State}}

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
{{- range $i, $t := .Targets}}
  {{$.TargetName $i}}:
    dir:
      path: {{printf "%q" ($.TargetPath $i)}}
{{- end}}

keep: {daily: 7, weekly: 4, monthly: 12, yearly: forever}
`))

func (a *answers) render() ([]byte, error) {
	for i := range a.Watch {
		abs, err := filepath.Abs(a.Watch[i])
		if err != nil {
			return nil, err
		}
		a.Watch[i] = abs
	}
	var b bytes.Buffer
	err := configTemplate.Execute(&b, a)
	return b.Bytes(), err
}

// WatchName is for the template: a name for each of several directories.
func (a *answers) WatchName(i int) string {
	return fmt.Sprintf("%s%d", strings.Map(nameRune, filepath.Base(a.Watch[i])), i+1)
}

// TargetName is for the template.
func (a *answers) TargetName(i int) string {
	if name, _, ok := strings.Cut(a.Targets[i], "="); ok {
		return name
	}
	return fmt.Sprintf("target%d", i+1)
}

// TargetPath is for the template.
func (a *answers) TargetPath(i int) string {
	path := a.Targets[i]
	if _, rest, ok := strings.Cut(path, "="); ok {
		path = rest
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func nameRune(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
		return r
	}
	return -1
}

// ensureSigner makes the signing key if it is missing, and gives its verifier key.
func ensureSigner(path, host string, std streams) (string, error) {
	if s, err := crypto.LoadSigner(path); err == nil {
		return s.VerifierKey(), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	skey, vkey, err := crypto.GenerateSigner(host)
	if err != nil {
		return "", usageError{err}
	}
	if err := newFile(path, []byte(skey+"\n"+vkey+"\n"), 0o600); err != nil {
		return "", err
	}
	fmt.Fprintf(std.err, "made the signing key %s\n", path)
	return vkey, nil
}

// newFile writes a file that must not be there yet.
func newFile(path string, b []byte, mode fs.FileMode) error {
	err := writeFile(path, false, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// writeKit writes all that a restore without this host needs.
func (a *answers) writeKit(secret, vkey string, config []byte, std streams) error {
	identity := secret
	if identity == "" {
		identity = "(none was made: the backups open with the secret keys of the recipients below)"
	}
	text := fmt.Sprintf(kitText, a.Host, identity, strings.Join(a.Recipients, "\n"), vkey, config, a.Host)
	if err := newFile(a.kit, []byte(text), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "wrote the recovery kit %s\n", a.kit)
	if secret != "" {
		fmt.Fprintf(std.err, "IMPORTANT: it holds the only key that opens the backups. Print it or copy it off this host, then remove it here.\n")
	}
	return nil
}

const kitText = `OFFSITE RECOVERY KIT of host %s

Keep this off the host, on paper or a stick. It is all that is needed to restore without the host.

Secret key (save this line alone in a file identity.txt, mode 600):

%s

Public keys that the backups are sealed for:

%s

Verifier key of the host:

%s

Configuration:

%s
Restore the newest dump of a series with offsite, on any machine that reaches the target:

  offsite restore --from TARGET --identity identity.txt --trust 'VERIFIER KEY' SERIES

Restore without offsite: each backup is one plain age file, TARGET/%s/SERIES/TIME_ID_NAME.age. Fetch it with any
client of the store, then:

  age -d -i identity.txt -o NAME TIME_ID_NAME.age
`

// prepare makes what an existing configuration lacks, and tries each target.
func prepare(ctx context.Context, path string, std streams) error {
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return err
	}
	if _, err := ensureSigner(c.SigningKey, c.Host, std); err != nil {
		return err
	}
	var failed []error
	for _, t := range c.Targets {
		err := prepareTarget(t)
		if err == nil {
			err = probe(ctx, t)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", t.Name, err))
			continue
		}
		fmt.Fprintf(std.err, "target %s works: wrote, read and deleted a probe\n", t.Name)
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%w\n%w", errPartly, err)
	}
	return nil
}

// probe is a round trip.
func probe(ctx context.Context, t configs.Target) (err error) {
	target, _, err := openTarget(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	const name, text = "offsite-probe", "offsite was here"
	if err := target.Put(ctx, name, providers.Bytes([]byte(text))); err != nil {
		return err
	}
	r, err := target.Get(ctx, name, 0, -1)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if string(b) != text {
		return errors.New("what was read is not what was written")
	}
	return target.Delete(ctx, name)
}
