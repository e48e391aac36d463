package crypto

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
)

// ParseRecipient reads one public key that a dump can be sealed for: age1..., age1pq1... (hybrid post-quantum, which
// age opens from version 1.3 on), age1NAME1... (a plugin), ssh-ed25519 or ssh-rsa. An error never shows what was
// given if that looks like a secret key.
func ParseRecipient(s string) (r age.Recipient, err error) {
	s = strings.TrimSpace(s)
	switch {
	case strings.HasPrefix(strings.ToUpper(s), "AGE-SECRET-KEY-") || strings.HasPrefix(strings.ToUpper(s), "AGE-PLUGIN-"):
		return nil, errors.New("this is a secret key; a recipient is its public key, age1..., which `age-keygen -y` prints")
	case strings.HasPrefix(s, "age1pq1"):
		r, err = age.ParseHybridRecipient(s)
	case strings.HasPrefix(s, "age1") && strings.Count(s, "1") > 1:
		r, err = plugin.NewRecipient(s, pluginUI())
	case strings.HasPrefix(s, "age1"):
		r, err = age.ParseX25519Recipient(s)
	case strings.HasPrefix(s, "ssh-"):
		r, err = agessh.ParseRecipient(s)
	default:
		return nil, errors.New("not a public key: it should start with age1, ssh-ed25519 or ssh-rsa")
	}
	if err != nil {
		return nil, fmt.Errorf("not a usable public key: %w", err)
	}
	return r, nil
}

// ParseRecipients reads several, and names each that is wrong by its place in the list, from 1.
func ParseRecipients(list []string) ([]age.Recipient, error) {
	var all []age.Recipient
	var errs []error
	for i, s := range list {
		r, err := ParseRecipient(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("recipient %d: %w", i+1, err))
			continue
		}
		all = append(all, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("no recipients: nobody could open the dumps")
	}
	// age refuses some mixtures, such as post-quantum with classic keys. It should do so now and not at the first dump.
	if _, err := SealBytes(all, nil); err != nil {
		return nil, err
	}
	return all, nil
}

// GenerateIdentity makes a new age key pair; pq asks for the hybrid post-quantum kind.
func GenerateIdentity(pq bool) (secret, recipient string, err error) {
	if pq {
		i, err := age.GenerateHybridIdentity()
		if err != nil {
			return "", "", err
		}
		return i.String(), i.Recipient().String(), nil
	}
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	return i.String(), i.Recipient().String(), nil
}

// pluginUI lets age plugins ask on the terminal and talk on standard error.
func pluginUI() *plugin.ClientUI {
	say := func(format string, v ...any) { fmt.Fprintf(os.Stderr, format+"\n", v...) }
	return plugin.NewTerminalUI(say, say)
}
