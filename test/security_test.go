package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every claim of docs/security.md names a test, and every test that it names is there.
func TestSecurityClaims(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	there := allTests(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	claims := 0
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		for _, claim := range strings.Split(section, "\n- ")[1:] {
			claim, _, _ = strings.Cut(claim, "\n\n")
			claims++
			tests := named.FindAllStringSubmatch(claim, -1)
			if len(tests) == 0 {
				t.Errorf("no test backs the claim: %s", claim)
			}
			for _, name := range tests {
				if !there[name[1]] {
					t.Errorf("there is no %s, which is to back: %s", name[1], claim)
				}
			}
		}
	}
	if claims < 40 {
		t.Errorf("only %d claims were read", claims)
	}
}

// allTests are the names of all tests and fuzz targets of the module.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && (e.Name() == ".cache" || e.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				all[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
