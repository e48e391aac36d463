package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	minioclient "github.com/minio/minio-go/v7"

	"offsite/test/servers"
)

// Four hundred daily dumps on every kind of target, by the built program: prune and the agent agree on the set that the
// default policy keeps, which is worked out by hand here, and a second run removes nothing.
func TestFourHundredDays(t *testing.T) {
	t.Parallel()
	targets := append(slices.Clone(fourTargets), "locked", "versions")
	in := install(t, targets...)
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
	if strings.Count(said, "retention is held") != len(targets) || len(holds()["minio"]) != days {
		t.Fatalf("a mass removal was not held: %s", said)
	}
	for _, target := range []string{"nas", "minio", "locked"} {
		in.run(0, "prune", "--confirm", "--target", target)
	}
	for _, target := range []string{"versity", "shore", "versions"} { // the agent's own way, bit by bit
		in.run(0, "prune", "--confirm", "--target", target, "--series", "shop")
	}
	_, said = in.run(0, "agent", "--once")
	if strings.Contains(said, "retention removed") {
		t.Errorf("the agent and prune do not agree: %s", said)
	}
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
	for _, target := range targets[:len(targets)-2] { // on the locked one it may be locked until that day, by the store's clock
		if !regexp.MustCompile(`"retention removed" target=` + target + ` .*removed=1\n`).MatchString(said) {
			t.Errorf("%s: %s", target, said)
		}
	}
	if _, said = in.run(0, "agent", "--once"); strings.Contains(said, "retention removed") {
		t.Errorf("a second run removed something: %s", said)
	}
	in.lockedAndHidden(days + 1 - len(want))
}

// lockedAndHidden looks at the two buckets with versions as their owner does.
func (in *installation) lockedAndHidden(removed int) {
	t := in.t
	t.Helper()
	versions := func(s *servers.S3, bucket string) (all []minioclient.ObjectInfo) {
		for o := range s.Owner(t).ListObjectsIter(t.Context(), bucket, minioclient.ListObjectsOptions{Recursive: true, WithVersions: true}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			all = append(all, o)
		}
		return all
	}
	keys := func(versions []minioclient.ObjectInfo) int { // a manifest that was signed anew has two versions
		all := map[string]bool{}
		for _, o := range versions {
			all[o.Key] = true
		}
		return len(all)
	}
	holds := 0
	for _, l := range in.list() {
		if l.Target == "locked" {
			holds++
		}
	}
	owner, locked := in.minio.Owner(t), versions(in.minio, "locked")
	if n := keys(locked); n != 2*holds {
		t.Errorf("%d objects in the locked bucket, want those of %d backups", n, holds)
	}
	for _, o := range locked {
		if !o.IsLatest { // what a manifest said before there was a verdict
			continue
		}
		mode, until, err := owner.GetObjectRetention(t.Context(), "locked", o.Key, o.VersionID)
		if err != nil || *mode != minioclient.Compliance || !until.After(time.Now()) {
			t.Errorf("%s is locked %v until %v: %v", o.Key, mode, until, err)
		}
		if err := owner.RemoveObject(t.Context(), "locked", o.Key, minioclient.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true}); err == nil {
			t.Errorf("%s could be removed by the owner of the bucket", o.Key)
		}
	}
	var hidden, deleted []minioclient.ObjectInfo
	for _, o := range versions(in.versity, "versions") {
		if strings.Contains(o.Key, "/db-server/") && !o.IsLatest && !o.IsDeleteMarker { // not what init tried the bucket with
			hidden = append(hidden, o)
		}
		if strings.Contains(o.Key, "/db-server/") && o.IsLatest && o.IsDeleteMarker {
			deleted = append(deleted, o)
		}
	}
	if n := keys(deleted); n != 2*removed {
		t.Errorf("%d objects are hidden, want those of %d backups", n, removed)
	}
	_, said := in.run(0, "prune", "--target", "versions")
	if want := fmt.Sprintf("hides %d old versions", len(hidden)); !strings.Contains(said, want) || !strings.Contains(said, "still billed") {
		t.Errorf("prune does not say %q: %s", want, said)
	}
}

