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

// Every scratch database and role has a name of this pattern, and the mark as its comment. What lacks one of the two is not touched, unless
// the file of that name in State says that it was about to be made: the comment cannot be made in the same moment, and a dump may change it.
var scratchName = regexp.MustCompile(`^offsite_drill_[0-9a-f]{16}$`)

const mark = "offsite drill: a scratch database, which anybody may drop."

// comment is a mark with its owner, and until when it is used at most.
func (p *Postgres) comment(until time.Time) string {
	return fmt.Sprintf("%s Owner: %s. Until: %s", mark, p.owner(), until.UTC().Format(time.RFC3339))
}

// owner is Owner as a word.
func (p *Postgres) owner() string {
	return unwordly.ReplaceAllString(p.Owner, "-")
}

var unwordly = regexp.MustCompile(`[^A-Za-z0-9-]`)

var marked = regexp.MustCompile(`^` + regexp.QuoteMeta(mark) + ` Owner: ([A-Za-z0-9-]*)\. Until: (\S+)$`)

// newName is the name of a scratch database or role.
func newName() string {
	var b [8]byte
	rand.Read(b[:])
	return "offsite_drill_" + hex.EncodeToString(b[:])
}

// create makes a scratch database with the first of the locales that the server has.
func (a *attempt) create(ctx context.Context, ofDump string) (name string, err error) {
	name = newName()
	locales, err := a.locales(ctx, ofDump)
	if err != nil {
		return "", err
	}
	if err := a.intend(name); err != nil {
		return "", err
	}
	for i, locale := range locales {
		_, err = a.query(ctx, a.maintenance(a.client), "CREATE DATABASE "+name+" TEMPLATE template0 "+locale+";")
		if err == nil && ofDump != "" && i > 0 {
			a.warn("the server of the drill does not have the locale of the dump (%s): %s was used", ofDump, locale)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return name, fmt.Errorf("cannot create a scratch database: %w", err)
	}
	_, err = a.query(ctx, a.maintenance(a.client), "COMMENT ON DATABASE "+name+" IS '"+a.comment(a.Now().Add(a.limit()))+"';")
	if err == nil {
		err = a.grant(ctx, name)
	}
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

// forget removes the note of intend.
func (p *Postgres) forget(name string) error {
	if p.State == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(p.State, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// drop removes a scratch database with whoever is connected to it. The caller has seen that it is one: by its mark, or since it
// was made here. (The dump may have changed the mark: it is the owner.)
func (p *Postgres) drop(ctx context.Context, c *client, name string) error {
	if !scratchName.MatchString(name) {
		return fmt.Errorf("%s is no scratch database: it stays", name)
	}
	_, err := c.query(ctx, p.maintenance(c),
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '"+name+"';\nDROP DATABASE IF EXISTS "+name+";")
	if err != nil {
		return fmt.Errorf("cannot drop the scratch database %s: %w", name, err)
	}
	return p.forget(name)
}

// leftovers are the scratch databases and then the scratch roles, each with what it is and what is said of it.
const leftovers = `SELECT 'database ' || datname || ' ' || translate(coalesce(shobj_description(oid, 'pg_database'), ''), E'\n\r', '  ') FROM pg_database WHERE datname ~ '^offsite_drill_[0-9a-f]{16}$'
UNION ALL SELECT 'role ' || rolname || ' ' || translate(coalesce(shobj_description(oid, 'pg_authid'), ''), E'\n\r', '  ') FROM pg_roles WHERE rolname ~ '^offsite_drill_[0-9a-f]{16}$' ORDER BY 1;`

// sweep drops what interrupted drills of this Owner left, and what those of others left whose time is over.
func (p *Postgres) sweep(ctx context.Context, c *client) (swept []string, err error) {
	list, err := c.query(ctx, p.maintenance(c), leftovers)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		what, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		name, said, _ := strings.Cut(rest, " ")
		if !scratchName.MatchString(name) || !p.over(name, said) {
			continue
		}
		if what == "role" {
			err = p.dropRole(ctx, c, name)
		} else {
			err = p.drop(ctx, c, name)
		}
		if err != nil {
			return swept, err
		}
		swept = append(swept, name)
	}
	return swept, nil
}

// over says whether a drill is over that has left this, with this comment.
func (p *Postgres) over(name, said string) bool {
	m := marked.FindStringSubmatch(said)
	switch {
	case p.intended(name):
		return true
	case m == nil:
		return false
	case m[1] == p.owner():
		return true
	}
	until, err := time.Parse(time.RFC3339, m[2])
	return err != nil || !p.Now().Before(until)
}
