package main

import (
	"fmt"
	"strings"
	"testing"
)

// What CI goes by: everything ran, and nothing failed or was skipped.
func TestWhatARunIsWorth(t *testing.T) {
	event := func(action, test, output string) string {
		return fmt.Sprintf(`{"Action":%q,"Package":"p","Test":%q,"Output":%q}`+"\n", action, test, output)
	}
	pass, end := event("pass", "TestA", ""), event("pass", "", "")
	for _, c := range []struct {
		name, in string
		good     bool
		says     string
	}{
		{"all is well", pass + end, true, "1 passed, 0 failed, 0 skipped"},
		{"nothing ran", "", false, "0 passed"},
		{"a package without tests", event("skip", "", ""), false, "0 passed"},
		{"a skip", pass + event("output", "TestB", "no sshd here") + event("skip", "TestB", "") + end, false, "SKIPPED p TestB\nno sshd here"},
		{"a failure", pass + event("output", "TestB", "broken") + event("fail", "TestB", "") + event("fail", "", ""), false, "FAILED p TestB\nbroken"},
		{"a package that does not build", pass + `{"Action":"build-output","Output":"undefined: x"}` + "\n" + event("fail", "", ""), false, "undefined: x"},
		{"what is no event is shown", "go: downloading\n" + pass, true, "go: downloading"},
	} {
		var out strings.Builder
		if good := report(strings.NewReader(c.in), &out); good != c.good || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: %v\n%s", c.name, good, &out)
		}
	}
}
