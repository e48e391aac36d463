package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// random is a dump of so many bytes that do not compress.
func random(seed byte, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// The program is killed again and again in the middle of its work, on every kind of target. In the end there is one
// backup on each, whole, and nothing else.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	in := install(t, fourTargets...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dump := random(1, 400<<20)
	if err := os.WriteFile(filepath.Join(in.dumps, "shop_20261122_030001.sql"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	killed := 0
	for run := range 6 {
		cmd := in.command(t.Context(), "agent", "--once")
		log, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Only the first run must settle and find the dump; the others go on at once.
		for lines := bufio.NewScanner(log); run == 0 && lines.Scan() && !strings.Contains(lines.Text(), "found dump"); {
		}
		time.Sleep(time.Duration(20+r.IntN(200)) * time.Millisecond) // somewhere in the transfer
		cmd.Process.Kill()
		io.Copy(io.Discard, log)
		if cmd.Wait() != nil && cmd.ProcessState.ExitCode() == -1 {
			killed++
		}
	}
	t.Logf("killed %d times", killed)
	if killed < 2 {
		t.Error("the program was hardly ever killed: nothing was tried")
	}
	_, said := in.run(0, "agent", "--once")
	all := in.list()
	if len(all) != len(fourTargets) {
		t.Errorf("%d backups, want one on each target: %+v\n%s", len(all), all, said)
	}
	for _, l := range all {
		if left := in.leftovers(l.Target); len(left) > 0 {
			t.Errorf("%s: left behind: %q", l.Target, left)
		}
		back, _ := in.run(0, "restore", "--identity", in.identity, "--target", l.Target, "-o", "-", "shop")
		if back != string(dump) {
			t.Errorf("%s: %d bytes came back, want %d, or others", l.Target, len(back), len(dump))
		}
	}
	if names := everything(t, filepath.Join(in.dir, "nas")); len(names) != 2 {
		t.Errorf("the directory holds %q, want data and manifest", names)
	}

	// Without its state, the agent sends nothing again.
	if err := os.RemoveAll(filepath.Join(in.dir, "state")); err != nil {
		t.Fatal(err)
	}
	if _, said := in.run(0, "agent", "--once"); strings.Count(said, "is there already") != len(fourTargets) {
		t.Error(said)
	}
	if again := in.list(); len(again) != len(fourTargets) {
		t.Errorf("%+v", again)
	}
}

// everything is the names of the objects below a directory target.
func everything(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != ".offsite-target" {
			names = append(names, e.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// running starts the service, and stops it by SIGINT, as Ctrl-C does, when the test ends.
func (in *installation) running() (log *bytes.Buffer, stop func()) {
	in.t.Helper()
	log = &bytes.Buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := in.command(ctx, "agent")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		begin := time.Now()
		cmd.Wait()
		if took := time.Since(begin); took > 30*time.Second {
			in.t.Errorf("stopping took %v", took)
		}
	}
	in.t.Cleanup(stop)
	return log, stop
}

// eventually waits until the target holds so many backups, and gives them by their file names, the newest last.
func (in *installation) eventually(backups int) map[string][]listed {
	in.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		names := everything(in.t, filepath.Join(in.dir, "nas"))
		manifests := 0
		for _, n := range names {
			if strings.HasSuffix(n, ".manifest") {
				manifests++
			}
		}
		if manifests >= backups || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	byName := map[string][]listed{}
	all := in.list()
	for _, l := range all {
		byName[l.Name] = append(byName[l.Name], l)
	}
	if len(all) != backups {
		in.t.Fatalf("%d backups, want %d", len(all), backups)
	}
	return byName
}

// What cron jobs, scripts and people do to files while the service runs.
func TestDumpsAsTheyCome(t *testing.T) {
	t.Parallel()
	in := install(t, "nas")
	in.configure("keep: {last: forever}\nseries: [{match: \"small*\", expect: never}]") // or most of these dumps would be declined as history, and missed since
	at := func(name string) string { return filepath.Join(in.dumps, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	restored := func(l listed) string {
		t.Helper()
		out, _ := in.run(0, "restore", "--identity", in.identity, "-o", "-", l.Object)
		return out
	}
	write("before.sql", "arrived while the agent was down")
	log, stop := in.running()
	in.eventually(1)

	// Bursts with pauses longer than settling, by a writer that keeps the file open.
	slow, err := os.Create(at("slow.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := slow.WriteString("a burst of a dump\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2500 * time.Millisecond)
	}
	if names := everything(t, filepath.Join(in.dir, "nas")); len(names) != 2 {
		t.Errorf("a dump that is being written was shipped: %q", names)
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
	if got := restored(in.eventually(2)["slow.sql"][0]); got != strings.Repeat("a burst of a dump\n", 3) {
		t.Errorf("slow.sql came back as %q", got)
	}

	// Renamed in from a hidden name; written over in place.
	write(".renamed.sql.tmp", "renamed")
	if err := os.Rename(at(".renamed.sql.tmp"), at("renamed.sql")); err != nil {
		t.Fatal(err)
	}
	write("daily.sql", "of monday")
	in.eventually(4)
	write("daily.sql", "of tuesday, which is longer")
	days := in.eventually(5)["daily.sql"]
	if len(days) != 2 {
		t.Fatalf("%+v", days)
	}
	if a, b := restored(days[0]), restored(days[1]); a != "of monday" || b != "of tuesday, which is longer" {
		t.Errorf("%q, %q", a, b)
	}

	// Two thousand at once.
	for i := range 2000 {
		write("small"+string(rune('a'+i%26))+"_20260101_"+stampOf(i)+".sql", "small")
	}
	in.eventually(2005)
	stop()
	if strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "level=WARN") {
		t.Error(log.String())
	}
	if left := in.leftovers("nas"); len(left) > 0 {
		t.Errorf("%q", left)
	}
}

// stampOf is a time of day for each number.
func stampOf(i int) string {
	return time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC).Format("150405")
}
