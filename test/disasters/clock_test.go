package disasters_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shiftedClock is a clock that begins at the instant that the environment names, and goes on from there.
const shiftedClock = `package main

import (
	"os"
	"time"
)

func shiftedNow() time.Time {
	begin, err := time.Parse(time.RFC3339, os.Getenv("OFFSITE_TEST_CLOCK"))
	if err != nil {
		panic(err)
	}
	return begin.Add(time.Since(started))
}

var started = time.Now()
`

// buildShifted builds the program with another clock in the one place in which the agent is given one (cmd/offsite/load.go), so that
// weeks of nightly dumps need no weeks. Nothing else in it is different.
func buildShifted(t *testing.T, program string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "offsite/cmd/offsite").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, dir := strings.TrimSpace(string(out)), t.TempDir()
	load, err := os.ReadFile(filepath.Join(source, "load.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(load), "Now: time.Now,") {
		t.Fatal("cmd/offsite/load.go gives the agent no clock any more: look where it gets it")
	}
	replace := map[string]string{}
	for name, text := range map[string]string{"load.go": strings.ReplaceAll(string(load), "time.Now", "shiftedNow"), "shifted_clock.go": shiftedClock} {
		replace[filepath.Join(source, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("go", "build", "-overlay", path, "-o", program, "offsite/cmd/offsite"))
}
