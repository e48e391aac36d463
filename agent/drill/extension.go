package drill

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// creatable says whether a role without rights may create an extension; nothing: the server does not have it. (Before PostgreSQL 13
// there are no trusted ones.)
const creatable = `SELECT bool_or(NOT superuser OR coalesce((to_jsonb(v) ->> 'trusted')::boolean, false)) FROM pg_available_extension_versions v WHERE name = %s;`

// extension says whether the statement that creates an extension is to be passed on.
func (a *attempt) extension(ctx context.Context, database, name string) (bool, error) {
	if a.ready[name] {
		return false, nil
	}
	may, err := a.query(ctx, database, fmt.Sprintf(creatable, literal(name)))
	switch {
	case err != nil:
		return false, err
	case may == "t":
		return true, nil
	case may == "":
		return false, setup(fmt.Errorf("the dump needs the extension %s, which is not installed on the server of the drill", name))
	}
	a.left["extension "+name] = 0
	return false, nil
}

// confined are extensions for which a superuser is needed, and which bring types and functions for one database alone. Others can reach
// other databases, servers or files (dblink, postgres_fdw, adminpack, pg_cron ...): not even a superuser's drill makes those.
var confined = []string{
	"address_standardizer", "address_standardizer_data_us", "amcheck", "autoinc", "bloom", "dict_xsyn", "earthdistance", "hll",
	"insert_username", "intagg", "moddatetime", "pg_buffercache", "pg_freespacemap", "pg_stat_statements", "pg_visibility", "pgrouting",
	"pgrowlocks", "pgstattuple", "postgis", "postgis_raster", "postgis_sfcgal", "postgis_tiger_geocoder", "postgis_topology", "refint",
	"vector", "xml2",
}

var extensionLine = regexp.MustCompile(`(?m)^CREATE EXTENSION IF NOT EXISTS ("(?:[^"\n]|"")+"|\w+) WITH SCHEMA ("(?:[^"\n]|"")+"|\w+);\r?$`)

// prepare makes the extensions that the beginning of a dump names and that a superuser alone may make, if the role of the DSN is one. It does so
// before anything of the dump is run: the script of an extension must meet no function of a dump, which it could call.
func (a *attempt) prepare(ctx context.Context, database string, head []byte) error {
	if !a.super {
		return nil
	}
	for _, m := range extensionLine.FindAllSubmatch(head, -1) {
		name, schema := unquoted(string(m[1])), unquoted(string(m[2]))
		if !slices.Contains(confined, name) {
			continue
		}
		if may, err := a.query(ctx, database, fmt.Sprintf(creatable, literal(name))); err != nil || may != "f" {
			if err != nil {
				return setup(err)
			}
			continue
		}
		if err := a.install(ctx, database, name, schema); err != nil {
			return setup(err)
		}
		a.ready[name] = true
	}
	return nil
}

// install makes an extension by the role of the DSN, and lets the scratch role use what belongs to it: a dump may have rows of its tables.
func (a *attempt) install(ctx context.Context, database, name, schema string) error {
	var sql strings.Builder
	if schema != "public" && schema != "pg_catalog" && !a.schemas[schema] {
		fmt.Fprintf(&sql, "CREATE SCHEMA IF NOT EXISTS %s AUTHORIZATION %s;\n", identifier(schema), a.role)
		a.schemas[schema] = true
	}
	fmt.Fprintf(&sql, "CREATE EXTENSION IF NOT EXISTS %s WITH SCHEMA %s CASCADE;\n", identifier(name), identifier(schema))
	fmt.Fprintf(&sql, `DO $grant$ DECLARE o record; BEGIN
FOR o IN SELECT classid, objid FROM pg_depend
  WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = %s)
LOOP
  IF o.classid = 'pg_namespace'::regclass THEN
    EXECUTE format('GRANT ALL ON SCHEMA %%s TO %s', o.objid::regnamespace);
  ELSIF (SELECT relkind FROM pg_class WHERE oid = o.objid AND o.classid = 'pg_class'::regclass) IN ('r', 'v', 'p') THEN
    EXECUTE format('GRANT ALL ON TABLE %%s TO %s', o.objid::regclass);
  ELSIF (SELECT relkind FROM pg_class WHERE oid = o.objid AND o.classid = 'pg_class'::regclass) = 'S' THEN
    EXECUTE format('GRANT ALL ON SEQUENCE %%s TO %s', o.objid::regclass);
  END IF;
END LOOP; END $grant$;`, literal(name), a.role, a.role, a.role)
	if _, err := a.query(ctx, database, sql.String()); err != nil {
		return fmt.Errorf("the extension %s of the dump cannot be made: %w", name, err)
	}
	return nil
}

// identifier is a name for SQL.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
