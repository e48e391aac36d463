package drill

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A dump is a program: functions that it makes are run while it is restored, with all rights of the role that restores. So that role
// must be one that can do nothing outside the scratch databases. The given one is, if it may create databases, and owns nothing and
// is a member of nothing. If it is a superuser, or may make roles, a scratch role without any rights is made, which logs in by a
// password: what SET ROLE does, a function of the dump could undo. Any other is refused.

// rights asks what the role of the DSN could do that a drill must not.
const rights = `SELECT CASE WHEN rolsuper THEN 'superuser' WHEN rolcreaterole THEN 'createrole' ELSE coalesce(concat_ws('; ',
  CASE WHEN rolreplication THEN 'has REPLICATION' END,
  (SELECT 'is a member of ' || string_agg(roleid::regrole::text, ', ') FROM pg_auth_members WHERE member = r.oid),
  (SELECT 'owns ' || string_agg(pg_describe_object(classid, objid, objsubid), ', ') FROM pg_shdepend
     WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND dbid = 0
     AND deptype = 'o' AND NOT (classid = 'pg_database'::regclass AND objid IN (SELECT oid FROM pg_database WHERE datname ~ '^offsite_drill_[0-9a-f]{16}$'))),
  (SELECT 'may set parameters of the server' FROM pg_shdepend
     WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND classid = to_regclass('pg_parameter_acl') LIMIT 1)), '') END
FROM pg_roles r WHERE rolname = current_user;`

// harness finds out by which role to restore, and makes one if need be.
func (a *attempt) harness(ctx context.Context) error {
	has, err := a.query(ctx, a.maintenance(a.client), rights)
	switch {
	case err != nil:
		return err
	case has == "":
		a.inside = a.client
		before, err := a.query(ctx, a.maintenance(a.client), settings)
		a.before = &before
		return err
	case has == "superuser" || has == "createrole":
		a.super = has == "superuser"
		what := map[string]string{"superuser": "is a superuser", "createrole": "may create roles"}[has]
		if err := a.scratchRole(ctx); err != nil {
			return fmt.Errorf("the role of the drill %s, and a dump is a program that would run with its rights: %w; "+
				"make one that has nothing but LOGIN and CREATEDB, and name it in dsn", what, err)
		}
		a.warn("the role of the drill %s: the dump was restored by a scratch role without rights; a role with LOGIN CREATEDB and nothing else is safer", what)
		return nil
	}
	return fmt.Errorf("the role of the drill %s, and a dump is a program that would run with its rights: "+
		"make one that has nothing but LOGIN and CREATEDB (CREATE ROLE drill LOGIN CREATEDB), and name it in dsn", has)
}

// scratchRole makes a role without rights, and finds a way in for it.
func (a *attempt) scratchRole(ctx context.Context) error {
	name, password := newName(), rand.Text()
	if err := a.intend(name); err != nil {
		return err
	}
	a.role = name
	until := a.Now().Add(a.limit())
	sql := fmt.Sprintf("CREATE ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '%s' VALID UNTIL '%s';\n"+
		"COMMENT ON ROLE %s IS '%s';",
		name, verifier(password), until.Add(time.Hour).UTC().Format(time.RFC3339), name, a.comment(until))
	if !a.super {
		sql += "\nGRANT " + name + " TO CURRENT_USER;" // who may end its connections then
	}
	if _, err := a.query(ctx, a.maintenance(a.client), sql); err != nil {
		return fmt.Errorf("a scratch role cannot be made: %w", err)
	}
	env := slices.DeleteFunc(slices.Clone(a.env), func(v string) bool {
		return strings.HasPrefix(v, "PGUSER=") || strings.HasPrefix(v, "PGPASSWORD=") || strings.HasPrefix(v, "PGPASSFILE=")
	})
	env = append(env, "PGUSER="+name, "PGPASSWORD="+password)
	var failed []error
	for _, host := range []string{"", "127.0.0.1"} { // a socket often lets in by the name of the system's user alone
		c := &client{slices.Clone(env), a.container, a.mark}
		if host != "" {
			c.env = append(slices.DeleteFunc(c.env, func(v string) bool { return strings.HasPrefix(v, "PGHOST") }), "PGHOST="+host)
		}
		// On another host 127.0.0.1 would be another server, which does not know the role.
		said, err := c.query(ctx, a.maintenance(c), "SELECT current_user;")
		if err == nil && said == name {
			a.inside = c
			return nil
		}
		failed = append(failed, err)
	}
	return fmt.Errorf("a scratch role without rights is not let in: %w", errors.Join(failed...))
}

