package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"offsite/agent"
	"offsite/configs"
	"offsite/providers"
	"offsite/providers/dir"
)

// openTarget is the only place that knows every kind of target.
func openTarget(t configs.Target) (target providers.Target, location string, err error) {
	switch {
	case t.Dir != nil:
		target, err = dir.New(*t.Dir)
		return target, "dir:" + t.Dir.Path, err
	}
	return nil, "", fmt.Errorf("target %s has no kind", t.Name)
}

// prepareTarget makes ready what can be: the marker of a directory.
func prepareTarget(t configs.Target) error {
	if t.Dir != nil {
		return dir.Init(*t.Dir)
	}
	return nil
}

// openTargets opens those of the configuration, or the one called name.
func openTargets(c *configs.Config, name string) ([]agent.Target, error) {
	var open []agent.Target
	for _, t := range c.Targets {
		if name != "" && t.Name != name {
			continue
		}
		target, location, err := openTarget(t)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("target %s: %w", t.Name, err), closeTargets(open))
		}
		open = append(open, agent.Target{Name: t.Name, Location: location, Target: target})
	}
	if len(open) == 0 {
		return nil, fmt.Errorf("target %q: %w in the configuration", name, errNotFound)
	}
	return open, nil
}

func closeTargets(targets []agent.Target) error {
	var errs []error
	for _, t := range targets {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// parseURL reads a place given on the command line.
func parseURL(s string) (configs.Target, error) {
	if strings.Contains(s, "://") {
		return configs.Target{}, fmt.Errorf("%s: only directories can be named yet", s)
	}
	path, err := filepath.Abs(s)
	return configs.Target{Name: "target", Dir: &dir.Config{Path: path}}, err
}
