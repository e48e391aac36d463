package drill

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Every scratch database has a name of this pattern, and the mark as its comment. What lacks one of the two is not touched, unless
// the file of that name in State says that it was about to be made: the comment cannot be made in the same moment.
var scratchName = regexp.MustCompile(`^offsite_drill_[0-9a-f]{16}$`)

const mark = "offsite drill: a scratch database, which anybody may drop."

// comment is a mark with its owner, and until when it is used at most.
func (p *Postgres) comment(until time.Time) string {
	return fmt.Sprintf("%s Owner: %s. Until: %s", mark, p.owner(), until.UTC().Format(time.RFC3339))
}

// owner is Owner as a word.
func (p *Postgres) owner() string {
	return regexp.MustCompile(`[^A-Za-z0-9-]`).ReplaceAllString(p.Owner, "-")
}

var marked = regexp.MustCompile(`^` + regexp.QuoteMeta(mark) + ` Owner: ([A-Za-z0-9-]*)\. Until: (\S+)$`)

// create makes a scratch database.
func (p *Postgres) create(ctx context.Context, c *client) (name string, err error) {
	var b [8]byte
	rand.Read(b[:])
	name = "offsite_drill_" + hex.EncodeToString(b[:])
	if err := p.intend(name); err != nil {
		return "", err
	}
	if _, err := c.query(ctx, p.maintenance(c), "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';"); err != nil {
		return name, fmt.Errorf("cannot create a scratch database: %w", err)
	}
	_, err = c.query(ctx, p.maintenance(c), "COMMENT ON DATABASE "+name+" IS '"+p.comment(p.Now().Add(p.limit()))+"';")
	return name, err
}

// maintenance is the database to which the DSN leads.
func (p *Postgres) maintenance(c *client) string {
	for _, v := range c.env {
		if name, ok := strings.CutPrefix(v, "PGDATABASE="); ok {
			return name
		}
	}
	return "postgres"
}

// intend notes that a database is about to be made; State empty: it is not noted.
func (p *Postgres) intend(name string) error {
	if p.State == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(p.State, name), nil, 0o600)
}

func (p *Postgres) intended(name string) bool {
	_, err := os.Lstat(filepath.Join(p.State, name))
	return p.State != "" && err == nil
}

// drop removes a scratch database with whoever is connected to it, once its name and mark are seen again.
func (p *Postgres) drop(ctx context.Context, c *client, name string) error {
	if !scratchName.MatchString(name) {
		return fmt.Errorf("%s is no scratch database: it stays", name)
	}
	said, err := c.query(ctx, p.maintenance(c), "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = '"+name+"';")
	if err != nil {
		return err
	}
	if said != "" && !marked.MatchString(said) || said == "" && !p.intended(name) {
		there, err := c.query(ctx, p.maintenance(c), "SELECT count(*) FROM pg_database WHERE datname = '"+name+"';")
		if err != nil || there != "0" {
			return errors.Join(fmt.Errorf("database %s has no mark of a drill: it stays", name), err)
		}
	}
	_, err = c.query(ctx, p.maintenance(c), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '"+name+"';\nDROP DATABASE IF EXISTS "+name+";")
	if err != nil {
		return fmt.Errorf("cannot drop the scratch database %s: %w", name, err)
	}
	if p.State == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(p.State, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweep drops what interrupted drills of this Owner left, and what those of others left whose time is over.
func (p *Postgres) sweep(ctx context.Context, c *client) (swept []string, err error) {
	list, err := c.query(ctx, p.maintenance(c), `SELECT datname || ' ' || coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname ~ '^offsite_drill_[0-9a-f]{16}$' ORDER BY 1;`)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		name, said, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		m := marked.FindStringSubmatch(said)
		switch {
		case m == nil && (said != "" || !p.intended(name)):
			continue
		case m != nil && m[1] != p.owner():
			if until, err := time.Parse(time.RFC3339, m[2]); err != nil || p.Now().Before(until) {
				continue
			}
		}
		if err := p.drop(ctx, c, name); err != nil {
			return swept, err
		}
		swept = append(swept, name)
	}
	return swept, nil
}
