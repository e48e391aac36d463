// Package configs reads the configuration: strictly, all mistakes at once, each with its line and what to write
// instead. There is no environment expansion: a $ in a value stays one.
package configs

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // a host without zone files knows its zones all the same

	"offsite/providers/dir"
	"offsite/providers/minio"
	"offsite/providers/s3"
	"offsite/providers/sftp"
)

// Example is a configuration with every key and a comment on each.
//
//go:embed example.yaml
var Example []byte

// DefaultPath is where the configuration lies unless told otherwise.
const DefaultPath = "/etc/offsite/offsite.yaml"

// Config is a whole configuration, valid and with its defaults.
type Config struct {
	// Host is the name under which this host's backups lie on every target.
	Host string `yaml:"host"`
	// Zone is the IANA zone of times in file names that have none.
	Zone string `yaml:"zone"`
	// State is the agent's own directory.
	State string `yaml:"state"`
	// Socket is where the running agent answers questions, such as those of `offsite status`; empty: agent.sock in systemd's runtime
	// directory, or else in State.
	Socket string `yaml:"socket"`
	// SigningKey is the file with the host's signing key; signing.key beside the configuration unless set.
	SigningKey string `yaml:"signing_key"`
	// Trust lists verifier keys of former and other hosts.
	Trust      []string `yaml:"trust"`
	Watch      []Watch  `yaml:"watch"`
	Recipients []string `yaml:"recipients"`
	Targets    []Target `yaml:"targets"`
	// Keep is what retention keeps of each series on each target, unless the target or Series says otherwise.
	Keep *Keep `yaml:"keep"`
	// Series are rules for some series, of which the first that fits counts.
	Series []SeriesRule `yaml:"series"`
	// Drills are the restores that prove the backups.
	Drills []Drill `yaml:"drills"`
	// Health is how closely dumps are looked at.
	Health Health `yaml:"health"`
	// Alarms is who is told of trouble, and when.
	Alarms Alarms `yaml:"alarms"`
	// Listen is where the page, its metrics and its JSON are served; nowhere unless set.
	Listen []Listen `yaml:"listen"`
	// Fleet, if set, is the view of all hosts that the page has beside that of this one.
	Fleet *Fleet `yaml:"fleet"`
	// Memory is the budget for blocks in flight, in bytes.
	Memory Size `yaml:"memory"`
	// BlockSize is the unit of upload, in bytes; 0: by the size of the dump.
	BlockSize Size `yaml:"block_size"`
}

// Watch is one watched directory.
type Watch struct {
	// Path is absolute, and a directory.
	Path string `yaml:"path"`
	// Name comes first in the names of its series; empty, where it is the only one: nothing does.
	Name string `yaml:"name"`
	// Include and Exclude are patterns of path.Match, for the file name or, with a slash, for the path below the directory. An empty
	// Include is everything.
	Include []string `yaml:"include"`
	Exclude []string `yaml:"exclude"`
	// Series is how file names are built, such as {series}_{time}.sql.gz; empty: that is found out.
	Series string `yaml:"series"`
	// Settle is how long a file must be unchanged; 0: 2 seconds.
	Settle time.Duration `yaml:"settle"`
}

// Health is how closely dumps are looked at.
type Health struct {
	// MaxCPU is how many processors that may take, beside the uploads and after them.
	MaxCPU int `yaml:"max_cpu"`
	// FullBelow is the size from which on a packed dump is not unpacked, in bytes; 0: every dump is.
	FullBelow Size `yaml:"full_below"`
}

// Target is one place for backups, of exactly one kind.
type Target struct {
	Name string `yaml:"-"`
	// Retention is enforce, report or off.
	Retention string `yaml:"retention"`
	// Limit is how fast dumps may go there.
	Limit Limit `yaml:"limit"`
	// Verify is how what lies there is read and compared again and again.
	Verify Verify `yaml:"verify"`
	// Backfill: the target gets what others have and it lacks.
	Backfill bool `yaml:"backfill"`
	// Keep, if set, is the policy on this target.
	Keep  *Keep         `yaml:"keep"`
	Dir   *dir.Config   `yaml:"dir"`
	MinIO *minio.Config `yaml:"minio"`
	S3    *s3.Config    `yaml:"s3"`
	SFTP  *sftp.Config  `yaml:"sftp"`
}

