package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/tools/txtar"

	"offsite/configs"
	"offsite/crypto"
)

// kitName is where init writes the recovery kit, beside the configuration.
const kitName = "offsite-recovery-kit.txt"

// kitPage is the same for a printer.
const kitPage = "offsite-recovery-kit.html"

// The kit is text for people, with files after it, each below a line `-- name --` (the txtar format): what a restore
// needs when the host is gone.
const (
	kitIdentity    = "identity.txt"
	kitVerifiers   = "trust.txt"
	kitConfig      = "offsite.yaml"
	kitCredentials = "files" // and the path on the host
)

const kitText = `OFFSITE RECOVERY KIT of host %[1]s

This is all that is needed to restore without the host: the secret key that opens the backups, the key that the host
signs them with, and the keys of the places where they lie. Whoever has it can read every backup. Keep it off the host,
on paper or on a stick in a safe, and in two places.

With offsite, on any machine that reaches one of the targets:

  offsite list --kit THIS-FILE
  offsite restore --kit THIS-FILE SERIES

Without offsite: each backup is one plain age file, TARGET/%[1]s/SERIES/TIME_ID_NAME.age. Fetch it with any client of
the store (sftp, aws, mc, rclone), save what stands below after "-- %[2]s --" under that name, and:

  age -d -i %[2]s -o NAME TIME_ID_NAME.age

%[3]sThe rest of this file is for the program: each line between hyphens begins a file.

`

// kit is what goes into a recovery kit.
type kit struct {
	host, secret string // secret may be empty: the backups open with keys that this program never saw
	recipients   []string
	verifier     string
	config       []byte
	targets      []configs.Target
}

// format reads the files that the targets name: their keys belong into the kit.
func (k *kit) format() ([]byte, error) {
	identity := fmt.Sprintf("# public key: %s\n%s\n", strings.Join(k.recipients, ", "), k.secret)
	if k.secret == "" {
		identity = "# The backups open with the secret keys of these, which are kept elsewhere:\n# " + strings.Join(k.recipients, "\n# ") + "\n"
	}
	a := &txtar.Archive{
		Comment: fmt.Appendf(nil, kitText, k.host, kitIdentity, k.lacking()),
		Files: []txtar.File{
			{Name: kitIdentity, Data: []byte(identity)},
			{Name: kitVerifiers, Data: []byte(k.verifier + "\n")},
			{Name: kitConfig, Data: k.config},
		},
	}
	for _, t := range k.targets {
		for _, path := range t.Files() {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("target %s: %w", t.Name, err)
			}
			a.Files = append(a.Files, txtar.File{Name: kitCredentials + filepath.Clean(path), Data: b})
		}
	}
	return txtar.Format(a), nil
}

// lacking says which keys of targets are not in the kit, since the host has them from elsewhere.
func (k *kit) lacking() (text string) {
	for _, t := range k.targets {
		if why := keysFromElsewhere(t); why != "" {
			text += fmt.Sprintf("NOT IN THIS KIT: the keys of target %s, which come from %s. Write them here:\n\n\n", t.Name, why)
		}
	}
	return text
}

// kitFiles is an open kit. The files that targets need lie in a directory of their own for as long as a command runs;
// the secret key that opens the backups stays in memory.
type kitFiles struct {
	dir, name      string
	trust          []string
	yaml, identity []byte
}

// openKit opens a recovery kit. The caller removes its files.
func openKit(path string) (k *kitFiles, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(b)), []byte("<!doctype html")) {
		return nil, fmt.Errorf("%s is the page for the printer; the kit is the text that was written beside it, %s, or what the page shows of it", path, kitName)
	}
	dir, err := os.MkdirTemp("", "offsite-kit-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	k = &kitFiles{name: path, dir: dir}
	root, err := os.OpenRoot(dir) // a kit that somebody forged does not write elsewhere
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for _, f := range txtar.Parse(b).Files {
		switch f.Name {
		case kitVerifiers:
			k.trust = strings.Fields(string(f.Data))
			continue
		case kitConfig:
			k.yaml = f.Data
			continue
		case kitIdentity:
			k.identity = f.Data
			continue
		}
		if err := root.MkdirAll(filepath.Dir(f.Name), 0o700); err != nil {
			return nil, err
		}
		if err := root.WriteFile(f.Name, f.Data, 0o600); err != nil {
			return nil, err
		}
	}
	if k.yaml == nil || len(k.trust) == 0 {
		return nil, fmt.Errorf("%s is not a recovery kit: it has no %s or no %s", path, kitConfig, kitVerifiers)
	}
	return k, nil
}

// Remove removes the unpacked files. There may be none.
func (k *kitFiles) Remove() error {
	if k == nil {
		return nil
	}
	return os.RemoveAll(k.dir)
}

// identities are the secret keys of the kit; none if it was made for keys that are kept elsewhere.
func (k *kitFiles) identities() ([]age.Identity, error) {
	if !bytes.Contains(k.identity, []byte("AGE-SECRET-KEY-")) {
		return nil, nil
	}
	return crypto.ParseIdentities(k.identity, k.name, askPassphrase)
}

// loadIdentities reads the secret keys in a file; that a person gives the recovery kit for it is fine.
func loadIdentities(file string) ([]age.Identity, error) {
	ids, err := crypto.LoadIdentities(file, askPassphrase)
	if err == nil {
		return ids, nil
	}
	k, kitErr := openKit(file)
	if kitErr != nil {
		return nil, err
	}
	ids, kitErr = k.identities()
	if kitErr = errors.Join(kitErr, k.Remove()); kitErr != nil || len(ids) == 0 {
		return nil, errors.Join(err, kitErr)
	}
	return ids, nil
}

func (k *kitFiles) config() (*configs.Config, error) {
	checks := configChecks()
	checks.Root = filepath.Join(k.dir, kitCredentials)
	c, err := configs.Parse(k.name, k.yaml, checks)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (k *kitFiles) verifiers(c *configs.Config, more []string) (*crypto.Verifiers, error) {
	keys, err := crypto.ParseVerifiers(slices.Concat(k.trust, c.Trust, more))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %s: %w", k.name, kitVerifiers, err)}
	}
	return keys, nil
}
