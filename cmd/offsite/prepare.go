package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"offsite/configs"
	"offsite/crypto"
)

// ensureSigner makes the signing key if it is missing, and gives its verifier key.
func ensureSigner(path, host string, std streams) (string, error) {
	if s, err := crypto.LoadSigner(path); err == nil {
		return s.VerifierKey(), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	skey, vkey, err := crypto.GenerateSigner(host)
	if err != nil {
		return "", usageError{err}
	}
	if err := newFile(path, []byte(skey+"\n"+vkey+"\n"), 0o600); err != nil {
		return "", err
	}
	fmt.Fprintf(std.err, "made the signing key %s\n", path)
	return vkey, nil
}

// newFile writes a file that must not be there yet.
func newFile(path string, b []byte, mode fs.FileMode) error {
	err := writeFile(path, false, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, perhaps of an earlier init: move it away first", path)
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// kitLacks names the targets of the configuration that the recovery kit does not have, if it still lies there.
func kitLacks(path string, c *configs.Config) (lacking []string) {
	k, err := openKit(path)
	if err != nil {
		return nil
	}
	defer k.Remove()
	had, err := k.config()
	if err != nil {
		return nil
	}
	for _, t := range c.Targets {
		if !slices.ContainsFunc(had.Targets, func(other configs.Target) bool { return other.Name == t.Name }) {
			lacking = append(lacking, t.Name)
		}
	}
	return lacking
}

// prepare makes what an existing configuration lacks, and tries each target but those that were tried.
func prepare(ctx context.Context, path string, tried map[string]bool, std streams) error {
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return err
	}
	had := exists(c.SigningKey)
	key, err := ensureSigner(c.SigningKey, c.Host, std)
	if err != nil {
		return err
	}
	if !had {
		fmt.Fprintf(std.err, "WARNING: the signing key was missing, and this is a new one. What the old one signed is not trusted until its verifier key,\nwhich the recovery kit has, is under trust: in %s. The kit does not know the new one; add this line to its trust.txt:\n%s\n", path, key)
	}
	if lacking := kitLacks(filepath.Join(filepath.Dir(path), kitName), c); len(lacking) > 0 {
		fmt.Fprintf(std.err, "WARNING: the recovery kit does not know the targets %s: in a disaster nobody would look there. Put the configuration and the keys of today into it,\nas it has those of before; wherever you keep copies of it, too\n", strings.Join(lacking, ", "))
	}
	var failed []error
	for _, t := range c.Targets {
		if tried[t.Name] {
			continue
		}
		if err := trial(ctx, c, 0, t, std.err); err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", t.Name, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%w\n%w", errUnprepared, err)
	}
	return nil
}