// The program is killed at fifty random instants of a prune of two hundred backups. Each time all that is listed is whole,
// nothing that was to stay is gone, and in the end the next prune leaves exactly that.
func TestKilledInTheMiddleOfAPrune(t *testing.T) {
	t.Parallel()
	in := install(t, "nas", "shore")
	in.pushDays(200)
	stays := in.stays()
	roots := map[string]string{"nas": filepath.Join(in.dir, "nas"), "shore": filepath.Join(in.ssh.Data, "db")}
	saved := map[string]string{}
	for target, root := range roots {
		saved[target] = filepath.Join(in.dir, "saved-"+target)
		copyTree(t, root, saved[target])
	}
	reset := func() {
		for target, root := range roots {
			copyTree(t, saved[target], root)
		}
		for _, journal := range []string{"prune.db", "prune.db.lock"} {
			os.Remove(filepath.Join(in.dir, "state", journal))
		}
	}
	begin := time.Now()
	in.run(0, "prune", "--confirm")
	whole := time.Since(begin)

	killed, part := 0, 0
	for round := 0; killed < 50 && round < 200; round++ {
		reset()
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(whole))
		cmd := in.command(ctx, "prune", "--confirm")
		begin := time.Now()
		if cmd.Run() != nil && cmd.ProcessState.ExitCode() == -1 {
			killed++
		} else {
			whole = min(whole, time.Since(begin)) // the machine was busier when it was measured
		}
		cancel()
		for target, root := range roots {
			left := in.wholeBackups(target, saved[target], root)
			for object := range stays[target] {
				if !left[object] {
					t.Fatalf("round %d: %s has lost %s", round, target, object)
				}
			}
			if n := len(left); n < 200 && n > len(stays[target]) {
				part++
			}
		}
	}
	t.Logf("a whole prune takes %v; killed %d times, %d targets were left with a part of it", whole, killed, part)
	if killed < 50 || part == 0 {
		t.Error("not enough was tried")
	}

	in.run(0, "prune", "--confirm")
	for _, l := range in.list() {
		if !stays[l.Target][l.Object] {
			t.Errorf("%s has %s still", l.Target, l.Object)
		}
		if out, _ := in.run(0, "restore", "--identity", in.identity, "--target", l.Target, "-o", "-", l.Object); !strings.HasPrefix(out, "dump of day ") {
			t.Errorf("%s: %s came back as %q", l.Target, l.Object, out)
		}
	}
	for target, root := range roots {
		if left := everything(t, root); len(left) != 2*len(stays[target]) { // data and manifest
			t.Errorf("%s: %d files, want those of %d backups: %q", target, len(left), len(stays[target]), left)
		}
	}
}

// pushDays ships a dump for each of n days that are past.
func (in *installation) pushDays(n int) {
	in.t.Helper()
	history := filepath.Join(in.dir, "history")
	if err := os.Mkdir(history, 0o700); err != nil {
		in.t.Fatal(err)
	}
	push := []string{"push"}
	for i := range n {
		path := filepath.Join(history, "shop_"+time.Date(2026, 1, 1+i, 3, 0, 0, 0, time.UTC).Format("20060102_150405")+".sql")
		if err := os.WriteFile(path, fmt.Appendf(nil, "dump of day %d", i), 0o600); err != nil {
			in.t.Fatal(err)
		}
		push = append(push, path)
	}
	in.run(0, push...)
}

// stays are the objects that the plans of each target keep.
func (in *installation) stays() map[string]map[string]bool {
	in.t.Helper()
	out, _ := in.run(0, "prune", "--json")
	var all []planJSON
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		in.t.Fatal(err)
	}
	stays := map[string]map[string]bool{}
	for _, p := range all {
		stays[p.Target] = map[string]bool{}
		for _, k := range p.Keep {
			stays[p.Target][k.Object] = true
		}
	}
	return stays
}

// wholeBackups are the data objects below root that have a manifest. It fails if one is not what it was, data or manifest.
func (in *installation) wholeBackups(target, before, root string) map[string]bool {
	in.t.Helper()
	all := map[string]bool{}
	manifests, err := filepath.Glob(filepath.Join(root, "*", "*", "*.manifest"))
	if err != nil {
		in.t.Fatal(err)
	}
	for _, path := range manifests {
		name, err := filepath.Rel(root, path)
		if err != nil {
			in.t.Fatal(err)
		}
		object := strings.TrimSuffix(name, ".manifest")
		all[object] = true
		for _, file := range []string{object, name} {
			was, err := os.ReadFile(filepath.Join(before, file))
			if err != nil {
				in.t.Fatal(err)
			}
			if is, err := os.ReadFile(filepath.Join(root, file)); err != nil || !bytes.Equal(is, was) {
				in.t.Fatalf("%s: %s is listed, and %s is not what it was: %v", target, object, file, err)
			}
		}
	}
	return all
}

// copyTree makes to what from is, owners and times included.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range old {
		if err := os.RemoveAll(filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A lock that the bucket cannot give is told when the target is set up, and again when something is to be shipped; nothing
// is stored without it.
func TestABucketThatCannotLock(t *testing.T) {
	t.Parallel()
	in := install(t, "minio")
	path := filepath.Join(in.dir, "offsite.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^( +)bucket: .*$`).ReplaceAll(text, []byte("$0\n${1}lock: {mode: compliance}"))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	const why = "the bucket has no Object Lock"
	if _, said := in.run(3, "init", "--yes"); !strings.Contains(said, why) || !strings.Contains(said, "take lock out") {
		t.Error(said)
	}
	if err := os.WriteFile(filepath.Join(in.dumps, time.Now().UTC().Format("shop_20060102_150405.sql")), []byte("a dump"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, said := in.run(1, "agent", "--once"); !strings.Contains(said, why) || !strings.Contains(said, "1 still owed") {
		t.Error(said)
	}
	if all := in.list(); len(all) > 0 {
		t.Errorf("stored without a lock: %+v", all)
	}
}
