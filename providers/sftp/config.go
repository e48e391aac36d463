package sftp

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"offsite/providers"
)

// Config is a directory of an SSH server.
type Config struct {
	// Host is a name or an address; Port is 22 unless set.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	User string `yaml:"user"`
	// Path is the directory for the backups: below the one that the login leads to, or absolute with a leading slash.
	// It must be there (Init makes it); empty is the login's directory itself.
	Path string `yaml:"path"`

	// KeyFile is a private key, KeyPassphraseFile what it is encrypted with.
	KeyFile           string           `yaml:"key_file"`
	KeyPassphrase     providers.Secret `yaml:"key_passphrase"`
	KeyPassphraseFile string           `yaml:"key_passphrase_file"`
	Password          providers.Secret `yaml:"password"`
	PasswordFile      string           `yaml:"password_file"`
	// AgentSocket is where a key agent listens. With no key, password and agent at all, what ssh would take is taken:
	// the agent of $SSH_AUTH_SOCK, and the unencrypted ones of the keys ~/.ssh/id_ed25519, id_ecdsa and id_rsa.
	AgentSocket string `yaml:"agent_socket"`

	// HostKey is the server's public key as in authorized_keys(5) ("ssh-ed25519 AAAA..."), or its fingerprint
	// ("SHA256:..."); several are alternatives. KnownHosts is a file as in sshd(8). With neither, ~/.ssh/known_hosts and
	// /etc/ssh/ssh_known_hosts are asked. A key that is not known is never accepted.
	HostKey    []string `yaml:"host_key"`
	KnownHosts string   `yaml:"known_hosts"`

	// Connections is how many calls may be under way at once, each on a connection of its own; 0: 4. An open reader
	// has one beside these.
	Connections int `yaml:"connections"`
	// IdleTimeout is how long the server may be silent while it owes an answer; 0: 1 minute.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
}

const (
	defaultConnections = 4
	defaultIdle        = time.Minute
)

// Validate says what is wrong with it, without asking the server.
func (c *Config) Validate() error {
	var errs []error
	add := func(key, problem, remedy string) {
		errs = append(errs, &providers.FieldError{Key: key, Problem: problem, Remedy: remedy})
	}
	switch {
	case c.Host == "":
		add("host", "is missing", "write the name or address of the SSH server")
	case strings.ContainsAny(c.Host, "/@ ") || strings.Contains(c.Host, ":") && net.ParseIP(c.Host) == nil:
		add("host", "is not the name or address of a server", "write the name alone; user, port and path are keys of their own")
	}
	if c.User == "" {
		add("user", "is missing", "write the user to log in as")
	}
	if c.Port < 0 || c.Port > 65535 {
		add("port", "is not a port", "write 1 to 65535; 22 unless set")
	}
	if c.Connections < 0 || c.Connections > 64 {
		add("connections", "is out of range", "write 1 to 64; 4 unless set")
	}
	if c.IdleTimeout < 0 {
		add("idle_timeout", "is negative", "write a duration such as 1m")
	}
	if len(c.HostKey) > 0 && c.KnownHosts != "" {
		add("known_hosts", "is given beside host_key", "keep one of the two")
	}
	for _, k := range c.HostKey {
		if _, err := parsePin(k); err != nil {
			add("host_key", fmt.Sprintf("%q: %v", k, err), `write "ssh-ed25519 AAAA..." or "SHA256:..."`)
		}
	}
	if c.KeyFile == "" && (c.KeyPassphrase.IsSet() || c.KeyPassphraseFile != "") {
		add("key_file", "is missing", "a passphrase needs the key that it opens")
	}
	errs = append(errs, providers.CheckSecret("key_passphrase", c.KeyPassphrase, c.KeyPassphraseFile), providers.CheckSecret("password", c.Password, c.PasswordFile))
	return errors.Join(errs...)
}

// address is host:port as net.Dial takes it.
func (c *Config) address() string {
	port := c.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(port))
}
