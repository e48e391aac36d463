package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/configs"
	"offsite/crypto"
)

// bare is how a command finds backups: by the configuration, or on a machine that has none, by flags or a recovery kit.
type bare struct {
	from, kit, target, host string
	trust                   []string
	access                  map[string]*string // flags that name files or values of the target, by their keys
	hostKey                 []string
}

func (b *bare) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.target, "target", "", "only from this target")
	f.StringVar(&b.host, "host", "", "backups of this host; that of the configuration or kit unless set")
	f.StringVar(&b.from, "from", "", "a place with backups, instead of a configuration: "+configs.PlaceForms)
	f.StringVar(&b.kit, "kit", "", "recovery kit with the targets and keys, instead of a configuration")
	f.StringArrayVar(&b.trust, "trust", nil, "verifier key that may have signed, with --from, or beside those of the kit; may come several times")
	b.access = map[string]*string{}
	for _, flag := range []struct{ key, name, usage string }{
		{"access_key_file", "access-key-file", "file with the access key, with --from; else the environment's (AWS_ACCESS_KEY_ID ...)"},
		{"secret_key_file", "secret-key-file", "file with the secret key, with --from"},
		{"ca_file", "ca-file", "file with certificates to trust beside the system's, with --from"},
		{"region", "region", "region of the bucket, with --from"},
		{"key_file", "key-file", "private SSH key, with --from; else the agent's and ~/.ssh/id_*"},
		{"password_file", "password-file", "file with the SSH password, with --from"},
		{"known_hosts", "known-hosts", "file with the server's SSH key, with --from; else ~/.ssh/known_hosts"},
	} {
		b.access[flag.key] = f.String(flag.name, "", flag.usage)
	}
	f.StringArrayVar(&b.hostKey, "host-key", nil, "the server's SSH key or its SHA256:... fingerprint, with --from")
}

// opened is where the backups are, and who may have signed them.
type opened struct {
	targets []agent.Target
	keys    *crypto.Verifiers // nil: anybody
	host    string            // empty: any
	files   *kitFiles         // of the kit, if there is one
}

func (o *opened) Close() error {
	return errors.Join(closeTargets(o.targets), o.files.Remove())
}

// open opens the targets. The caller closes what it gets, unless there is an error.
func (b *bare) open(config string) (o *opened, err error) {
	o = &opened{host: b.host}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	if b.from != "" && b.kit != "" {
		return o, usageError{fmt.Errorf("--from and --kit exclude each other: --from %s --identity %s takes the secret key of the kit, and --trust its verifier key", b.from, b.kit)}
	}
	if b.from == "" && len(b.places()) > 0 {
		return o, usageError{errors.New("the flags with the target's keys go with --from")}
	}
	if b.from == "" && b.kit == "" && len(b.trust) > 0 {
		return o, usageError{errors.New("--trust goes with --from or --kit; the configuration has trust: for it")}
	}
	var c *configs.Config
	switch {
	case b.from != "":
		return o, b.openFrom(o)
	case b.kit != "":
		if o.files, err = openKit(b.kit); err != nil {
			return o, usageError{err}
		}
		if c, err = o.files.config(); err == nil {
			o.keys, err = o.files.verifiers(c, b.trust)
		}
	default:
		if c, err = loadToRead(config); err == nil {
			o.keys, err = verifiers(c)
		}
	}
	if err != nil {
		return o, err
	}
	if o.host == "" {
		o.host = c.Host
	}
	o.targets, err = openTargets(c, b.target)
	return o, err
}

// places are the flags that say more of the place.
func (b *bare) places() url.Values {
	more := url.Values{}
	for key, value := range b.access {
		if *value != "" {
			more.Set(key, atHand(key, *value))
		}
	}
	if len(b.hostKey) > 0 {
		more["host_key"] = b.hostKey
	}
	return more
}

// atHand is the value of such a flag. A file that somebody names in a command lies where he is, and not in systemd's credentials directory.
func atHand(key, value string) string {
	if key == "region" {
		return value
	}
	if path, err := filepath.Abs(value); err == nil && exists(path) {
		return path
	}
	return value
}

func (b *bare) openFrom(o *opened) (err error) {
	if len(b.trust) > 0 {
		if o.keys, err = crypto.ParseVerifiers(b.trust); err != nil {
			return usageError{err}
		}
	}
	t, err := configs.ParsePlace(b.from, b.places())
	if err != nil {
		return usageError{err}
	}
	if b.target != "" {
		return usageError{errors.New("--target names a target of the configuration; --from is one itself")}
	}
	target, err := openTarget(t)
	if err != nil {
		return err
	}
	o.targets = []agent.Target{{Name: location(t), Location: location(t), Target: target}}
	return nil
}

// identities are the secret keys in the file, or those of the kit.
func (o *opened) identities(file string) ([]age.Identity, error) {
	if file != "" {
		return loadIdentities(file)
	}
	if o.files == nil {
		return nil, fmt.Errorf("--identity is needed: the file with the secret key; or --kit, the recovery kit (%s beside the configuration, unless it was moved off the host)", kitName)
	}
	ids, err := o.files.identities()
	if err == nil && len(ids) == 0 {
		err = errors.New("the kit has no secret key: --identity names the file with one of the keys that the backups are sealed for")
	}
	return ids, err
}
