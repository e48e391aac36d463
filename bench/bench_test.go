package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The program that compares works: one contest is run on small files, and told in three forms.
func TestAContestIsRunAndReported(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "offsite")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/offsite").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := prepare(t.Context(), settings{
		rounds: 2, size: 3 << 20, only: regexp.MustCompile("^dir/offsite"), dir: dir, offsite: binary, servers: dir, tools: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.clean()
	results, err := b.race(t.Context(), b.contests())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "figures")
	if err := report(name, b.versions(t.Context()), results, ""); err != nil {
		t.Fatal(err)
	}
	for ending, want := range map[string]string{".tsv": "dir\toffsite push\t2\t", ".md": "**offsite push**", ".svg": "offsite push</text>"} {
		text, err := os.ReadFile(name + ending)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v: %s", ending, err, text)
		}
	}
}

func TestMedianAndRatio(t *testing.T) {
	of := func(ours, floor bool, seconds ...int) *result {
		r := &result{contest: "c", contestant: "k", ours: ours, floor: floor, bytes: 2 << 30}
		for _, s := range seconds {
			r.samples = append(r.samples, sample{wall: time.Duration(s) * time.Second, cpu: time.Duration(2*s) * time.Second, peak: int64(s) << 20})
		}
		return r
	}
	table := markdown(nil, []*result{of(true, false, 9, 3, 5), of(false, true, 4, 4, 100)})
	for _, want := range []string{"| **k** | 5.00 | 1.25 | 5.00 | 5 |", "| k | 4.00 | 1.00 | 4.00 | 4 |"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

// A pipeline fails when any of its processes does, and says which.
func TestAPipelineThatFailsSaysWhere(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	s, err := measure(t.Context(), []command{{argv: []string{"sh", "-c", "echo one; echo two"}}, {argv: []string{"cat"}, stdout: out}})
	if err != nil || s.peak == 0 || s.wall == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "one\ntwo\n" {
		t.Errorf("%q, %v", text, err)
	}
	_, err = measure(t.Context(), []command{{argv: []string{"sh", "-c", "echo broken >&2; exit 3"}}, {argv: []string{"cat"}, stdout: out}})
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
}
