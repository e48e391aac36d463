package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/minio/minio-go/v7"

	"offsite/agent/status"
	"offsite/cmd/offsite/doctor"
	"offsite/test/servers"
)

// versions is everything in a bucket that has to do with probes, also what is not seen.
func (p *patient) versions(bucket string) (all []string) {
	p.t.Helper()
	owner := p.store.Owner(p.t)
	for o := range owner.ListObjectsIter(p.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			p.t.Fatal(o.Err)
		}
		if strings.Contains(o.Key, "probe") {
			all = append(all, fmt.Sprint(o.Key, " ", o.IsDeleteMarker))
		}
	}
	return all
}

func find(checks []doctor.Check, group, name string) doctor.Check {
	for _, c := range checks {
		if c.Group == group && c.Name == name {
			return c
		}
	}
	return doctor.Check{}
}

// In buckets that keep versions and locks the probe goes too, and where it cannot go, that is said.
func TestDoctorLeavesNothingInBucketsThatKeepThings(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := &clinic{servers.MinIO(t, false), servers.StartOpenSSH(t)}
	p := c.admitPatient(t, time.Now().AddDate(0, 3, 0))
	p.target = "lan"
	owner := c.store.MakeBucket(t, "keeps-versions", false)
	c.store.MakeBucket(t, "locks", true)
	c.store.MakeBucket(t, "locks-all", true)
	mode, days, unit := minio.Governance, uint(1), minio.Days
	must(t, owner.SetObjectLockConfig(t.Context(), "locks-all", &mode, &days, &unit))

	move := func(from, to string) (status.Level, []doctor.Check) {
		t.Helper()
		p.edit(from, to)
		return p.examine()
	}
	level, checks := move(`bucket: "backups"`, `bucket: "keeps-versions"`)
	if left := p.versions("keeps-versions"); len(left) > 0 || level != status.Warning {
		t.Errorf("%s, left %q\n%s", level, left, show(checks))
	}
	level, checks = move(`bucket: "keeps-versions"`, `bucket: "locks"`+"\n      lock: {mode: compliance}")
	if left := p.versions("locks"); len(left) > 0 || level != status.OK || find(checks, "target lan", "lock").Text != "may lock" {
		t.Errorf("%s, left %q\n%s", level, left, show(checks))
	}
	level, checks = move(`bucket: "locks"`, `bucket: "locks-all"`)
	if text := find(checks, "target lan", "delete").Text; level != status.OK || !strings.Contains(text, "a version of the probe offsite-probe-db stays, retained until ") {
		t.Errorf("%s: %s\n%s", level, text, show(checks))
	}
	level, checks = move(`bucket: "locks-all"`, `bucket: "backups"`)
	if lock := find(checks, "target lan", "lock"); level != status.Problem || !strings.Contains(lock.Text, "has no Object Lock") || !strings.Contains(lock.Remedy, "take lock: out") {
		t.Errorf("%s: %+v", level, lock)
	}
	if left := p.left(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What another machine does here need not be allowed to this one.
func TestDoctorAsksForNoMoreRightsThanTheAgentNeeds(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := &clinic{servers.MinIO(t, false), servers.StartOpenSSH(t)}
	p := c.admitPatient(t, time.Now().AddDate(0, 3, 0))
	p.edit("  lan:\n", "  lan:\n    retention: off\n")
	deny := is(http.MethodDelete, "")
	p.deny.Store(&deny)
	_, checks := p.examine()
	if d := find(checks, "target lan", "delete"); d.Level != status.OK || !strings.Contains(d.Text, "`retention: off` does not need") {
		t.Errorf("%+v", d)
	}
	deny = func(r *http.Request) bool { return r.Method != http.MethodPut && r.URL.Path != "/backups/" }
	p.deny.Store(&deny)
	level, checks := p.examine()
	if get := find(checks, "target lan", "get"); level != status.Warning || get.Level != status.Warning || !strings.Contains(get.Text, "after a crash dumps are sent again") {
		t.Errorf("%s: %+v\n%s", level, get, show(checks))
	}
}

// A server that falls silent in the middle costs no more than the time that it is given, and the probe goes.
func TestDoctorTakesItsProbeAlongWhenTheTimeIsOver(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := &clinic{servers.MinIO(t, false), servers.StartOpenSSH(t)}
	p := c.admitPatient(t, time.Now().AddDate(0, 3, 0))
	var midway atomic.Bool
	silent := func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "offsite-probe") {
			return false
		}
		midway.Store(true)
		<-r.Context().Done()
		return true
	}
	p.deny.Store(&silent)
	for p.timeout = 2 * time.Second; ; p.timeout *= 4 {
		level, checks := p.examine()
		late := !midway.Load() || find(checks, "target shore", "time").Level == status.Problem || find(checks, "target nas", "time").Level == status.Problem
		if late && p.timeout < time.Minute { // it was this machine that was silent
			continue
		}
		if level != status.Problem || find(checks, "target lan", "time").Level != status.Problem || find(checks, "target shore", "manifest").Level != status.OK {
			t.Errorf("%s\n%s", level, show(checks))
		}
		break
	}
	if left := p.left(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Capabilities that the service has count, as they do for the agent.
func TestDoctorLooksWithTheCapabilitiesOfTheService(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := &clinic{servers.MinIO(t, false), servers.StartOpenSSH(t)}
	p := c.admitPatient(t, time.Now().AddDate(0, 3, 0))
	must(t, os.Chmod(filepath.Join(p.dumps, "shop_20261112_030001.sql"), 0o600))
	for lines, want := range map[string]status.Level{"": status.Problem, "\nAmbientCapabilities=CAP_DAC_READ_SEARCH CAP_LEASE": status.OK} {
		p.unit("User=nobody\nReadWritePaths=/" + lines)
		_, checks := p.examine()
		if got := find(checks, "directories", "watch"); got.Level != want {
			t.Errorf("%q: %+v", lines, got)
		}
	}
	p.unit("User=nobody-at-all")
	_, checks := p.examine()
	if got := find(checks, "directories", "user"); got.Level != status.Warning || !strings.Contains(got.Remedy, "make that user") {
		t.Errorf("%+v", got)
	}
}

// Findings are grouped, one on a line, and in colour on a terminal only.
func TestDoctorPrints(t *testing.T) {
	g := doctor.Group{Title: "target nas", About: "dir:/mnt/nas", Checks: []doctor.Check{
		{Level: status.OK, Text: "may write"},
		{Level: status.Problem, Text: "may not remove:\nthe \x1b[2J disk", Remedy: "chown it"},
	}}
	var plain, coloured bytes.Buffer
	must(t, doctor.Print(&plain, g, false))
	must(t, doctor.Print(&coloured, g, true))
	if want := "target nas  dir:/mnt/nas\n  ok       may write\n  problem  may not remove: the ?[2J disk\n           -> chown it\n\n"; plain.String() != want {
		t.Errorf("%q", plain.String())
	}
	if !strings.Contains(coloured.String(), "\x1b[1;31mproblem ") || strings.Contains(coloured.String(), "\x1b[2J") {
		t.Errorf("%q", coloured.String())
	}
	_, tty, err := pty.Open()
	must(t, err)
	defer tty.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	must(t, err)
	defer file.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !onTerminal(tty) || onTerminal(file) || onTerminal(&plain) {
		t.Error("colours in the wrong place")
	}
	t.Setenv("NO_COLOR", "1")
	if onTerminal(tty) {
		t.Error("NO_COLOR is not respected")
	}
}
