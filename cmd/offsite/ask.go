package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"offsite/configs"
	"offsite/providers/sftp"
)

// asker asks questions on standard error and reads answers from standard input, or asks nothing.
type asker struct {
	in    *bufio.Reader
	out   io.Writer
	tty   int // file descriptor of a terminal, or -1
	quiet bool
}

func newAsker(std streams, quiet bool) *asker {
	a := &asker{in: bufio.NewReader(std.in), out: std.err, tty: -1, quiet: quiet}
	if f, ok := std.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.tty = int(f.Fd())
	}
	return a
}

// line is the answer, empty if there is none or nothing is asked.
func (a *asker) line(prompt string) string {
	if a.quiet {
		return ""
	}
	fmt.Fprintf(a.out, "%s: ", prompt)
	answer, err := a.in.ReadString('\n')
	if err != nil {
		fmt.Fprintln(a.out)
	}
	return strings.TrimSpace(answer)
}

// secret is an answer that does not show on a terminal.
func (a *asker) secret(prompt string) string {
	if a.quiet || a.tty < 0 {
		return a.line(prompt)
	}
	fmt.Fprintf(a.out, "%s (does not show): ", prompt)
	b, err := term.ReadPassword(a.tty)
	fmt.Fprintln(a.out)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// yes is true for a clear yes.
func (a *asker) yes(prompt string) bool {
	answer := strings.ToLower(a.line(prompt + " [yes/no]"))
	return answer == "yes" || answer == "y"
}

// askPlaces asks for targets until there is one and an empty answer.
func (a *answers) askPlaces(ask *asker) {
	prompt := "Place for the backups: " + configs.PlaceForms
	for {
		place := ask.line(prompt)
		if place == "" {
			return
		}
		if _, err := parseNamed(place, "target"); err != nil {
			fmt.Fprintf(ask.out, "%v\n", err)
			continue
		}
		a.places = append(a.places, place)
		prompt = "Another place (empty: no more)"
	}
}

// askAccess asks for the keys of a place where it has none, and pins the key of an SSH server.
func (a *answers) askAccess(ctx context.Context, t *configs.Target, dir string, ask *asker) error {
	switch {
	case t.MinIO != nil:
		return askKeys(t.Name, dir, &t.MinIO.AccessKeyFile, &t.MinIO.SecretKeyFile, ask)
	case t.S3 != nil:
		return askKeys(t.Name, dir, &t.S3.AccessKeyFile, &t.S3.SecretKeyFile, ask)
	case t.SFTP != nil:
		if err := pinHostKey(ctx, t.SFTP, ask); err != nil {
			return err
		}
		if t.SFTP.KeyFile == "" && t.SFTP.PasswordFile == "" && t.SFTP.AgentSocket == "" {
			key := ask.line(t.Name + ": file with the private SSH key (empty: the key agent, or ~/.ssh/id_*)")
			if key == "" {
				return nil
			}
			var err error
			t.SFTP.KeyFile, err = filepath.Abs(key)
			return err
		}
	}
	return nil
}

// askKeys writes the keys of a bucket into files of their own, which only root reads.
func askKeys(name, dir string, accessFile, secretFile *string, ask *asker) error {
	if *accessFile != "" || *secretFile != "" {
		return nil
	}
	access := ask.line(name + ": access key (empty: from the environment, a profile or the machine's role)")
	if access == "" {
		return nil
	}
	secret := ask.secret(name + ": secret key")
	if secret == "" {
		return usageError{errors.New("an access key needs its secret key")}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	*accessFile, *secretFile = filepath.Join(dir, name+"-access-key"), filepath.Join(dir, name+"-secret-key")
	if err := newFile(*accessFile, []byte(access+"\n"), 0o600); err != nil {
		return err
	}
	return newFile(*secretFile, []byte(secret+"\n"), 0o600)
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
	if !ask.quiet && !ask.yes("Is it the same") {
		return usageError{errors.New("the server's key was not accepted: nothing was written")}
	}
	fmt.Fprintf(ask.out, "pinned: a server with another key will be refused\n")
	c.HostKey = []string{line}
	return nil
}