// grant gives the scratch role what the owner of a scratch database has.
func (a *attempt) grant(ctx context.Context, database string) error {
	if a.role == "" {
		return nil
	}
	_, err := a.query(ctx, database,
		fmt.Sprintf("GRANT CREATE, TEMPORARY, CONNECT ON DATABASE %s TO %s;\nGRANT ALL ON SCHEMA public TO %s;", database, a.role, a.role))
	return err
}

// settings are what ALTER ROLE has set for the role, which every role may do for itself.
const settings = `SET statement_timeout = 0; SET search_path = pg_catalog;
SELECT coalesce(json_agg(json_build_array(coalesce(datname, ''), setconfig) ORDER BY datname NULLS FIRST), '[]')
FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase
WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND coalesce(datname, '') !~ '^offsite_drill_[0-9a-f]{16}$';`

// resettle makes the settings again what they were. Those that are lists are held as they are written.
const resettle = `SET statement_timeout = 0; SET search_path = pg_catalog; SET default_transaction_read_only = off;
DO $resettle$ DECLARE d text; s text; c json; BEGIN
FOR d IN SELECT coalesce(datname, '') FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase
  WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
LOOP
  EXECUTE 'ALTER ROLE CURRENT_USER ' || CASE WHEN d <> '' THEN format('IN DATABASE %%I ', d) ELSE '' END || 'RESET ALL';
END LOOP;
FOR c IN SELECT json_array_elements(%s) LOOP
  FOR s IN SELECT json_array_elements_text(c -> 1) LOOP
    EXECUTE 'ALTER ROLE CURRENT_USER ' || CASE WHEN c ->> 0 <> '' THEN format('IN DATABASE %%I ', c ->> 0) ELSE '' END
      || format('SET %%I TO ', split_part(s, '=', 1))
      || CASE WHEN split_part(s, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries')
           THEN substr(s, strpos(s, '=') + 1) ELSE quote_literal(substr(s, strpos(s, '=') + 1)) END;
  END LOOP;
END LOOP; END $resettle$;`

// mendSettings undoes what a dump has set for the role that restored it, if that was the one of the DSN.
func (a *attempt) mendSettings(ctx context.Context) error {
	if a.before == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	after, err := a.query(ctx, a.maintenance(a.client), settings)
	if err != nil || after == *a.before {
		return err
	}
	_, err = a.query(ctx, a.maintenance(a.client), fmt.Sprintf(resettle, literal(*a.before)))
	changed := errors.New("the dump has changed the settings of the role that restored it (ALTER ROLE ... SET), " +
		"which no dump of one database does: they were set back")
	return errors.Join(changed, err)
}

// dropRole drops a scratch role. The caller has seen that it is one.
func (p *Postgres) dropRole(ctx context.Context, c *client, name string) error {
	if _, err := c.query(ctx, p.maintenance(c), "DROP ROLE IF EXISTS "+name+";"); err != nil {
		return fmt.Errorf("cannot drop the scratch role %s: %w", name, err)
	}
	return p.forget(name)
}

// verifier is what a server holds of a password (RFC 5803), so that the password is in no log of its statements.
func verifier(password string) string {
	const rounds = 4096
	salt := make([]byte, 16)
	rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		panic(err) // of FIPS mode alone, for a short salt
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, text(salt), text(stored[:]), text(mac("Server Key")))
}

// setupError is of what a drill needs: it says nothing of the backup.
type setupError struct{ error }

// Unwrap gives the error that was marked.
func (s *setupError) Unwrap() error { return s.error }

// setup marks an error; nil stays nil.
func setup(err error) error {
	if err == nil {
		return nil
	}
	return &setupError{err}
}
