// Command report reads the output of `go test -json` and prints what a person wants of it: a line for each package,
// the output of what failed, and the counts. It fails when a test failed or was skipped, and when none ran: a skip in
// CI is a promise that nobody checked.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of test2json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	if !report(os.Stdin, os.Stdout) {
		os.Exit(1)
	}
}

func report(in io.Reader, out io.Writer) bool {
	var passed, failed, skipped int
	output := map[string]*strings.Builder{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		if output[key] == nil {
			output[key] = new(strings.Builder)
		}
		switch e.Action {
		case "output":
			output[key].WriteString(e.Output)
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "pass", "skip", "fail":
			if e.Test == "" {
				fmt.Fprintf(out, "%-4s %-40s %7.1fs\n", e.Action, e.Package, e.Elapsed)
				if e.Action == "fail" {
					failed++ // also a package that does not build, or whose TestMain fails
					fmt.Fprint(out, output[key])
				}
				break
			}
			switch e.Action {
			case "pass":
				passed++
			case "skip":
				skipped++
				fmt.Fprintf(out, "SKIPPED %s\n%s", key, output[key])
			case "fail":
				failed++
				fmt.Fprintf(out, "FAILED %s\n%s", key, output[key])
			}
			delete(output, key)
		}
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return lines.Err() == nil && failed == 0 && skipped == 0 && passed > 0
}
