package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"offsite/agent/dump"
	"offsite/agent/vault"
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
	talk     io.Writer
	now      func() time.Time
	streamed int64 // bytes that went out and cannot be taken back
}

func restoreCommand(config *string, std streams) *cobra.Command {
	var at, identity string
	var where bare
	r := restoring{now: time.Now}
	cmd := &cobra.Command{
		Use: "restore SERIES|NAME", Short: "Bring a dump back", Args: usage(cobra.ExactArgs(1)),
		Long: `Restores the newest healthy backup of a series, or the dump of that file or object name. --at takes the newest healthy
one at or before a time. All targets are asked, and what one does not give comes from the next, in the middle too. A file
that was broken off is gone on with by the same command. On a machine without configuration and state, --kit takes all
that is needed from the recovery kit, or --from names a place with backups and --identity the secret key.

--as-of restores what was deleted or written over since, from buckets that keep versions: name a time before that happened.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.what = args[0]
			if r.at, err = parseTime("--at", at); err != nil {
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
			o.note(std.err)
			r.opened = o
			r.progress, r.talk = newProgress(std.err), std.err
			err = r.run(cmd.Context(), std)
			r.progress.wait()
			return err
		},
	}
	where.flags(cmd)
	where.history(cmd)
	f := cmd.Flags()
	f.StringVar(&at, "at", "", "the newest at or before this time: 2026-11-22, \"2026-11-22 03:00\" or RFC 3339")
	f.StringVar(&identity, "identity", "", "file with the secret key (age or OpenSSH); that of the kit unless set")
	f.StringVarP(&r.output, "output", "o", "", "file to write, - for standard output; the dump's own name in this directory unless set")
	f.BoolVar(&r.force, "force", false, "replace an existing file")
	return cmd
}

// parseTime reads the value of a flag that names a time; a day is all of it. Empty: the zero time.
func parseTime(flag, s string) (time.Time, error) {
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
	return time.Time{}, usageError{fmt.Errorf("%s %q: write a time such as 2026-11-22 or \"2026-11-22 03:00\"", flag, s)}
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

// run finds the backup, says what speaks against it, and brings it back.
func (r *restoring) run(ctx context.Context, std streams) error {
	b, err := r.choose(ctx)
	if err != nil {
		return err
	}
	if b.m.Health.State == dump.Suspect {
		r.say("WARNING: this dump is suspect: %s", printable(b.m.Health.Reason))
	}
	where, err := r.write(ctx, b, std)
	if err != nil && !strings.Contains(err.Error(), b.Object) {
		err = fmt.Errorf("%s: %w", b.Object, err)
	}
	if errors.Is(err, vault.ErrIntegrity) && r.what == b.Series {
		err = older(err)
	}
	if err != nil && r.streamed > 0 {
		err = fmt.Errorf("%w\n%d bytes had gone to the output, which is not the whole dump", err, r.streamed)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "restored %s, taken %s, %d bytes, to %s\n", printable(b.m.Name), b.m.Taken.Format(time.RFC3339), b.m.Size, harmless(where))
	return nil
}

// say tells a person something while bars may be drawn.
func (r *restoring) say(format string, args ...any) {
	fmt.Fprintln(r.progress.over(r.talk), harmless(fmt.Sprintf(format, args...)))
}

// write brings the plaintext to where it belongs, and says where that is. A file appears whole or not at all.
func (r *restoring) write(ctx context.Context, b *backup, std streams) (where string, err error) {
	copies := vault.Copies{Identities: r.ids, Failed: func(err error) { r.say("warning: %v", err) }}
	for _, t := range b.copies() {
		copies.Vaults, copies.Names = append(copies.Vaults, vault.New(r.targets[t], r.keys)), append(copies.Names, r.targets[t].Name)
	}
	for _, t := range b.manifests {
		if !slices.Contains(b.copies(), t) {
			r.say("warning: %s: %s: its data is missing", r.targets[t].Name, b.Object)
		}
	}
	where = r.output
	info, statErr := os.Stat(where)
	if where == "" || statErr == nil && info.IsDir() {
		name, err := ownName(b.m)
		if err != nil {
			return "", err
		}
		where = filepath.Join(where, name)
	}
	switch {
	case where == "-":
		return "standard output", r.stream(ctx, copies, b.m, std.out)
	case statErr == nil && !info.IsDir() && !info.Mode().IsRegular():
		return where, r.writeThrough(ctx, copies, b.m, where) // a device or a pipe is there to be written to, not to be replaced
	}
	return where, r.writeFile(ctx, copies, b, where)
}

// ownName is the file name that the dump had, for a file here. Whoever signed the manifest chose it: one that hides the file, from
// which a shell may read what to do, or that draws something else on a terminal, is not taken.
func ownName(m *vault.Manifest) (string, error) {
	name := filepath.Base(m.Name)
	if strings.HasPrefix(name, ".") || name == "/" || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", usageError{fmt.Errorf("the dump calls itself %q, which is no name for a file here: -o names one", m.Name)}
	}
	return name, nil
}

// plain writes the dump to w.
func (r *restoring) plain(ctx context.Context, copies vault.Copies, m *vault.Manifest, w io.Writer) (err error) {
	from := strings.Join(copies.Names, ", ")
	r.progress.Started(from, m.Name, m.Size)
	defer func() { r.progress.Ended(from, m.Name, err) }()
	return copies.WritePlain(ctx, m, &counted{w, func(n int64) { r.progress.Sent(from, m.Name, n) }}, r.ids...)
}

func (r *restoring) stream(ctx context.Context, copies vault.Copies, m *vault.Manifest, w io.Writer) error {
	return r.plain(ctx, copies, m, &written{w, &r.streamed})
}

// writeThrough writes to a device or a pipe.
func (r *restoring) writeThrough(ctx context.Context, copies vault.Copies, m *vault.Manifest, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(r.stream(ctx, copies, m, f), f.Close())
}

type counted struct {
	io.Writer
	wrote func(int64)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.wrote(int64(n))
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
