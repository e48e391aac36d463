package retention

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// repository is a restic repository with one snapshot for each backup.
type repository struct {
	t   *testing.T
	env []string
}

func (r *repository) restic(args ...string) []byte {
	r.t.Helper()
	cmd := exec.Command("restic", args...)
	cmd.Env = r.env
	cmd.Stdin = strings.NewReader("dump")
	out, err := cmd.Output()
	if err != nil {
		text := ""
		if exit, ok := err.(*exec.ExitError); ok {
			text = string(exit.Stderr)
		}
		r.t.Fatalf("restic %q: %v %s", args, err, text)
	}
	return out
}

// forget is what `restic forget` keeps, by time.
func (r *repository) forget(p Policy) (kept []string) {
	r.t.Helper()
	args := []string{"forget", "--dry-run", "--json", "--group-by", "", "--no-cache"}
	for _, rule := range p.rules() {
		switch {
		case rule.count == Forever:
			args = append(args, "--keep-"+rule.name, "100000") // restic before 0.16 does not know "unlimited"
		case rule.count > 0:
			args = append(args, "--keep-"+rule.name, fmt.Sprint(rule.count))
		}
	}
	if !p.Within.zero() {
		args = append(args, "--keep-within", p.Within.String())
	}
	var groups []struct {
		Keep []struct{ Time time.Time }
	}
	out := r.restic(args...)
	if err := json.Unmarshal(out, &groups); err != nil || len(groups) != 1 {
		r.t.Fatalf("%v: %s", err, out)
	}
	for _, k := range groups[0].Keep {
		kept = append(kept, k.Time.UTC().Format("2006-01-02 15:04"))
	}
	return kept
}

// resticTimes is an irregular history: bursts, a summer without backups, year ends, a week 53, a leap day, both changes
// of clocks. It lies in the past: restic counts "within" from the newest snapshot that is not in the future.
func resticTimes() (times []string) {
	for _, day := range []string{
		"2018-12-29", "2018-12-30", "2018-12-31", "2019-01-01", "2019-01-02", "2019-01-07", "2019-01-31", "2019-02-01", "2019-02-28", "2019-03-30", "2019-03-31", "2019-04-01",
		"2019-09-30", "2019-10-26", "2019-10-27", "2019-10-28", "2020-02-28", "2020-02-29", "2020-03-01", "2020-12-27", "2020-12-28", "2020-12-31", "2021-01-01", "2021-01-03", "2021-01-04",
	} {
		times = append(times, day+" 03:00")
	}
	return append(times, "2018-12-31 22:30", "2018-12-31 23:30", "2019-03-31 01:30", "2019-10-26 23:30", "2021-01-04 03:20", "2021-01-04 03:40", "2021-01-04 04:10", "2021-01-04 22:50", "2021-01-04 23:10")
}

// The witness: restic itself, for dozens of policies over the same history, in a zone with summer time. Debian's restic
// is older than 0.16 and does not keep the oldest snapshot of a rule that has places left; what stays here for that
// reason alone is compared with vectors worked out by hand: TestTheOldestStays.
func TestResticKeepsTheSame(t *testing.T) {
	if _, err := exec.LookPath("restic"); err != nil {
		t.Fatalf("restic is missing: make packages (%v)", err)
	}
	const name = "Europe/Prague"
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &repository{t, append(os.Environ(), "TZ="+name, "RESTIC_REPOSITORY="+filepath.Join(dir, "repo"), "RESTIC_PASSWORD=x", "XDG_CACHE_HOME="+dir, "HOME="+dir)}
	r.restic("init")
	var backups []Backup
	for _, text := range resticTimes() {
		b := backup(text)
		backups = append(backups, b)
		r.restic("backup", "--quiet", "--no-cache", "--stdin", "--host", "h", "--time", b.Taken.In(zone).Format("2006-01-02 15:04:05"))
	}
	var policies []Policy
	for _, n := range []int{1, 2, 5, Forever} {
		policies = append(policies, Policy{Last: n}, Policy{Hourly: n}, Policy{Daily: n}, Policy{Weekly: n}, Policy{Monthly: n}, Policy{Yearly: n})
	}
	policies = append(policies, Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: Forever}, Policy{Daily: 30, Weekly: 8}, Policy{Last: 3, Hourly: 4, Daily: 5, Weekly: 6, Monthly: 7, Yearly: 8},
		Policy{Daily: 1000}, Policy{Weekly: 1000, Yearly: 2}, Policy{Within: Duration{Days: 5}}, Policy{Within: Duration{Months: 10, Hours: 3}, Daily: 3}, Policy{Within: Duration{Years: 1}})
	for _, p := range policies {
		p.Zone = zone
		want := r.forget(p)
		var got []string
		for _, d := range Make(at("2030-01-01"), p, backups).Keep {
			if slices.ContainsFunc(d.Reasons, func(r string) bool { return r != "newest" && !strings.HasPrefix(r, "oldest ") }) {
				got = append(got, d.Object)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%+v:\n  ours %q\nrestic %q", p, got, want)
		}
	}
}

// The oldest rule of restic 0.16 and newer (internal/data/snapshot_policy.go, ApplyPolicy: the last of the list takes a
// place too if one is left, though its period is that of the one before): worked out by hand for this history.
func TestTheOldestStays(t *testing.T) {
	var backups []Backup
	for _, text := range resticTimes() {
		backups = append(backups, backup(text))
	}
	oldest := "2018-12-29 03:00"
	for _, c := range []struct {
		policy Policy
		stays  bool
	}{
		{Policy{Yearly: 4}, false}, // 2018 to 2021: the newest of each
		{Policy{Yearly: 5}, true},
		{Policy{Yearly: Forever}, true},
		{Policy{Yearly: Forever, Daily: 1}, true},
		{Policy{Daily: 25}, true}, // the only one of its day
		{Policy{Daily: 24}, false},
		{Policy{Last: 34}, true},
		{Policy{Last: 33}, false},
	} {
		stays := slices.ContainsFunc(Make(at("2030-01-01"), c.policy, backups).Keep, func(d Decision) bool { return d.Object == oldest })
		if stays != c.stays {
			t.Errorf("%+v: the oldest stays: %v, want %v", c.policy, stays, c.stays)
		}
	}
}
