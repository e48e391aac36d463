package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// contest is one job that several contestants do.
type contest struct {
	name  string
	bytes int64 // of plaintext that the job moves; 0: it is not about bytes
	// prepare brings the place to the same state before each run.
	prepare     func(context.Context) error
	contestants []contestant
}

// contestant is one way to do the job.
type contestant struct {
	name string
	// ours marks offsite, floor what moves the bytes without encrypting them.
	ours, floor bool
	needs       []string // tools
	pipeline    []command
	// before brings this contestant's own state to the start; nil: it has none.
	before func(context.Context) error
	// check proves that it did the job.
	check func() error
}

// result is all samples of one contestant.
type result struct {
	contest, contestant string
	ours, floor         bool
	bytes               int64
	samples             []sample
}

// race runs all contestants of each contest in turns.
func (b *bench) race(ctx context.Context, contests []contest) (all []*result, err error) {
	for _, c := range contests {
		var entered []contestant
		var results []*result
		for _, k := range c.contestants {
			if !b.only.MatchString(c.name+"/"+k.name) && !k.floor || !b.has(k.needs) {
				continue
			}
			entered = append(entered, k)
			results = append(results, &result{contest: c.name, contestant: k.name, ours: k.ours, floor: k.floor, bytes: c.bytes})
		}
		if !anyButFloor(entered) {
			continue
		}
		all = append(all, results...)
		for round := range b.rounds {
			for i, k := range entered {
				s, err := b.turn(ctx, c, k)
				if err != nil {
					return all, fmt.Errorf("%s, %s: %w", c.name, k.name, err)
				}
				results[i].samples = append(results[i].samples, s)
				fmt.Fprintf(os.Stderr, "%d/%d %s: %s: %.2fs, %.2fs of CPU, %d MiB\n", round+1, b.rounds, c.name, k.name, s.wall.Seconds(), s.cpu.Seconds(), s.peak>>20)
			}
		}
	}
	return all, nil
}

func anyButFloor(all []contestant) bool {
	for _, k := range all {
		if !k.floor {
			return true
		}
	}
	return false
}

func (b *bench) turn(ctx context.Context, c contest, k contestant) (s sample, err error) {
	for _, step := range []func(context.Context) error{c.prepare, k.before} {
		if step != nil {
			if err := step(ctx); err != nil {
				return s, err
			}
		}
	}
	time.Sleep(300 * time.Millisecond) // for what the servers still do after the run before
	if s, err = measure(ctx, k.pipeline); err != nil {
		return s, err
	}
	if k.check != nil {
		err = k.check()
	}
	return s, err
}
