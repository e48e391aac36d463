package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"offsite/providers"
	"offsite/providers/sftp"
)

// askAccess asks for the keys of a place where it has none, and pins the key of an SSH server.
func (a *answers) askAccess(ctx context.Context, d *draft, ask *asker) error {
	switch {
	case d.MinIO != nil:
		c := d.MinIO
		return a.askKeys(ctx, d, &c.AccessKey, &c.SecretKey, &c.AccessKeyFile, &c.SecretKeyFile, ask)
	case d.S3 != nil:
		c := d.S3
		return a.askKeys(ctx, d, &c.AccessKey, &c.SecretKey, &c.AccessKeyFile, &c.SecretKeyFile, ask)
	case d.SFTP != nil:
		if err := pinHostKey(ctx, d.SFTP, ask); err != nil {
			return err
		}
		return a.askLogin(ctx, d, ask)
	}
	return nil
}

// askKeys asks for the keys of a bucket, which get files of their own.
func (a *answers) askKeys(ctx context.Context, d *draft, access, secret *providers.Secret, accessFile, secretFile *string, ask *asker) error {
	if *accessFile != "" || *secretFile != "" || access.IsSet() || ask.quiet {
		return nil
	}
	id, err := ask.line(ctx, "Access key (empty: from the environment, a profile or the machine's role)", "")
	if err != nil || id == "" {
		return err
	}
	err = askUntilSecret(ctx, ask, "Secret key", func(s string) error {
		*secret = providers.NewSecret(s)
		return nil
	})
	*access = providers.NewSecret(id)
	d.secrets = append(d.secrets, a.secretFile(d.Name+"-access-key", access, accessFile), a.secretFile(d.Name+"-secret-key", secret, secretFile))
	return err
}

func askUntilSecret(ctx context.Context, ask *asker, prompt string, take func(string) error) error {
	for {
		answer, err := ask.secret(ctx, prompt)
		if err != nil {
			return err
		}
		if answer != "" {
			return take(answer)
		}
		fmt.Fprintln(ask.out, "It cannot be empty.")
	}
}

// secretFile is the file for a secret beside the configuration.
func (a *answers) secretFile(name string, value *providers.Secret, file *string) secretFile {
	return secretFile{filepath.Join(a.dir, name), value.Reveal(), func(path string) { *file, *value = path, providers.Secret{} }}
}

// askLogin asks how to log in to an SSH server.
func (a *answers) askLogin(ctx context.Context, d *draft, ask *asker) error {
	c := d.SFTP
	if c.KeyFile != "" || c.PasswordFile != "" || c.AgentSocket != "" || c.Password.IsSet() || ask.quiet {
		return nil
	}
	prompt := `File with the private SSH key ("password": type a password`
	usual := sshKey()
	if usual == "" {
		prompt += "; empty: the key agent"
	}
	typed := false
	err := askUntil(ctx, ask, prompt+")", usual, func(s string) error {
		typed = s == "password"
		if s == "" || typed {
			return nil
		}
		path, err := filepath.Abs(expand(s))
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return fmt.Errorf("%s is no file", path)
		}
		c.KeyFile = path
		return nil
	})
	if err != nil || !typed {
		return err
	}
	return askUntilSecret(ctx, ask, "Password of "+c.User, func(s string) error {
		c.Password = providers.NewSecret(s)
		d.secrets = append(d.secrets, a.secretFile(d.Name+"-password", &c.Password, &c.PasswordFile))
		return nil
	})
}

// sshKey is the key that ssh would take first; empty: there is none.
func sshKey() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if path := filepath.Join(home, ".ssh", name); exists(path) {
			return path
		}
	}
	return ""
}

// expand gives ~/ its meaning, as a shell would.
func expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}

// pinHostKey writes the key that the server shows into the configuration, once a person has compared it.
func pinHostKey(ctx context.Context, c *sftp.Config, ask *asker) error {
	if len(c.HostKey) > 0 || c.KnownHosts != "" {
		return nil
	}
	line, fingerprint, err := sftp.HostKey(ctx, *c)
	if err != nil {
		return err
	}
	kind, _, _ := strings.Cut(line, " ")
	fmt.Fprintf(ask.out, "The server %s shows the host key %s (%s).\nOn the server, `ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub` prints it.\n", c.Host, fingerprint, kind)
	if !ask.quiet {
		same, err := ask.yes(ctx, "Is it the same")
		if err != nil {
			return err
		}
		if !same {
			return errors.New("the server's key was not accepted: another machine may stand in between, or the address is another one's")
		}
	}
	fmt.Fprintf(ask.out, "pinned: a server with another key will be refused\n")
	c.HostKey = []string{line}
	return nil
}
