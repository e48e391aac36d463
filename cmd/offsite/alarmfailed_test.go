package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offsite/crypto"
)

// What OnFailure= starts tells by the ways of the configuration, whether the watched directory is there or not, what systemd says of the unit.
func TestAUnitThatHasFailedIsTold(t *testing.T) {
	dir := t.TempDir()
	config, told := filepath.Join(dir, "offsite.yaml"), filepath.Join(dir, "told")
	_, recipient, err := crypto.GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MONITOR_SERVICE_RESULT", "watchdog")
	t.Setenv("MONITOR_EXIT_STATUS", "ABRT")
	whole := "host: db-server\nwatch: [{path: /nowhere/dumps}]\nrecipients: [" + recipient + "]\ntargets: {nas: {dir: {path: /nowhere/nas}}}\n" +
		"alarms: {ways: {file: {command: [/bin/sh, -c, \"cat >> " + told + "\"]}}}\n"
	for _, wrong := range []string{ // in the configuration, which is perhaps why the unit has failed
		"",
		"zone: Nowhere\n",
		"hosts: [x, y]\nkeep: {daily: many}\n",
		"targets: {nas: {dir: {path: relative}}}\n",
		"keep: {daily: 7\nseries: [\n\tx: y\n", // no YAML at all
		"alarms_: {}\n",
	} {
		if err := os.WriteFile(config, []byte(wrong+whole), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"--config", config, "alarm", "failed", agentUnit}, streams{nil, &out, &errs}); code != 0 || !strings.Contains(out.String(), "file: ok") {
			t.Errorf("%q: exit code %d: %s%s", wrong, code, out.String(), errs.String())
			continue
		}
		message, err := os.ReadFile(told)
		for _, words := range []string{"[offsite db-server]", "unit/offsite.service", "offsite.service has failed: watchdog, status ABRT", "NO DUMP IS SHIPPED", "journalctl -u offsite.service"} {
			if !strings.Contains(string(message), words) {
				t.Errorf("%q: nothing of %q was told: %v, %s", wrong, words, err, message)
			}
		}
		if err := os.Remove(told); err != nil {
			t.Fatal(err)
		}
	}
}

// Without a way that can be read nobody is told, and that is said.
func TestNobodyCanBeToldOfAFailedUnit(t *testing.T) {
	config := filepath.Join(t.TempDir(), "offsite.yaml")
	for text, want := range map[string]string{
		"host: h\n": "alarms.ways: is not there", "host: h\nalarms: {ways: {x: {url: nonsense}}}\n": "alarms.ways.x.url", "alarms: [\n": "offsite.yaml:",
	} {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"--config", config, "alarm", "failed", agentUnit}, streams{nil, &out, &errs}); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: exit code %d: %s, want %q", text, code, errs.String(), want)
		}
	}
}
