package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"offsite": main, "serve-given": serveGiven})
}

// The commands as a user has them, one script each. Stock age is the witness.
func TestScripts(t *testing.T) {
	tools := os.Getenv("OFFSITE_TEST_BIN")
	if tools == "" {
		tools, _ = filepath.Abs("../../.cache/bin")
	}
	if _, err := os.Stat(filepath.Join(tools, "age")); err != nil {
		t.Fatalf("stock age is missing: make servers (%v)", err)
	}
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", tools+string(filepath.ListSeparator)+e.Getenv("PATH"))
			e.Setenv("OFFSITE_CONFIG", filepath.Join(e.WorkDir, "etc", "offsite.yaml"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "identity": identity, "days": days, "count": count, "waitfor": waitFor},
	})
}
