package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits CODE PROGRAM ARGS...: the program exits with exactly this code. Its output goes to out and err.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(ts.ReadFile("stdout")), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), []byte(ts.ReadFile("stderr")), 0o600))
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// one is the only file that matches.
func one(ts *testscript.TestScript, pattern string) string {
	found, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%s matches %q", pattern, found)
	}
	return found[0]
}

// flip PATTERN OFFSET: one bit of the matching file changes; a negative offset cuts as many bytes off its end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	path := one(ts, args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		b = b[:len(b)+at]
	} else {
		b[at] ^= 1
	}
	ts.Check(os.WriteFile(path, b, 0o600))
}

// identity: the secret key from the recovery kit goes to id.txt.
func identity(ts *testscript.TestScript, neg bool, args []string) {
	key := regexp.MustCompile(`AGE-SECRET-KEY-\S+`).FindString(ts.ReadFile("etc/offsite-recovery-kit.txt"))
	ts.Check(os.WriteFile(ts.MkAbs("id.txt"), []byte(key+"\n"), 0o600))
}

// days PREFIX FIRST N: a dump for each of N days, at three in the morning, PREFIX_20060102_030000.sql.
func days(ts *testscript.TestScript, neg bool, args []string) {
	first, err := time.Parse(time.DateOnly, args[1])
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	for i := range n {
		stamp := first.AddDate(0, 0, i).Format("20060102") + "_030000"
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+"_"+stamp+".sql"), []byte("dump of "+stamp), 0o600))
	}
}

// count PATTERN N: so many files match.
func count(ts *testscript.TestScript, neg bool, args []string) {
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if want, _ := strconv.Atoi(args[1]); len(found) != want {
		ts.Fatalf("%d files match %s, want %d", len(found), args[0], want)
	}
}

// waitfor FILE: it is there, within a minute.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not come", args[0])
}
