package disasters_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"offsite/test/servers"
)

// disasters are all, in the order of the table.
var disasters = []struct {
	risk   string
	happen func(*host) outcome
}{
	{"container stopped", containerStopped},
	{"container removed", containerRemoved},
	{"volume removed", volumeRemoved},
	{"host disk dead", hostDiskDead},
	{"dumps deleted, offsite already", dumpsDeletedAfter},
	{"dumps deleted, not yet offsite", dumpsDeletedBefore},
	{"dumps deleted, agent dead too", dumpsDeletedUnseen},
	{"dumps encrypted by ransomware", dumpsEncrypted},
	{"attacker with the host's credentials", attackerWithCredentials},
	{"cron broken: no dumps", cronWritesNothing},
	{"cron broken: empty dumps", cronWritesEmptyDumps},
	{"bucket lost", bucketLost},
	{"age identity rotated", identityRotated},
}

// TestDisasters prints the table of what it measured. Times are no part of what it asserts: machines differ.
func TestDisasters(t *testing.T) {
	w := newWorld(t)
	outcomes := make([]*outcome, len(disasters))
	t.Run("disaster", func(t *testing.T) { // ends when all have
		for i, d := range disasters {
			t.Run(d.risk, func(t *testing.T) {
				t.Parallel()
				o := d.happen(newHost(t, w, d.risk))
				o.risk = d.risk
				outcomes[i] = &o
			})
		}
	})
	t.Logf("\n%s", table(outcomes))
}

// The document tells of every disaster that is re-enacted, and of no other.
func TestTheDocumentNamesEveryDisaster(t *testing.T) {
	text, err := os.ReadFile("../../docs/disasters.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(text), headLine)
	for _, d := range disasters {
		if !strings.Contains(rows, "\n| "+d.risk+" | ") {
			t.Errorf("docs/disasters.md has no row for %q", d.risk)
		}
	}
	if n := strings.Count(rows, "\n| "); n != len(disasters) {
		t.Errorf("docs/disasters.md has %d rows, want %d", n, len(disasters))
	}
}

// world is what lies outside of all hosts: the built program, the servers, and the database as it was when last night's dump was made.
type world struct {
	program, shifted string
	minio, versity   *servers.S3
	ssh              *servers.OpenSSH
	volume           string // of the database
	was              contents
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{minio: servers.MinIO(t, false), versity: servers.VersityGW(t), ssh: servers.StartOpenSSH(t)}
	w.minio.MakeBucket(t, "locked", true)
	if err := os.Mkdir(filepath.Join(w.versity.Data, "lost"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w.program, w.shifted = filepath.Join(dir, "offsite"), filepath.Join(dir, "offsite-shifted")
	must(t, exec.Command("go", "build", "-o", w.program, "offsite/cmd/offsite"))
	buildShifted(t, w.shifted)
	w.fill(t)
	return w
}

// must runs a command.
func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", cmd.Args, err, out)
	}
	return string(out)
}
