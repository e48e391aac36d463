package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Four hundred daily dumps on every kind of target, by the built program: prune and the agent agree on the set that the
// default policy keeps, which is worked out by hand here, and a second run removes nothing.
func TestFourHundredDays(t *testing.T) {
	in := install(t, fourTargets...)
	const days = 400
	first := time.Date(2025, 10, 20, 3, 0, 0, 0, time.UTC)
	history := filepath.Join(in.dir, "history")
	if err := os.Mkdir(history, 0o700); err != nil {
		t.Fatal(err)
	}
	push := []string{"push"}
	for i := range days {
		path := filepath.Join(history, "shop_"+first.AddDate(0, 0, i).Format("20060102_150405")+".sql")
		if err := os.WriteFile(path, fmt.Appendf(nil, "dump of day %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		push = append(push, path)
	}
	in.run(0, push...)
	foreign := filepath.Join(in.dir, "nas", "db-server", "shop", "notes.txt")
	if err := os.WriteFile(foreign, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}

	// The last day is 2026-11-23, a Monday.
	var want []string
	for _, day := range []string{
		"2026-11-23", "2026-11-22", "2026-11-21", "2026-11-20", "2026-11-19", "2026-11-18", "2026-11-17", // days
		"2026-11-15", "2026-11-08", // the weeks before: Sundays; those of 22 and 23 November are there already
		"2026-10-31", "2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30", "2026-05-31", "2026-04-30", "2026-03-31", "2026-02-28", "2026-01-31", "2025-12-31", // months
		"2025-10-20", // the oldest: years are never used up
	} {
		want = append(want, "shop_"+strings.ReplaceAll(day, "-", "")+"_030000.sql")
	}
	slices.Sort(want)
	holds := func() map[string][]string {
		on := map[string][]string{}
		for _, l := range in.list() {
			on[l.Target] = append(on[l.Target], l.Name)
		}
		return on
	}

	_, said := in.run(0, "agent", "--once")
	if strings.Count(said, "retention is held") != 4 || len(holds()["minio"]) != days {
		t.Fatalf("a mass removal was not held: %s", said)
	}
	for _, target := range []string{"nas", "minio"} {
		in.run(0, "prune", "--confirm", "--target", target)
	}
	for _, target := range []string{"versity", "shore"} { // the agent's own way, bit by bit
		in.run(0, "prune", "--confirm", "--target", target, "--series", "shop")
	}
	in.run(0, "agent", "--once")
	for target, names := range holds() {
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("%s: %q stay, want %q", target, names, want)
		}
		if left := in.leftovers(target); len(left) > 0 {
			t.Errorf("%s: left behind: %q", target, left)
		}
		got, _ := in.run(0, "restore", "--identity", in.identity, "--target", target, "-o", "-", "shop_20251020_030000.sql")
		if got != "dump of day 0" {
			t.Errorf("%s: the oldest came back as %q", target, got)
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error("a foreign file was removed", err)
	}

	// One more day by the agent: one goes.
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261124_030000.sql"), []byte("the next day"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said = in.run(0, "agent", "--once")
	if strings.Count(said, "retention removed") != 4 || strings.Count(said, "removed=1") != 4 {
		t.Error(said)
	}
	if _, said = in.run(0, "agent", "--once"); strings.Contains(said, "retention removed") {
		t.Errorf("a second run removed something: %s", said)
	}
}
