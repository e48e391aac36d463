package crypto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// Ask asks a person for a passphrase.
type Ask func(prompt string) ([]byte, error)

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 1 << 20

// LoadIdentities reads the secret keys in a file: age identities (several, with comments), an OpenSSH private key, or
// an age file that holds identities under a passphrase. ask is asked for a passphrase when one is needed, for an SSH
// key only when a file is opened with it; nil: nobody can be asked. A file that others than its owner may read is
// refused, but for systemd credentials (files in $CREDENTIALS_DIRECTORY) and pipes.
func LoadIdentities(path string, ask Ask) ([]age.Identity, error) {
	b, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return ParseIdentities(b, path, ask)
}

// ParseIdentities is LoadIdentities for what has been read already; name is for messages.
func ParseIdentities(b []byte, name string, ask Ask) ([]age.Identity, error) {
	ids, err := parseIdentities(b, name, ask)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", name, err)
	}
	return ids, nil
}

// readKeyFile reads a file of secrets that nobody else may read.
func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory, not a key file", path)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && !isCredential(path) {
		return nil, fmt.Errorf("%s can be read by others than its owner (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("%s is larger than a key file can be", path)
	}
	return b, nil
}

// isCredential says whether systemd put the file there for this process alone. See systemd.exec(5), "CREDENTIALS".
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(filepath.Clean(path)) == filepath.Clean(dir)
}

func parseIdentities(b []byte, name string, ask Ask) ([]age.Identity, error) {
	text := bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(text, []byte(armor.Header)):
		return openIdentities(armor.NewReader(bytes.NewReader(text)), name, ask)
	case bytes.HasPrefix(b, []byte("age-encryption.org/")):
		return openIdentities(bytes.NewReader(b), name, ask)
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		id, err := parseSSH(b, name, ask)
		return []age.Identity{id}, err
	}
	return parseLines(b)
}

// openIdentities opens an identity file that is itself sealed with a passphrase.
func openIdentities(sealed io.Reader, name string, ask Ask) ([]age.Identity, error) {
	if ask == nil {
		return nil, errors.New("it is protected by a passphrase, and there is no terminal to ask for it")
	}
	passphrase, err := ask(fmt.Sprintf("Passphrase of %s: ", name))
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	id, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(sealed, id)
	if errors.As(err, new(*age.NoIdentityMatchError)) {
		return nil, errors.New("wrong passphrase, or it is sealed for a key and not with a passphrase")
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return parseLines(b)
}

// parseSSH reads an OpenSSH private key. The passphrase of one that has one is asked when it is first used.
func parseSSH(pem []byte, name string, ask Ask) (age.Identity, error) {
	id, err := agessh.ParseIdentity(pem)
	var missing *ssh.PassphraseMissingError
	if !errors.As(err, &missing) {
		return id, err
	}
	public := missing.PublicKey
	if public == nil {
		if public, err = sshPublic(name + ".pub"); err != nil {
			return nil, fmt.Errorf("it is protected by a passphrase, and its public key is needed too: %w", err)
		}
	}
	if ask == nil {
		return nil, errors.New("it is protected by a passphrase, and there is no terminal to ask for it")
	}
	return agessh.NewEncryptedSSHIdentity(public, bytes.Clone(pem), func() ([]byte, error) {
		return ask(fmt.Sprintf("Passphrase of %s: ", name))
	})
}

func sshPublic(path string) (ssh.PublicKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing", path)
	}
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	return key, err
}

// parseLines reads an age identity file: a key a line, empty lines and comments between. Errors give line numbers and
// never the line.
func parseLines(b []byte) ([]age.Identity, error) {
	var ids []age.Identity
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxKeyFile)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := parseIdentity(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("it holds no secret key: there should be a line AGE-SECRET-KEY-1..., or an OpenSSH private key")
	}
	return ids, nil
}

func parseIdentity(line string) (id age.Identity, err error) {
	switch {
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		id, err = plugin.NewIdentity(line, pluginUI())
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-"):
		id, err = age.ParseHybridIdentity(line)
	case strings.HasPrefix(line, "AGE-SECRET-KEY-"):
		id, err = age.ParseX25519Identity(line)
	case strings.HasPrefix(line, "age1") || strings.HasPrefix(line, "ssh-"):
		return nil, errors.New("this is a public key; the secret one is needed to open")
	default:
		return nil, errors.New("not a secret key")
	}
	if err != nil {
		return nil, errors.New("a damaged secret key") // age's words may hold part of it
	}
	return id, nil
}
