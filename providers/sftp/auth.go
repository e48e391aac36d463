package sftp

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"offsite/providers"
)

// credentials are ways to log in, and what must be closed after the login.
type credentials struct {
	methods []ssh.AuthMethod
	agent   net.Conn
}

func (c *credentials) Close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

// credentials opens what the configuration names. The files are read at each login, so that a key can be changed
// without a restart.
func (c *Config) credentials() (*credentials, error) {
	creds := &credentials{}
	signers, err := c.keys()
	if err != nil {
		return nil, err
	}
	socket := c.AgentSocket
	if c.usesDefaults() {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	ask := func() ([]ssh.Signer, error) { return nil, nil }
	if socket != "" {
		if creds.agent, err = net.Dial("unix", socket); err != nil && c.AgentSocket != "" {
			return nil, fmt.Errorf("%w: agent_socket: %w", providers.ErrPermanent, err)
		}
		if err == nil {
			ask = agent.NewClient(creds.agent).Signers
		}
	}
	if len(signers) > 0 || creds.agent != nil {
		// One method for both: the client tries each kind of method once only.
		creds.methods = append(creds.methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			fromAgent, err := ask()
			return append(signers, fromAgent...), err
		}))
	}
	password, err := providers.ReadSecret(c.Password, c.PasswordFile)
	if err != nil {
		creds.Close()
		return nil, fmt.Errorf("%w: password_file: %w", providers.ErrPermanent, err)
	}
	if password.IsSet() {
		creds.methods = append(creds.methods, ssh.Password(password.Reveal()), ssh.KeyboardInteractive(answerWith(password)))
	}
	if len(creds.methods) == 0 {
		return nil, fmt.Errorf("%w: there is no key, password or agent to log in with; set key_file, password_file or agent_socket", providers.ErrPermanent)
	}
	return creds, nil
}

func (c *Config) usesDefaults() bool {
	return c.KeyFile == "" && c.AgentSocket == "" && !c.Password.IsSet() && c.PasswordFile == ""
}

// answerWith gives the password to servers that ask for it in a dialogue (RFC 4256), as PAM does.
func answerWith(password providers.Secret) ssh.KeyboardInteractiveChallenge {
	return func(_, _ string, questions []string, echoes []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range questions {
			if echoes[i] {
				return nil, errors.New("the server asks for more than a password")
			}
			answers[i] = password.Reveal()
		}
		return answers, nil
	}
}

// keys are the private keys in files.
func (c *Config) keys() ([]ssh.Signer, error) {
	if c.usesDefaults() {
		var found []ssh.Signer
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			if s, err := readKey(filepath.Join(home(), ".ssh", name), providers.Secret{}); err == nil {
				found = append(found, s)
			}
		}
		return found, nil
	}
	if c.KeyFile == "" {
		return nil, nil
	}
	passphrase, err := providers.ReadSecret(c.KeyPassphrase, c.KeyPassphraseFile)
	if err != nil {
		return nil, fmt.Errorf("%w: key_passphrase_file: %w", providers.ErrPermanent, err)
	}
	s, err := readKey(c.KeyFile, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: key_file: %w", providers.ErrPermanent, err)
	}
	return []ssh.Signer{s}, nil
}

func readKey(path string, passphrase providers.Secret) (ssh.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s is open to every user of this host (mode %#o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if passphrase.IsSet() {
		s, err := ssh.ParsePrivateKeyWithPassphrase(pem, []byte(passphrase.Reveal()))
		return s, inFile(path, err)
	}
	s, err := ssh.ParsePrivateKey(pem)
	if errors.As(err, new(*ssh.PassphraseMissingError)) {
		err = errors.New("has a passphrase: set key_passphrase_file")
	}
	return s, inFile(path, err)
}

func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "read", Path: path, Err: err}
}
