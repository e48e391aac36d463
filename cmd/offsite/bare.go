package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"offsite/agent"
	"offsite/configs"
	"offsite/crypto"
	"offsite/providers"
)

// bare is how a command finds backups: by the configuration, or on a machine that has none, by flags or a recovery kit.
type bare struct {
	from, kit, target, host string
	asOf                    string // empty: now
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

// history adds the flag for those who may look at what lay on the targets earlier.
func (b *bare) history(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.asOf, "as-of", "", "what the targets held at this time, though it was deleted or written over since: of buckets with versions")
}

// opened is where the backups are, and who may have signed them.
type opened struct {
	targets []agent.Target
	keys    *crypto.Verifiers // nil: anybody
	host    string            // empty: any
	files   *kitFiles         // of the kit, if there is one
	unasked []string          // targets that keep nothing of the time that is asked for
}

func (o *opened) Close() error {
	return errors.Join(closeTargets(o.targets), o.files.Remove())
}

// open opens the targets, as they were at the time that is asked for. The caller closes what it gets, unless there is an error.
func (b *bare) open(config string) (o *opened, err error) {
	at, err := parseTime("--as-of", b.asOf)
	if err != nil {
		return nil, err
	}
	if o, err = b.openNow(config); err != nil || at.IsZero() {
		return o, err
	}
	if err = o.goBack(at); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// goBack leaves the targets that keep what was there before, as they were at that time.
func (o *opened) goBack(at time.Time) error {
	var past []agent.Target
	for _, t := range o.targets {
		if h, ok := t.Target.(providers.Historian); ok {
			t.Target = h.AsOf(at)
			past = append(past, t)
			continue
		}
		o.unasked = append(o.unasked, t.Name)
		if err := t.Close(); err != nil {
			return err
		}
	}
	if o.targets = past; len(past) == 0 {
		return usageError{fmt.Errorf("--as-of: only buckets with versions keep what was there before, and these are none: %s", strings.Join(o.unasked, ", "))}
	}
	return nil
}

// note tells of the targets that are not asked.
func (o *opened) note(w io.Writer) {
	if len(o.unasked) > 0 {
		fmt.Fprintf(w, "not asked, since only buckets with versions keep what was there before: %s\n", strings.Join(o.unasked, ", "))
	}
}

// openNow opens the targets as they are.
func (b *bare) openNow(config string) (o *opened, err error) {
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
