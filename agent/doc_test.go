package agent_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tour names every file, and none that is not there.
func TestTheTourNamesEveryFile(t *testing.T) {
	tour, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{"doc.go": true}
	for _, name := range regexp.MustCompile(`\b[a-z]+\.go\b`).FindAllString(string(tour), -1) {
		named[name] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && !named[file] {
			t.Errorf("doc.go does not say what %s is for", file)
		}
		delete(named, file)
	}
	for name := range named {
		t.Errorf("doc.go names %s, which is not there", name)
	}
}
