package doctor

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"

	"offsite/crypto"
)

func (p *Patient) keys(as account, r reached) Group {
	g := Group{Title: "keys"}
	p.signingKey(&g)
	p.recipients(&g)
	p.secretKeys(&g)
	for _, d := range p.Config.Drills {
		if !slices.Contains(r.Readable, d.IdentityFile) || d.IdentityFile == "" {
			continue
		}
		remedy := "let drills run as another user, or give it to their service alone (LoadCredential=), and take the right to read it from " + as.String()
		g.warning("drill-identity", remedy, "%s, the secret key of drill %s, can be read by %s, whom the agent runs as: whoever takes over the agent can read all backups", d.IdentityFile, d.Name, as)
	}
	return g
}

func (p *Patient) signingKey(g *Group) {
	path := p.Config.SigningKey
	if errors.Is(p.SignerErr, fs.ErrNotExist) || missing(path) {
		g.problem("signing-key", "put it back from a backup of "+filepath.Dir(path)+"; if it is lost, `offsite init` makes a new one, and the verifier key of the old one, which the recovery kit has, belongs under trust:",
			"the signing key %s is missing: nothing can be shipped", path)
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && !isCredential(path) {
		g.problem("signing-key", "chmod 600 "+path+"; if others could read it for a while, they can sign backups in this host's name: make a new one",
			"others may read the signing key %s (mode %s): nothing is shipped", path, octal(info.Mode()))
		return
	}
	if p.SignerErr != nil {
		g.problem("signing-key", "put it back from a backup of "+filepath.Dir(path), "%v", p.SignerErr)
		return
	}
	g.ok("signing-key", "the signing key %s is there, and its owner's alone", path)
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (p *Patient) recipients(g *Group) {
	if n := len(p.Config.Recipients); n > 1 {
		g.ok("recipients", "dumps are sealed for %d keys: if one is lost, another opens them", n)
		return
	}
	g.warning("recipients", "make a second key on another machine (`offsite keygen`), keep its secret key offline, and add its public key under recipients:",
		"dumps are sealed for one key only: if that is lost, so are all backups")
}

// secretKeys looks where people leave secret keys that open the backups: this host must not read its own past.
func (p *Patient) secretKeys(g *Group) {
	found := false
	for _, kit := range p.Kits {
		if path := p.beside(kit); !missing(path) {
			found = true
			g.warning("kit", "copy it to two places off this host, on paper or on a stick in a safe, and remove it here: `shred -u "+path+"`", "the recovery kit %s still lies on this host: whoever breaks in can read every backup, and when the host is gone, so is the kit", path)
		}
	}
	recipients, err := crypto.ParseRecipients(p.Config.Recipients)
	if err != nil {
		return
	}
	sealed, err := crypto.SealBytes(recipients, []byte("whoever reads this can read the backups"))
	if err != nil {
		return
	}
	for _, path := range p.whereKeysLie() {
		if opens(path, sealed) {
			found = true
			g.warning("identity", "move it off this host, or, if drills need it, name it as their identity_file and give it to them alone", "%s holds a secret key that opens the backups: whoever breaks in can read all of them", path)
		}
	}
	if !found {
		g.ok("identity", "no secret key that opens the backups was found where such keys usually lie on this host")
	}
}

// whereKeysLie are files beside the configuration, in the state directory, and where age, sops and ssh keep keys.
func (p *Patient) whereKeysLie() (paths []string) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	for _, dir := range []string{filepath.Dir(p.Path), p.Config.State, home, filepath.Join(home, ".age"), filepath.Join(home, ".config", "age"), filepath.Join(home, ".config", "sops", "age"), filepath.Join(home, ".ssh")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() <= mostKeyFile && !p.known(path) && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// mostKeyFile is more than files of keys have.
const mostKeyFile = 64 << 10

// known says whether the file is looked at elsewhere.
func (p *Patient) known(path string) bool {
	for _, d := range p.Config.Drills {
		if d.IdentityFile == path {
			return true
		}
	}
	return path == p.Path || path == p.Config.SigningKey || slices.Contains(p.Kits, filepath.Base(path)) && filepath.Dir(path) == filepath.Dir(p.Path)
}

var ageKey = regexp.MustCompile(`AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]+`)

// opens says whether a file holds a secret key that opens what was sealed. One that has a passphrase does not count.
func opens(path string, sealed []byte) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	defer clear(b)
	var ids []age.Identity
	if keys := ageKey.FindAll(b, 100); keys != nil {
		ids, err = crypto.ParseIdentities(bytes.Join(keys, []byte("\n")), path, nil)
	} else if strings.HasPrefix(string(b), "-----BEGIN") && bytes.Contains(b, []byte("PRIVATE KEY")) {
		ids, err = crypto.ParseIdentities(b, path, nil)
	}
	if err != nil || len(ids) == 0 {
		return false
	}
	_, err = crypto.OpenBytes(sealed, ids...)
	return err == nil
}
