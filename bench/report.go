package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// median of the samples, each figure on its own.
func (r *result) median() sample {
	return sample{
		wall: middle(r.samples, func(s sample) time.Duration { return s.wall }),
		cpu:  middle(r.samples, func(s sample) time.Duration { return s.cpu }),
		peak: middle(r.samples, func(s sample) int64 { return s.peak }),
	}
}

func middle[T cmp.Ordered](all []sample, of func(sample) T) T {
	var values []T
	for _, s := range all {
		values = append(values, of(s))
	}
	slices.Sort(values)
	var zero T
	if len(values) == 0 {
		return zero
	}
	return values[len(values)/2]
}

// report prints the table, and writes it beside all samples and a chart if there is a name for them.
func report(name string, versions []string, results []*result, more string) error {
	table := markdown(versions, results) + more
	fmt.Print(table)
	if name == "" {
		return nil
	}
	for ending, text := range map[string]string{".tsv": tsv(results), ".md": table, ".svg": chart(results)} {
		if err := os.WriteFile(name+ending, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tsv has one line for each run.
func tsv(results []*result) string {
	var b strings.Builder
	b.WriteString("contest\tcontestant\tround\twall_s\tcpu_s\tpeak_mib\n")
	for _, r := range results {
		for i, s := range r.samples {
			fmt.Fprintf(&b, "%s\t%s\t%d\t%.3f\t%.3f\t%.1f\n", r.contest, r.contestant, i+1, s.wall.Seconds(), s.cpu.Seconds(), mib(s.peak))
		}
	}
	return b.String()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// markdown has one table for each contest: medians, and the wall time against that of the floor.
func markdown(versions []string, results []*result) string {
	var b strings.Builder
	for _, v := range versions {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	for len(results) > 0 {
		name := results[0].contest
		n := slices.IndexFunc(results, func(r *result) bool { return r.contest != name })
		if n < 0 {
			n = len(results)
		}
		b.WriteString(contestTable(name, results[:n]))
		results = results[n:]
	}
	return b.String()
}

func contestTable(name string, results []*result) string {
	var b strings.Builder
	var floor time.Duration
	for _, r := range results {
		if r.floor && (floor == 0 || r.median().wall < floor) {
			floor = r.median().wall
		}
	}
	fmt.Fprintf(&b, "\n### %s\n\n| | wall s | of the floor | CPU %s | peak MiB |\n|---|---|---|---|---|\n", name, cpuUnit(results[0]))
	for _, r := range results {
		m, ratio, label := r.median(), "", strings.ReplaceAll(r.contestant, "|", `\|`)
		if floor > 0 {
			ratio = fmt.Sprintf("%.2f", float64(m.wall)/float64(floor))
		}
		if r.ours {
			label = "**" + label + "**"
		}
		fmt.Fprintf(&b, "| %s | %.2f | %s | %.2f | %.0f |\n", label, m.wall.Seconds(), ratio, r.cpu(m), mib(m.peak))
	}
	return b.String()
}

func cpuUnit(r *result) string {
	if r.bytes > 0 {
		return "s/GiB"
	}
	return "s"
}

// cpu is seconds of it for each GiB, or for the whole job.
func (r *result) cpu(s sample) float64 {
	if r.bytes > 0 {
		return s.cpu.Seconds() * (1 << 30) / float64(r.bytes)
	}
	return s.cpu.Seconds()
}
