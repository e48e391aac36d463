package dump_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"offsite/agent/dump"
)

var prague = mustZone("Europe/Prague")

func mustZone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestShapes(t *testing.T) {
	for file, want := range map[string]string{
		"db_20261122.sql.gz": "sql", "db_20261122.sql.zst.gpg": "sql", "db_20261122.dump": "dump", "db.tar.xz": "tar", "db.tgz": "tar",
		"db": "", "db.gz": "", "db.custom.dump": "custom.dump", ".sql": "",
	} {
		if got := dump.Shape(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestNamesOfTheField(t *testing.T) {
	mtime := time.Date(2026, 11, 22, 2, 0, 5, 0, time.UTC)
	for _, c := range []struct{ rel, series, taken, from string }{
		{"db_2026-11-22_030001.sql.gz", "db", "2026-11-22T02:00:01Z", "name"},
		{"db-20261122T030001Z.dump", "db", "2026-11-22T03:00:01Z", "name"},
		{"crypto-ai-agent_20261122_030001.sql.gz", "crypto-ai-agent", "2026-11-22T02:00:01Z", "name"},
		{"backup_db_20261122.sql", "backup_db", "2026-11-22T02:00:05Z", "name"},
		{"backup_db_20261120.sql", "backup_db", "2026-11-19T23:00:00Z", "name"},
		{"db-2026-11-22T03:00:01+02:00.sql", "db", "2026-11-22T01:00:01Z", "name"},
		{"db-2026-11-22T03:00:01.123456Z.sql", "db", "2026-11-22T03:00:01Z", "name"},
		{"db.2026-11-22-03-00.tar.zst", "db.tar", "2026-11-22T02:00:00Z", "name"},
		{"2026-11-22_db.sql", "db", "2026-11-22T02:00:05Z", "name"},
		{"2026-11-22_03-00-01_db.sql", "db", "2026-11-22T02:00:01Z", "name"},
		{"pre_20261122_030001_post.sql.gz", "pre_post", "2026-11-22T02:00:01Z", "name"},
		{"db.20261122030001.sql.gz", "db", "2026-11-22T02:00:01Z", "name"},
		{"db-1795316401.sql.gz", "db", "2026-11-22T03:00:01Z", "name"},
		{"db-1795316401000.sql.gz", "db", "2026-11-22T03:00:01Z", "name"},
		{"customer_1000000001.sql", "customer_1000000001", "2026-11-22T02:00:05Z", "mtime"}, // no time, but a number
		{"db_20261122_030001.csv.gz", "db_csv", "2026-11-22T02:00:01Z", "name"},
		{"db_20261122_030001.sql.gz.asc", "db_sql.gz.asc", "2026-11-22T02:00:01Z", "name"},
		{"db_20261122_030001.tgz", "db.tar", "2026-11-22T02:00:01Z", "name"},
		{"db.sql.gz", "db", "2026-11-22T02:00:05Z", "mtime"},
		{"db.sql.gz.1", "db.sql.gz.1", "2026-11-22T02:00:05Z", "mtime"},
		{"db_Mon.sql.gz", "db_Mon", "2026-11-22T02:00:05Z", "mtime"},
		{"db_20261345.sql", "db_20261345", "2026-11-22T02:00:05Z", "mtime"},
		{"db_20260231_030001.sql", "db_20260231_030001", "2026-11-22T02:00:05Z", "mtime"},
		{"db_03-04-2026.sql", "db_03-04-2026", "2026-11-22T02:00:05Z", "mtime"},
		{"order-12345678901234567890.sql", "order-12345678901234567890", "2026-11-22T02:00:05Z", "mtime"},
		{"sub/big_20261122_030001.dump", "sub/big", "2026-11-22T02:00:01Z", "name"},
		{"sub/deep/20261122.sql.gz", "sub/deep", "2026-11-22T02:00:05Z", "name"},
		{"20261122.sql.gz", "dump", "2026-11-22T02:00:05Z", "name"},
		{"pg15_20261122_030001.sql.gz", "pg15", "2026-11-22T02:00:01Z", "name"},
		{"db2_20261122.sql", "db2", "2026-11-22T02:00:05Z", "name"},
		{"v2.1_20261122_0300.tar.gz", "v2.1.tar", "2026-11-22T02:00:00Z", "name"},
		{"db.tar", "db.tar", "2026-11-22T02:00:05Z", "mtime"},
		{"databáze_20261122_030001.sql", "databáze", "2026-11-22T02:00:01Z", "name"},
	} {
		id, err := dump.Identify(c.rel, mtime, now, dump.Rules{Zone: prague})
		if err != nil {
			t.Errorf("%s: %v", c.rel, err)
			continue
		}
		if got := id.Taken.Format(time.RFC3339); id.Series != c.series || got != c.taken || string(id.From) != c.from || id.Suspect != "" {
			t.Errorf("%s: series %q taken %s from %s %s; want %q %s %s", c.rel, id.Series, got, id.From, id.Suspect, c.series, c.taken, c.from)
		}
	}
}

func TestSummerTimeEndsAndBegins(t *testing.T) {
	for _, c := range []struct{ name, mtime, taken string }{
		{"db_20261025_023000.sql", "2026-10-25T00:31:00Z", "2026-10-25T00:30:00Z"}, // shown twice: the first
		{"db_20261025_023000.sql", "2026-10-25T01:31:00Z", "2026-10-25T01:30:00Z"}, // the second
		{"db_20260329_023000.sql", "2026-03-29T01:31:00Z", "2026-03-29T01:30:00Z"}, // never shown
	} {
		mtime, _ := time.Parse(time.RFC3339, c.mtime)
		id, err := dump.Identify(c.name, mtime, now, dump.Rules{Zone: prague})
		if err != nil || id.Taken.Format(time.RFC3339) != c.taken {
			t.Errorf("%s with mtime %s: %s, %v; want %s", c.name, c.mtime, id.Taken.Format(time.RFC3339), err, c.taken)
		}
	}
}

func TestTheFutureIsNotBelieved(t *testing.T) {
	mtime := now.Add(-time.Hour)
	id, err := dump.Identify("db_20380119_031407.sql", mtime, now, dump.Rules{})
	if err != nil || id.Suspect == "" || !id.Taken.Equal(mtime) || id.From != dump.FromMTime || id.Series != "db" {
		t.Errorf("%+v, %v", id, err)
	}
	id, err = dump.Identify("db.sql", now.AddDate(12, 0, 0), now, dump.Rules{})
	if err != nil || id.Suspect == "" || !id.Taken.Equal(now) {
		t.Errorf("%+v, %v", id, err)
	}
	id, err = dump.Identify("db_20261124_110000.sql", mtime, now, dump.Rules{})
	if err != nil || id.Suspect != "" {
		t.Errorf("less than a day ahead: %+v, %v", id, err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, file, series string }{
		{"{series}_{time}.sql.gz", "a_b_20261122_030001.sql.gz", "a_b"},
		{"{time}-{series}.dump", "20261122T030001-x-y.dump", "x-y"},
		{"{series}.*.sql", "shop.nightly.sql", "shop"},
		{"{series}_{time}.sql.gz", "a_b.sql.gz", ""},
		{"{series}_{time}.sql.gz", "a_1x.sql.gz", ""},
	} {
		if err := dump.CheckPattern(c.pattern); err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		id, err := dump.Identify(c.file, now, now, dump.Rules{Name: "pg", Pattern: c.pattern})
		if c.series == "" {
			if err == nil || !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), c.pattern) {
				t.Errorf("%s by %s: %+v, %v", c.file, c.pattern, id, err)
			}
		} else if err != nil || id.Series != "pg/"+c.series {
			t.Errorf("%s by %s: %+v, %v", c.file, c.pattern, id, err)
		}
	}
	for _, bad := range []string{"", "{time}.sql", "{series}{series}", "{series}_{date}", "x/{series}", "{series}_{time}_{time}"} {
		if dump.CheckPattern(bad) == nil {
			t.Errorf("pattern %q passes", bad)
		}
	}
}

// The same database is one series on every day and in every format, and its time is what the name says.
func TestADatabaseStaysOneSeries(t *testing.T) {
	layouts := []string{"20060102_150405", "2006-01-02_150405", "2006-01-02_15-04-05", "20060102T150405", "2006-01-02T15:04:05", "20060102150405", "2006.01.02-15.04.05"}
	rapid.Check(t, func(t *rapid.T) {
		db := rapid.StringMatching(`[a-z][a-z_-]{0,10}[a-z]`).Draw(t, "db")
		taken := time.Unix(rapid.Int64Range(1e9, now.Unix()).Draw(t, "taken"), 0).UTC()
		name := db + "_" + taken.Format(rapid.SampledFrom(layouts).Draw(t, "layout")) + ".sql.gz"
		id, err := dump.Identify(name, taken, now, dump.Rules{Zone: time.UTC})
		if err != nil || id.Series != db || !id.Taken.Equal(taken) || id.From != dump.FromName {
			t.Fatalf("%s: %+v, %v", name, id, err)
		}
	})
}

func FuzzIdentify(f *testing.F) {
	f.Add("sub/db_20261122_030001.sql.gz", "")
	f.Add("../..//x\x00\xff.gz", "{series}_{time}")
	f.Add("20261122", "{series}*")
	f.Fuzz(func(t *testing.T, rel, pattern string) {
		if pattern != "" && dump.CheckPattern(pattern) != nil {
			return
		}
		id, err := dump.Identify(rel, now, now, dump.Rules{Pattern: pattern})
		if err != nil {
			return
		}
		again, _ := dump.Identify(rel, now, now, dump.Rules{Pattern: pattern})
		if id != again {
			t.Fatalf("%q: %+v, then %+v", rel, id, again)
		}
		for part := range strings.SplitSeq(id.Series, "/") {
			if part == "" || part == "." || part == ".." {
				t.Fatalf("%q: series %q", rel, id.Series)
			}
		}
	})
}
