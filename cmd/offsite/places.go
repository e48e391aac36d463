package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"offsite/configs"
	"offsite/providers/dir"
	"offsite/providers/minio"
	"offsite/providers/s3"
	"offsite/providers/sftp"
)

// draft is a target that is being asked for. Its secrets are values until the configuration is written.
type draft struct {
	configs.Target
	named   bool // by a person
	secrets []secretFile
}

// secretFile is a secret that was typed, and gets a file of its own.
type secretFile struct {
	path  string
	value string
	// name makes the target name the file instead of holding the value.
	name func(path string)
}

// askTargets completes the targets: those of the flags, and those that are asked for.
func (a *answers) askTargets(ctx context.Context, ask *asker) error {
	for i, place := range a.places {
		t, err := parseNamed(place, fmt.Sprintf("target%d", i+1))
		if err != nil {
			return usageError{err}
		}
		if err := a.settle(ctx, &draft{Target: t, named: true}, ask); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	if len(a.places) > 0 {
		return nil
	}
	fmt.Fprint(ask.out, menu)
	for {
		prompt := "Where should the backups go"
		if len(a.Targets) > 0 {
			prompt = "Another place (empty: no more)"
		}
		d, err := a.askPlace(ctx, prompt, nil, ask)
		if err != nil || d == nil && len(a.Targets) > 0 {
			return err
		}
		if d == nil {
			fmt.Fprintln(ask.out, "At least one is needed.")
			continue
		}
		if err := a.settle(ctx, d, ask); err != nil {
			return err
		}
	}
}

const menu = `
Places for the backups; two that do not burn together are best:
  1  an SSH server (SFTP)
  2  a mounted directory: a NAS or another disk
  3  MinIO, or another store that speaks S3
  4  AWS S3
Or the place in one line: ` + configs.PlaceForms + `.
`

// askPlace asks for a place; nil: an empty answer. before, if it is there, has what was answered last time.
func (a *answers) askPlace(ctx context.Context, prompt string, before *draft, ask *asker) (*draft, error) {
	usual := ""
	if before != nil {
		usual = before.number()
	}
	var parsed configs.Target
	n, answer, err := ask.choose(ctx, prompt+" (1-4, or a place)", usual, 4, func(s string) (err error) {
		if s == "" {
			return nil
		}
		parsed, err = parseNamed(s, "")
		if err == nil && parsed.Dir != nil && !strings.Contains(s, "/") {
			err = fmt.Errorf("%s: write the number, or the whole path of a directory, such as /mnt/nas/backups", s)
		}
		return err
	})
	if errors.Is(err, errNoAnswer) && before == nil && len(a.Targets) > 0 {
		return nil, nil // no more
	}
	if err != nil || n == 0 && answer == "" {
		return nil, err
	}
	d := &draft{Target: parsed, named: parsed.Name != ""}
	if n > 0 {
		if err := a.askKind(ctx, d, n, before, ask); err != nil {
			return nil, err
		}
	}
	if d.Name == "" {
		d.Name = a.freeName(d.Target)
	}
	return d, nil
}

// number is the target's kind in the menu.
func (d *draft) number() string {
	switch {
	case d.SFTP != nil:
		return "1"
	case d.Dir != nil:
		return "2"
	case d.MinIO != nil:
		return "3"
	}
	return "4"
}

var letters = regexp.MustCompile(`[^a-z0-9-]+`)

// freeName is a name for a target that no other has.
func (a *answers) freeName(t configs.Target) string {
	name := "aws"
	switch {
	case t.Dir != nil:
		name = "disk"
	case t.MinIO != nil:
		name = "store"
	case t.SFTP != nil:
		name = "ssh"
		if first, _, _ := strings.Cut(strings.ToLower(t.SFTP.Host), "."); net.ParseIP(t.SFTP.Host) == nil {
			name = cmp.Or(strings.Trim(letters.ReplaceAllString(first, "-"), "-"), name)
		}
	}
	for n := 1; ; n++ {
		full := name
		if n > 1 {
			full += strconv.Itoa(n)
		}
		if !a.taken(full) {
			return full
		}
	}
}

func (a *answers) taken(name string) bool {
	for _, t := range a.Targets {
		if t.Name == name {
			return true
		}
	}
	return false
}

// askKind asks for what a place of that kind must have.
func (a *answers) askKind(ctx context.Context, d *draft, kind int, before *draft, ask *asker) error {
	if before == nil {
		before = &draft{}
	}
	switch kind {
	case 1:
		return askServer(ctx, d, before.SFTP, ask)
	case 2:
		d.Dir = &dir.Config{}
		return askUntil(ctx, ask, "Directory where it is mounted", valueOf(before.Dir, func(c *dir.Config) string { return c.Path }), func(s string) (err error) {
			if s == "" {
				return errors.New("write a directory, such as /mnt/nas/backups")
			}
			d.Dir.Path, err = filepath.Abs(expand(s))
			return err
		})
	case 3:
		c := &minio.Config{}
		d.MinIO = c
		if err := askUntil(ctx, ask, "Address of the store, such as https://minio.lan:9000", valueOf(before.MinIO, func(c *minio.Config) string { return c.Endpoint }), func(s string) error {
			c.Endpoint, c.Bucket = s, "x"
			return c.Validate()
		}); err != nil {
			return err
		}
		return askBucket(ctx, &c.Bucket, &c.Prefix, valueOf(before.MinIO, func(c *minio.Config) string { return path.Join(c.Bucket, c.Prefix) }), ask)
	}
	c := &s3.Config{}
	d.S3 = c
	if err := askBucket(ctx, &c.Bucket, &c.Prefix, valueOf(before.S3, func(c *s3.Config) string { return path.Join(c.Bucket, c.Prefix) }), ask); err != nil {
		return err
	}
	return askUntil(ctx, ask, "Region", cmp.Or(valueOf(before.S3, func(c *s3.Config) string { return c.Region }), os.Getenv("AWS_REGION"), "eu-central-1"), func(s string) error {
		c.Region = s
		return nil
	})
}

// valueOf is a value of what was answered before; empty if nothing was.
func valueOf[T any](c *T, value func(*T) string) string {
	if c == nil {
		return ""
	}
	return value(c)
}

// askUntil asks until take has nothing against the answer.
func askUntil(ctx context.Context, ask *asker, prompt, usual string, take func(string) error) error {
	for {
		answer, err := ask.line(ctx, prompt, usual)
		if err != nil {
			return err
		}
		if err = take(answer); err == nil {
			return nil
		}
		fmt.Fprintln(ask.out, err)
	}
}

func askBucket(ctx context.Context, bucket, prefix *string, usual string, ask *asker) error {
	return askUntil(ctx, ask, "Bucket, or bucket/prefix", usual, func(s string) error {
		*bucket, *prefix, _ = strings.Cut(strings.Trim(s, "/"), "/")
		if *bucket == "" {
			return errors.New("write the name of a bucket that exists")
		}
		return nil
	})
}

// askServer asks for an SSH server and the directory there.
func askServer(ctx context.Context, d *draft, before *sftp.Config, ask *asker) error {
	usual, path := "", "offsite"
	if before != nil {
		usual, path = before.User+"@"+before.Host, before.Path
		if before.Port != 0 {
			usual += ":" + strconv.Itoa(before.Port)
		}
	}
	err := askUntil(ctx, ask, "Server, as user@host or user@host:port", usual, func(s string) error {
		user, _, has := strings.Cut(strings.TrimPrefix(s, "sftp://"), "@")
		if !has || user == "" {
			return errors.New("write the user too, such as backup@server.example.org")
		}
		t, err := configs.ParsePlace("sftp://"+strings.TrimPrefix(s, "sftp://"), nil)
		d.SFTP = t.SFTP
		return err
	})
	if err != nil {
		return err
	}
	if d.SFTP.Path != "" {
		return nil
	}
	d.SFTP.Path, err = ask.line(ctx, "Directory there, below the one that the login leads to", path)
	return err
}

// settle completes a target, tries it, and lets a person who can be asked correct what does not work. The target is added, unless it
// is to be left out.
func (a *answers) settle(ctx context.Context, d *draft, ask *asker) error {
	for {
		undo := a.undoable(d.Target)
		err := a.fits(d.Target)
		if err == nil {
			err = a.askAccess(ctx, d, ask)
		}
		if err == nil && ask.quiet {
			a.add(d) // it is tried when all is written
			return nil
		}
		if err == nil {
			err = a.trial(ctx, d.Target, ask.out)
		}
		if err == nil {
			a.add(d)
			a.tried[d.Name] = true
			a.undo = append(a.undo, undo)
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, errNoAnswer) || ask.quiet {
			undo()
			return err
		}
		fmt.Fprintf(ask.out, "target %s: %v\n", d.Name, err)
		next, err := a.afterFailure(ctx, d, ask)
		if err != nil || next == nil {
			undo()
			return err
		}
		if next == d && !a.again {
			a.add(d)
			a.undo = append(a.undo, undo)
			return nil
		}
		undo()
		d = next
	}
}

// fits says why a target cannot stand beside what was answered before.
func (a *answers) fits(t configs.Target) error {
	if a.taken(t.Name) {
		return usageError{fmt.Errorf("the name %s is taken by another target", t.Name)}
	}
	return a.check(append(slices.Clone(a.Targets), t), true)
}

// check reads a configuration of what was answered so far, and gives what is wrong with its targets, or with all else.
func (a *answers) check(targets []configs.Target, ofTargets bool) error {
	some := *a
	some.Targets = targets
	if len(some.Recipients) == 0 {
		var err error
		if _, some.Recipients, err = newKey(); err != nil {
			return err
		}
	}
	text, err := some.render()
	if err != nil {
		return err
	}
	_, err = configs.Parse(filepath.Join(a.dir, "offsite.yaml"), text, configChecks())
	var mistakes *configs.Error
	if !errors.As(err, &mistakes) {
		return err
	}
	var errs []error
	for _, m := range mistakes.Mistakes {
		if strings.HasPrefix(m.Key, "targets") == ofTargets {
			errs = append(errs, fmt.Errorf("%s: %s", m.Key, m.Problem))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return usageError{errors.Join(errs...)}
}

// afterFailure asks what to do with a target that does not work: nil leaves it out; d itself is kept, or tried again if a.again.
func (a *answers) afterFailure(ctx context.Context, d *draft, ask *asker) (*draft, error) {
	fmt.Fprintln(ask.out, "  1  correct it\n  2  try again\n  3  leave it out\n  4  keep it as it is; the agent tries again and again")
	n, _, err := ask.choose(ctx, "What now", "1", 4, nil)
	a.again = n == 2
	switch {
	case err != nil || n == 3:
		return nil, err
	case n == 1:
		corrected, err := a.askPlace(ctx, "Where should they go", d, ask)
		if corrected != nil && d.named && !corrected.named {
			corrected.Name, corrected.named = d.Name, true
		}
		return corrected, err
	}
	return d, nil
}

func (a *answers) add(d *draft) {
	a.Targets = append(a.Targets, d.Target)
	a.secrets = append(a.secrets, d.secrets...)
}

// undoable notes what a target's directory is before it is prepared, and gives what takes that back.
func (a *answers) undoable(t configs.Target) (undo func()) {
	if t.Dir == nil || exists(filepath.Join(t.Dir.Path, dir.Marker)) {
		return func() {}
	}
	made := []string{filepath.Join(t.Dir.Path, dir.Marker)}
	for p := t.Dir.Path; p != "/" && p != "."; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, p)
	}
	return func() {
		for _, p := range made {
			os.Remove(p) // what somebody else has put something into stays
		}
	}
}
