package disasters_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"offsite/test/servers"
)

// host is the user's, with its own disk, and what is his elsewhere.
type host struct {
	t *testing.T
	w *world
	// disk is all that dies with the host: the user's home, the volume, /etc and /var.
	disk                 string
	server, dumps, state string
	volume, config       string
	// elsewhere is what does not: the recovery kit in a safe, and the NAS.
	elsewhere, kit, nas string
	place               string      // this host's directory on the servers
	own                 *servers.S3 // a server for this host alone, if it has one
	hook                *receiver
	db                  *servers.Postgres
	service             *exec.Cmd
	ended               chan struct{} // closed when the service has
	log                 string
}

// allTargets are what each host has.
var allTargets = []string{"nas", "minio", "versity", "shore"}

// cronScript is the user's: no pipefail, so that a pg_dump that fails leaves an empty dump, which gzip -t finds to be in order.
const cronScript = `#!/bin/bash
# 0 3 * * * /home/statex/database-server/backup.sh
cd "$(dirname "$0")" || exit 1
db=crypto-ai-agent
stamp=$(date -u ${AT:+-d "$AT"} +%Y%m%d_%H%M%S)
pg_dump "$db" | gzip >"backups/${db}_$stamp.sql.gz"
ln -sf "${db}_$stamp.sql.gz" backups/latest.sql.gz
echo -n "${db}_$stamp.sql.gz"
`

// newHost is a host on which the database runs, and offsite is set up but has not run yet.
func newHost(t *testing.T, w *world, name string) *host {
	t.Helper()
	h := &host{t: t, w: w, place: regexp.MustCompile(`[^a-z]+`).ReplaceAllString(name, "-"), elsewhere: t.TempDir(), hook: newReceiver(t)}
	disk, err := os.MkdirTemp("/tmp", "host") // not t.TempDir: sockets lie below it, whose paths may have 107 bytes only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(disk) })
	h.disk, h.log = disk, filepath.Join(h.elsewhere, "agent.log")
	h.server, h.state = filepath.Join(disk, "home/statex/database-server"), filepath.Join(disk, "var/lib/offsite")
	h.dumps, h.volume, h.config = filepath.Join(h.server, "backups"), filepath.Join(disk, "volumes/pgdata"), filepath.Join(disk, "etc/offsite/offsite.yaml")
	h.kit, h.nas = filepath.Join(h.elsewhere, "recovery-kit.txt"), filepath.Join(h.elsewhere, "nas")
	for _, dir := range []string{h.dumps, h.state, filepath.Dir(h.volume), filepath.Dir(h.config)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(disk, 0o755); err != nil { // the server is another user
		t.Fatal(err)
	}
	h.write(filepath.Join(h.server, "backup.sh"), cronScript, 0o755)
	w.copyVolume(t, h.volume)
	h.db = servers.StartContainer(t, h.volume)
	t.Cleanup(func() {
		if said, err := os.ReadFile(h.log); t.Failed() && err == nil {
			t.Logf("%s", said[max(0, len(said)-12000):])
		}
	})
	return h
}

func (h *host) write(path, text string, mode os.FileMode) {
	h.t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
}

// setUp is what the operator does once: offsite init for these targets, a webhook for alarms, and the recovery kit goes off the host.
func (h *host) setUp(targets ...string) {
	h.t.Helper()
	etc := filepath.Dir(h.config)
	access, secret := filepath.Join(etc, "access"), filepath.Join(etc, "secret")
	h.write(access, h.w.minio.AccessKey, 0o600) // both servers have the same keys
	h.write(secret, h.w.minio.SecretKey, 0o600)
	bucket := func(s *servers.S3, bucket string) string {
		if s == nil {
			return ""
		}
		return "s3+" + s.Endpoint + "/" + bucket + "/" + h.place + "?access_key_file=" + access + "&secret_key_file=" + secret
	}
	places := map[string]string{
		"nas": h.nas, "own": bucket(h.own, "backups"), "minio": bucket(h.w.minio, "backups"), "versity": bucket(h.w.versity, "backups"), "lost": bucket(h.w.versity, "lost"),
		"locked": bucket(h.w.minio, "locked") + "&lock=compliance",
		"shore":  fmt.Sprintf("sftp://%s@%s:%d/%s?key_file=%s", h.w.ssh.User, h.w.ssh.Host, h.w.ssh.Port, h.place, filepath.Join(etc, "ssh-key")),
	}
	key, err := os.ReadFile(h.w.ssh.KeyFile)
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(filepath.Join(etc, "ssh-key"), string(key), 0o600)
	args := []string{"init", "--yes", "--host", "db-server", "--zone", "UTC", "--state", h.state, "--watch", h.dumps}
	for _, name := range targets {
		args = append(args, "--target", name+"="+places[name])
	}
	h.offsite(0, args...)
	h.configure(func(text string) string {
		return text + fmt.Sprintf("\nalarms:\n  ways:\n    hook: {webhook: {url: %q, secret: %q}}\n", h.hook.url, hookSecret)
	})
	h.must(os.Rename(filepath.Join(etc, "offsite-recovery-kit.txt"), h.kit))
	h.must(os.Remove(filepath.Join(etc, "offsite-recovery-kit.html")))
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// configure changes the configuration.
func (h *host) configure(change func(text string) string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	h.must(err)
	h.write(h.config, change(string(text)), 0o600)
}

func (h *host) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"--config", h.config}, args...)...)
	cmd.Dir = filepath.Dir(h.config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// offsite runs the program to its end, and gives its standard output and error.
func (h *host) offsite(want int, args ...string) (string, string) {
	h.t.Helper()
	return h.finish(h.command(h.w.program, args...), want)
}

func (h *host) finish(cmd *exec.Cmd, want int) (string, string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		h.t.Fatalf("%q: exit code %d (%v), want %d\n%s%s", cmd.Args, code, err, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// start starts the service.
func (h *host) start() {
	h.t.Helper()
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	h.must(err)
	h.service = h.command(h.w.program, "agent")
	h.service.Stdout, h.service.Stderr = log, log
	h.ended = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // it dies with the thread that starts it, and others may end before the test does
		defer runtime.UnlockOSThread()
		defer close(h.ended)
		defer log.Close()
		err := h.service.Start()
		started <- err
		if err == nil {
			h.service.Wait()
		}
	}()
	h.must(<-started)
	h.t.Cleanup(h.kill)
	h.said("msg=watching")
}

// kill kills the service, if it runs.
func (h *host) kill() {
	if h.service != nil {
		h.service.Process.Kill()
		<-h.ended
		h.service = nil
	}
}

// said waits until the service has said something.
func (h *host) said(text string) {
	h.t.Helper()
	h.until(fmt.Sprintf("the service says %q", text), func() bool {
		log, err := os.ReadFile(h.log)
		return err == nil && bytes.Contains(log, []byte(text))
	})
}

func (h *host) until(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("it does not come: %s", what)
		}
	}
}

