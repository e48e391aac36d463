package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"offsite/agent/dump"
)

// facts counts tables and their rows, exactly: partitions and heirs each for themselves, and not again in their parents.
const facts = `SELECT count(*) || ' ' || coalesce(sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ONLY %I.%I', nspname, relname), false, true, '')))[1]::text::bigint), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema') AND has_table_privilege(c.oid, 'SELECT');`

// check counts what is there, and asks the checks.
func (a *attempt) check(ctx context.Context) error {
	var filled []string // the dump's names of the databases with tables
	for _, of := range slices.Sorted(maps.Keys(a.scratch)) {
		said, err := a.inside.query(ctx, a.scratch[of], facts)
		if err != nil {
			return fmt.Errorf("the restored tables cannot be read: %w", err)
		}
		tables, rows, _ := strings.Cut(said, " ")
		t, err1 := strconv.ParseInt(tables, 10, 64)
		n, err2 := strconv.ParseInt(rows, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if t > 0 {
			filled = append(filled, of)
		}
		a.result.Tables, a.result.Rows = a.result.Tables+t, a.result.Rows+n
	}
	if a.result.Tables == 0 {
		return errors.New("the restore went through, and there is no table")
	}
	var failed []error
	for _, c := range a.Checks {
		failed = append(failed, a.ask(ctx, c, filled))
	}
	return errors.Join(failed...)
}

func (a *attempt) ask(ctx context.Context, c Check, filled []string) error {
	checked := Checked{Database: c.Database, SQL: c.SQL, Expect: c.Expect.String()}
	defer func() { a.result.Checks = append(a.result.Checks, checked) }()
	database, err := a.asked(c, filled)
	if err != nil {
		return fmt.Errorf("check %q: %w", c.SQL, err)
	}
	got, err := a.inside.query(ctx, database, c.SQL)
	if err != nil {
		return fmt.Errorf("check %q: %w", c.SQL, err)
	}
	before := a.Last[Asked{c.Database, c.SQL}]
	checked.Got, checked.OK = got, c.Expect.Holds(got, before)
	if checked.OK {
		return nil
	}
	last := ""
	if c.Expect.ofLast {
		last = ", which was " + before
	}
	return fmt.Errorf("check %q gives %q, expected is %s%s", c.SQL, got, c.Expect, last)
}

// asked is the scratch database that a check is for.
func (a *attempt) asked(c Check, filled []string) (string, error) {
	if a.dump.Kind != dump.PostgresCluster {
		return a.scratch[""], nil
	}
	if there, ok := a.scratch[c.Database]; ok && c.Database != "" {
		return there, nil
	}
	if c.Database == "" && len(filled) == 1 {
		return a.scratch[filled[0]], nil
	}
	names := strings.Join(slices.DeleteFunc(slices.Clone(filled), func(name string) bool { return name == "" }), ", ")
	if c.Database == "" {
		return "", setup(fmt.Errorf("the dump holds several databases (%s): say which one is asked, by database: in the check", names))
	}
	return "", fmt.Errorf("the dump has no database %s; those with tables are %s", c.Database, names)
}
