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
	text := "host: db-server\nwatch: [{path: /nowhere/dumps}]\nrecipients: [" + recipient + "]\ntargets: {nas: {dir: {path: /nowhere/nas}}}\n" +
		"alarms: {ways: {file: {command: [/bin/sh, -c, \"cat >> " + told + "\"]}}}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MONITOR_SERVICE_RESULT", "watchdog")
	t.Setenv("MONITOR_EXIT_STATUS", "ABRT")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--config", config, "alarm", "failed", agentUnit}, streams{nil, &out, &errs}); code != 0 || !strings.Contains(out.String(), "file: ok") {
		t.Fatalf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	message, err := os.ReadFile(told)
	for _, words := range []string{"unit/offsite.service", "offsite.service has failed: watchdog, status ABRT", "NO DUMP IS SHIPPED", "journalctl -u offsite.service"} {
		if !strings.Contains(string(message), words) {
			t.Errorf("nothing of %q was told: %v, %s", words, err, message)
		}
	}
}