// cron runs the user's script as cron did at an instant, and gives the name of the dump that it wrote.
func (h *host) cron(at time.Time) string {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(h.server, "backup.sh"))
	cmd.Env = append(h.db.Env(), "AT=@"+fmt.Sprint(at.Unix()))
	name, err := cmd.Output()
	h.must(err)
	h.must(os.Chtimes(filepath.Join(h.dumps, string(name)), at, at))
	return string(name)
}

// lastNight is what every disaster finds: last night's dump is offsite, and a day's work is not.
func (h *host) lastNight(targets ...string) (name string) {
	h.t.Helper()
	h.setUp(targets...)
	at := h.w.was.newest
	name = h.cron(at)
	h.offsite(0, "agent", "--once")
	h.holds(name, targets...)
	work(h.t, h.db, at, time.Now())
	return name
}

// backup is what `offsite list --json` says of one.
type backup struct {
	Target, Object, Name, Health string
	Taken                        time.Time
}

func (h *host) list(args ...string) (all []backup) {
	h.t.Helper()
	out, _ := h.offsite(0, append([]string{"list", "--json"}, args...)...)
	h.must(json.Unmarshal([]byte(out), &all))
	return all
}

// holds makes sure that a dump is, whole, on these targets and on no others.
func (h *host) holds(name string, targets ...string) {
	h.t.Helper()
	var on []string
	for _, b := range h.list() {
		if b.Name == name && b.Health == "ok" {
			on = append(on, b.Target)
		}
	}
	slices.Sort(on)
	if !slices.Equal(on, slices.Sorted(slices.Values(targets))) {
		h.t.Errorf("%s is on %q, want %q", name, on, targets)
	}
}

// back restores the newest healthy dump into a new database, by the command that the README has, and gives what is in it.
func (h *host) back(pg *servers.Postgres, name string, args ...string) contents {
	h.t.Helper()
	pg.Run(h.t, nil, "createdb", name)
	script := "set -euo pipefail; " + h.w.program + ` restore -o - "${@:2}" ` + database + ` | gunzip | psql -Xqo /dev/null -v ON_ERROR_STOP=1 "$1"`
	cmd := exec.Command("bash", append([]string{"-c", script, "restore", name}, args...)...)
	cmd.Env, cmd.Dir = append(pg.Env(), "HOME="+h.elsewhere), h.elsewhere
	must(h.t, cmd)
	return look(h.t, pg, name)
}

// same makes sure that what came back is what it should be, row for row.
func (h *host) same(how string, got, want contents) {
	h.t.Helper()
	if got.sums != want.sums {
		h.t.Errorf("%s: there is\n%s\nwant\n%s", how, got.sums, want.sums)
	}
}
