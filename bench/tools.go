package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// tool is a program that may be there, and how to ask its version.
type tool struct {
	name    string
	version []string
}

var known = []tool{
	{"age", []string{"--version"}}, {"mc", []string{"--version"}}, {"s5cmd", []string{"version"}}, {"rclone", []string{"version"}},
	{"restic", []string{"version"}}, {"curl", []string{"--version"}}, {"ssh", []string{"-V"}}, {"scp", nil}, {"sftp", nil},
	{"minio", []string{"--version"}}, {"taskset", nil},
}

// findTools gives the path of each tool that is there.
func (s *settings) findTools() map[string]string {
	found := map[string]string{}
	for _, t := range known {
		for _, dir := range []string{s.tools, s.servers} {
			path := filepath.Join(dir, t.name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && found[t.name] == "" {
				found[t.name] = path
			}
		}
		if found[t.name] == "" {
			if path, err := exec.LookPath(t.name); err == nil {
				found[t.name] = path
			}
		}
	}
	return found
}

func (b *bench) has(needs []string) bool {
	for _, n := range needs {
		if b.tools[n] == "" {
			return false
		}
	}
	return true
}

// versions says what was measured on what.
func (b *bench) versions(ctx context.Context) []string {
	all := []string{fmt.Sprintf("%s, %d processors, %s", runtime.Version(), runtime.NumCPU(), processor())}
	all = append(all, "offsite: "+firstLine(ctx, b.offsite, "version"))
	for _, t := range known {
		if b.tools[t.name] == "" {
			all = append(all, t.name+": not there")
		} else if t.version != nil {
			all = append(all, t.name+": "+firstLine(ctx, b.tools[t.name], t.version...))
		}
	}
	return all
}

func firstLine(ctx context.Context, program string, args ...string) string {
	out, _ := exec.CommandContext(ctx, program, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return "unknown processor"
}
