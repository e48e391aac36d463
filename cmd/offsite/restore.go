package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"offsite/agent"
	"offsite/agent/dump"
	"offsite/agent/vault"
	"offsite/crypto"
)

// restoring is what one restore is asked to do.
type restoring struct {
	*opened
	what     string
	at       time.Time // zero: the newest
	output   string    // "-": standard output, "": the dump's own name, here
	force    bool
	ids      []age.Identity
	progress *progress
	streamed int64 // bytes that went to standard output
}

func restoreCommand(config *string, std streams) *cobra.Command {
	var at, identity string
	var where bare
	var r restoring
	cmd := &cobra.Command{
		Use: "restore SERIES|NAME", Short: "Bring a dump back", Args: usage(cobra.ExactArgs(1)),
		Long: `Restores the newest backup of a series, or the dump of that file or object name. --at takes the newest at or before a
time. On a machine without configuration and state, --kit takes all that is needed from the recovery kit, or --from
names a place with backups and --identity the secret key.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.what = args[0]
			if r.at, err = parseAt(at); err != nil {
				return err
			}
			o, err := where.open(*config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.Close()) }()
			if r.ids, err = o.identities(identity); err != nil {
				return usageError{err}
			}
			r.opened = o
			limitMemory(vault.ReadAhead)
			r.progress = newProgress(std.err)
			err = r.run(cmd.Context(), std)
			r.progress.wait()
			return err
		},
	}
	where.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&at, "at", "", "the newest at or before this time: 2026-11-22, \"2026-11-22 03:00\" or RFC 3339")
	f.StringVar(&identity, "identity", "", "file with the secret key (age or OpenSSH); that of the kit unless set")
	f.StringVarP(&r.output, "output", "o", "", "file to write, - for standard output; the dump's own name in this directory unless set")
	f.BoolVar(&r.force, "force", false, "replace an existing file")
	return cmd
}

func parseAt(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("2006-01-02", s, time.Local); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Second), nil // all of that day
	}
	return time.Time{}, usageError{fmt.Errorf("--at %q: write a time such as 2026-11-22 or \"2026-11-22 03:00\"", s)}
}

// askPassphrase asks on the terminal, not on standard input.
func askPassphrase(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("a passphrase is needed, and there is no terminal to ask for it")
	}
	defer tty.Close()
	fmt.Fprint(tty, prompt)
	defer fmt.Fprintln(tty)
	return term.ReadPassword(int(tty.Fd()))
}

// run tries the targets in order until one gives the dump. What failed before is said, so that nobody believes in a
// target that is damaged.
func (r *restoring) run(ctx context.Context, std streams) error {
	var errs []error
	for _, t := range r.targets {
		err := r.from(ctx, t, std)
		if err == nil {
			for _, e := range errs {
				fmt.Fprintf(std.err, "warning: %v\n", e)
			}
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", t.Name, err))
		if ctx.Err() != nil || errors.As(err, new(usageError)) || errors.Is(err, fs.ErrExist) {
			break
		}
		if r.streamed > 0 {
			errs = append(errs, fmt.Errorf("%d bytes had gone to the output, which is not the whole dump; no other target was tried: restore to a file, or name one with --target", r.streamed))
			break
		}
	}
	return errors.Join(certain(errs)...)
}

// certain keeps "not found" for when every target was asked and none has it: elsewhere it would be taken for proof.
func certain(errs []error) []error {
	missing := func(err error) bool { return errors.Is(err, errNotFound) || errors.Is(err, fs.ErrNotExist) }
	if !slices.ContainsFunc(errs, func(err error) bool { return !missing(err) }) {
		return errs
	}
	for i, err := range errs {
		if missing(err) {
			errs[i] = errors.New(err.Error())
		}
	}
	return errs
}

func (r *restoring) from(ctx context.Context, t agent.Target, std streams) error {
	v := vault.New(t, r.keys)
	e, err := r.choose(ctx, v)
	if err != nil {
		return err
	}
	m, signer, err := v.Manifest(ctx, e.Name)
	if err != nil {
		return fmt.Errorf("%w; try another target, or an older backup with --at", err)
	}
	if r.keys == nil {
		fmt.Fprintf(std.err, "warning: the signer %s was not checked; --trust KEY checks it\n", signer)
	}
	if m.Health.State == dump.Suspect {
		fmt.Fprintf(std.err, "WARNING: this dump is suspect: %s\n", m.Health.Reason)
	}
	where, err := r.write(ctx, v, m, t.Name, std)
	if err != nil && !strings.Contains(err.Error(), m.Object) {
		err = fmt.Errorf("%s: %w", m.Object, err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "restored %s, taken %s, %d bytes, to %s\n", printable(m.Name), m.Taken.Format(time.RFC3339), m.Size, where)
	return nil
}

// choose finds the newest matching backup: the one taken last, and of several with the same time, which a file that was
// written over has, the one that the host found last.
func (r *restoring) choose(ctx context.Context, v *vault.Vault) (best vault.Entry, err error) {
	hosts := map[string]bool{}
	var latest []vault.Entry
	for e, err := range v.List(ctx, r.host) {
		if err != nil {
			return best, err
		}
		if !e.Manifest || !r.matches(e) || !r.at.IsZero() && e.Taken.After(r.at) {
			continue
		}
		hosts[e.Host] = true
		if len(latest) == 0 || e.Taken.After(latest[0].Taken) {
			latest = latest[:0]
		}
		if len(latest) == 0 || e.Taken.Equal(latest[0].Taken) {
			latest = append(latest, e)
		}
	}
	if len(hosts) > 1 {
		return best, usageError{fmt.Errorf("several hosts have %q: name one with --host", r.what)}
	}
	switch len(latest) {
	case 0:
		return best, fmt.Errorf("%q: %w; `offsite list` shows what is there", r.what, errNotFound)
	case 1:
		return latest[0], nil
	}
	var found time.Time
	for _, e := range latest {
		m, _, err := v.Manifest(ctx, e.Name)
		if err != nil {
			return best, fmt.Errorf("%w; nobody can tell which of the backups of %s is the newest: name one of %s", err, e.Taken.Format(time.RFC3339), objectsOf(latest))
		}
		if best.ID == "" || m.Found.After(found) {
			best, found = e, m.Found
		}
	}
	return best, nil
}

func objectsOf(entries []vault.Entry) string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Object)
	}
	return strings.Join(names, ", ")
}

// matches compares a listed backup with what was asked for: its series, its object, or its file name, which an object's
// name may have in part only.
func (r *restoring) matches(e vault.Entry) bool {
	if r.what == e.Series || r.what == e.Name.String() {
		return true
	}
	asked, err := vault.NewName(e.Host, e.Series, e.Taken, e.ID, r.what)
	return err == nil && asked.File == e.File
}

// write brings the plaintext to where it belongs, and says where that is. A file appears whole or not at all.
func (r *restoring) write(ctx context.Context, v *vault.Vault, m *vault.Manifest, target string, std streams) (string, error) {
	data := v.Open(ctx, m)
	defer data.Close()
	r.progress.Started(target, m.Name, m.Stored)
	plain, err := crypto.OpenStream(&counted{data, func(n int64) { r.progress.Sent(target, m.Name, n) }}, r.ids...)
	if err != nil {
		r.progress.Ended(target, m.Name, err)
		return "", err
	}
	where := r.output
	info, statErr := os.Stat(where)
	switch {
	case where == "":
		where = filepath.Base(m.Name)
	case statErr == nil && info.IsDir():
		where = filepath.Join(where, filepath.Base(m.Name))
	}
	if where == "-" {
		where = "standard output"
		err = copyAll(&written{std.out, &r.streamed}, plain, m)
	} else if statErr == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = r.writeThrough(where, plain, m) // a device or a pipe is there to be written to, not to be replaced
	} else {
		if err = roomFor(filepath.Dir(where), m.Size); err == nil {
			err = writeFile(where, r.force, func(f *os.File) error {
				if err := copyAll(f, plain, m); err != nil {
					return err
				}
				return r.dress(f, m, std)
			})
		}
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w; -o names another file, --force replaces it", err)
		}
	}
	r.progress.Ended(target, m.Name, err)
	return where, err
}

// roomFor says that a directory's file system has too little space, before hours are spent on finding that out.
func roomFor(dir string, bytes int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil // what is wrong with it shows when the file is made
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < bytes {
		return fmt.Errorf("%s has room for %s, the dump needs %s; -o names another place", dir, humanize.IBytes(uint64(free)), humanize.IBytes(uint64(bytes)))
	}
	return nil
}

// dress gives the restored file the mode and time that the dump had on its host, and as root the owner.
func (r *restoring) dress(f *os.File, m *vault.Manifest, std streams) error {
	p, err := m.Private(r.ids...)
	if err != nil {
		fmt.Fprintf(std.err, "warning: the file's mode and time are not known: %v\n", err)
		return nil
	}
	if os.Geteuid() == 0 {
		if err := f.Chown(int(p.UID), int(p.GID)); err != nil {
			fmt.Fprintf(std.err, "warning: the file belongs to root: %v\n", err) // some file systems know no owners
		}
	}
	if err := f.Chmod(os.FileMode(p.Mode) & os.ModePerm); err != nil {
		fmt.Fprintf(std.err, "warning: the file's mode is not that of the dump: %v\n", err)
	}
	return os.Chtimes(f.Name(), time.Time{}, p.MTime)
}

// writeThrough writes to a device or a pipe.
func (r *restoring) writeThrough(path string, plain io.Reader, m *vault.Manifest) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(copyAll(&written{f, &r.streamed}, plain, m), f.Close())
}

func copyAll(w io.Writer, plain io.Reader, m *vault.Manifest) error {
	n, err := io.Copy(w, plain)
	if err == nil && n != m.Size {
		err = fmt.Errorf("%w: it holds %d bytes, its manifest says %d", vault.ErrIntegrity, n, m.Size)
	}
	return err
}

type counted struct {
	io.Reader
	read func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read(int64(n))
	return n, err
}

// written counts what went out.
type written struct {
	io.Writer
	bytes *int64
}

func (w *written) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	*w.bytes += int64(n)
	return n, err
}