// Verify is how what lies on a target is read and compared.
type Verify struct {
	// Every is in how many days all of it is read once; 0: unless set, 30.
	Every Days `yaml:"every"`
	// Budget is how many bytes may be read a day; 0: as many as it takes.
	Budget Size `yaml:"budget"`
}

// Locks says whether backups on the target are to be locked (S3 Object Lock).
func (t Target) Locks() bool {
	return t.MinIO != nil && t.MinIO.Lock != nil || t.S3 != nil && t.S3.Lock != nil
}

// New is a configuration with its defaults and nothing else.
func New() *Config {
	return &Config{
		Zone:   "UTC",
		State:  "/var/lib/offsite",
		Memory: 96 << 20,
		Health: Health{MaxCPU: 1, FullBelow: 50e9},
		Alarms: Alarms{Grace: time.Hour, Repeat: 24 * time.Hour},
	}
}

// Error is all that is wrong with a configuration, a line each.
type Error struct {
	File     string
	Mistakes []Mistake
}

// Mistake is one thing that is wrong.
type Mistake struct {
	// Line in the file, from 1; 0: the file as a whole.
	Line int
	// Key is the path of the key, such as targets.nas.dir.path.
	Key string
	// Problem is what is wrong and what to write instead.
	Problem string
}

// Error is a line for each mistake: file, line, key, and what is wrong.
func (e *Error) Error() string {
	text := ""
	for i, m := range e.Mistakes {
		if i > 0 {
			text += "\n"
		}
		text += e.File + ":"
		if m.Line > 0 {
			text += fmt.Sprintf("%d:", m.Line)
		}
		text += " "
		if m.Key != "" {
			text += m.Key + ": "
		}
		text += m.Problem
	}
	return text
}

// Check looks at one value for whoever knows more about it than this package; its error says what to write instead.
type Check func(value string) error

// Checks are what the caller knows better. A nil Check lets every value pass.
type Checks struct {
	// Recipient is for a public key to seal for, Verifier for one that verifies manifests, Pattern for how file names are built, Age for
	// a length of time of retention, DSN for the server of a drill (its error must not show the password), Expect for what a check of a
	// drill compares with.
	Recipient, Verifier, Pattern, Age, DSN, Expect Check
	// Way is the address of a way out of alarms, Hook that of a webhook or a ping, and HookSecret a webhook's secret. Their errors go
	// without the value, which is a secret.
	Way, Hook, HookSecret Check
	// Root, if set, stands for / of the host whose configuration this is, which is another one: secrets and other files
	// of targets are looked for below it, and the watched directories need not be there.
	Root string
	// Reading says that nothing is to be shipped: the watched directories need not be there.
	Reading bool
}

// Load reads a configuration file. The error is an *Error, or that the file cannot be read.
func Load(path string, checks Checks) (*Config, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration at %s: `offsite init` makes one, --config names another", path)
	}
	if err != nil {
		return nil, err
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, b, checks)
}

// Parse reads a configuration. path is for messages, and where signing.key is looked for.
func Parse(path string, b []byte, checks Checks) (*Config, error) {
	c := New()
	d := newDecoder(b)
	d.decode(c)
	if len(d.mistakes) == 0 || d.root != nil {
		v := &validator{decoder: d, checks: checks}
		v.config(c)
	}
	if len(d.mistakes) > 0 {
		d.sort()
		return nil, &Error{path, d.mistakes}
	}
	c.fillKeep()
	if c.SigningKey == "" {
		c.SigningKey = filepath.Join(filepath.Dir(path), "signing.key")
	}
	return c, nil
}
