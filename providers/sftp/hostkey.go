package sftp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"offsite/providers"
)

// pin is a key that the server may show.
type pin struct {
	key         ssh.PublicKey // nil if only the fingerprint is known
	fingerprint string
}

// parsePin reads "SHA256:..." as ssh-keygen -l prints it, or "type base64 [comment]".
func parsePin(s string) (pin, error) {
	if sum, ok := strings.CutPrefix(s, "SHA256:"); ok {
		if b, err := base64.RawStdEncoding.DecodeString(sum); err != nil || len(b) != 32 {
			return pin{}, errors.New("is not a SHA-256 fingerprint")
		}
		return pin{fingerprint: s}, nil
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(s))
	if err != nil || len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0 {
		return pin{}, errors.New("is not a public key")
	}
	return pin{key: key, fingerprint: ssh.FingerprintSHA256(key)}, nil
}

// algorithmsOf are those that a server with a key of that type can prove it with (RFC 8332 for RSA).
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// hostKeys is how the server proves that it is the right one.
type hostKeys struct {
	check ssh.HostKeyCallback
	// tries are the sets of algorithms to ask for, one connection after the other until the server shows a key that
	// is known: it shows only one of its keys on each, and a fingerprint does not say which kind it is of.
	tries [][]string
}

// hostKeys reads what is known of the server's keys.
func (c *Config) hostKeys() (hostKeys, error) {
	if len(c.HostKey) > 0 {
		return c.pinned()
	}
	files := []string{c.KnownHosts}
	if c.KnownHosts == "" {
		files = slices.DeleteFunc([]string{filepath.Join(home(), ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}, func(f string) bool {
			_, err := os.Stat(f)
			return err != nil
		})
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return hostKeys{}, fmt.Errorf("%w: known_hosts: %w", providers.ErrPermanent, err)
	}
	algorithms := db.HostKeyAlgorithms(c.address())
	check := db.HostKeyCallback()
	return hostKeys{
		tries: [][]string{algorithms},
		check: func(address string, remote net.Addr, key ssh.PublicKey) error {
			return c.explain(check(address, remote, key), key)
		},
	}, nil
}

// pinned is for keys that the configuration names itself.
func (c *Config) pinned() (hostKeys, error) {
	var pins []pin
	var full, any []string
	for _, s := range c.HostKey {
		p, err := parsePin(s)
		if err != nil {
			return hostKeys{}, fmt.Errorf("%w: host_key %q %w", providers.ErrPermanent, s, err)
		}
		pins = append(pins, p)
		if p.key != nil {
			full = append(full, algorithmsOf(p.key.Type())...)
		} else {
			any = []string{ssh.KeyAlgoED25519}
		}
	}
	h := hostKeys{check: func(_ string, _ net.Addr, key ssh.PublicKey) error {
		if slices.ContainsFunc(pins, func(p pin) bool { return p.fingerprint == ssh.FingerprintSHA256(key) }) {
			return nil
		}
		return &hostKeyError{c.Host, key, "it is not host_key"}
	}}
	if full != nil {
		h.tries = append(h.tries, full)
	}
	if any != nil {
		h.tries = append(h.tries, any, []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}, algorithmsOf(ssh.KeyAlgoRSA))
	}
	return h, nil
}

// hostKeyError is a server that shows a key which is not known.
type hostKeyError struct {
	host string
	key  ssh.PublicKey
	why  string
}

func (e *hostKeyError) Error() string {
	return fmt.Sprintf("the server %s shows the host key %s (%s): %s. If this is the right server, found by asking its owner, "+
		"write host_key: [%q]; if not, somebody stands in between", e.host, ssh.FingerprintSHA256(e.key), e.key.Type(), e.why, authorizedLine(e.key))
}

func (e *hostKeyError) Is(target error) bool { return target == providers.ErrPermanent }

// explain puts what known_hosts says into words with a remedy.
func (c *Config) explain(err error, key ssh.PublicKey) error {
	switch {
	case err == nil:
		return nil
	case knownhosts.IsHostKeyChanged(err):
		return &hostKeyError{c.Host, key, "known_hosts has another one for it"}
	case knownhosts.IsHostUnknown(err):
		return &hostKeyError{c.Host, key, "known_hosts does not have it"}
	}
	return fmt.Errorf("%w: %w", providers.ErrPermanent, err) // revoked, for one
}

// authorizedLine is "type base64".
func authorizedLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// errSeen ends a handshake that was only to show the key.
var errSeen = errors.New("the host key was seen")

// HostKey asks the server for its host key without logging in: the line for Config.HostKey, and the fingerprint for
// people to compare with what the server's owner says.
func HostKey(ctx context.Context, cfg Config) (line, fingerprint string, err error) {
	var seen ssh.PublicKey
	see := hostKeys{tries: [][]string{nil}, check: func(_ string, _ net.Addr, key ssh.PublicKey) error {
		seen = key
		return errSeen
	}}
	c, err := dial(ctx, cfg, see, nil)
	if err == nil {
		c.Close()
	}
	if seen == nil {
		return "", "", translate(ctx, "open", "", err)
	}
	return authorizedLine(seen), ssh.FingerprintSHA256(seen), nil
}

func home() string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return "/"
	}
	return dir
}
