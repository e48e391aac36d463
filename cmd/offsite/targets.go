package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"offsite/agent"
	"offsite/configs"
	"offsite/providers"
	"offsite/providers/dir"
	"offsite/providers/minio"
	"offsite/providers/s3"
)

// openTarget is the only place that knows every kind of target.
func openTarget(t configs.Target) (target providers.Target, location string, err error) {
	switch {
	case t.Dir != nil:
		target, err = dir.New(*t.Dir)
		return target, "dir:" + t.Dir.Path, err
	case t.MinIO != nil:
		target, err = minio.New(*t.MinIO)
		return target, strings.Join([]string{t.MinIO.Endpoint, t.MinIO.Bucket, strings.Trim(t.MinIO.Prefix, "/")}, "/"), err
	case t.S3 != nil:
		target, err = s3.New(*t.S3)
		return target, "s3:" + strings.Join([]string{t.S3.Endpoint, t.S3.Bucket, strings.Trim(t.S3.Prefix, "/")}, "/"), err
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

// access is how flags say who may use a place given on the command line; the environment does otherwise.
type access struct {
	accessKeyFile, secretKeyFile, caFile, region string
}

// parseURL reads a place given on the command line: a path, s3://bucket/prefix (AWS) or s3+https://host:port/bucket/prefix.
func parseURL(s string, a access) (configs.Target, error) {
	u, err := url.Parse(s)
	if err == nil && (u.Scheme == "s3+https" || u.Scheme == "s3+http") {
		bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
		c := &minio.Config{
			Endpoint: strings.TrimPrefix(u.Scheme, "s3+") + "://" + u.Host, Bucket: bucket, Prefix: prefix, Region: a.region,
			AccessKeyFile: a.accessKeyFile, SecretKeyFile: a.secretKeyFile, CAFile: a.caFile,
		}
		return configs.Target{Name: "target", MinIO: c}, c.Validate()
	}
	if err == nil && u.Scheme == "s3" {
		c := &s3.Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Region: a.region, AccessKeyFile: a.accessKeyFile, SecretKeyFile: a.secretKeyFile, CAFile: a.caFile}
		return configs.Target{Name: "target", S3: c}, c.Validate()
	}
	if strings.Contains(s, "://") {
		return configs.Target{}, fmt.Errorf("%s: write a path, s3://bucket/prefix or s3+https://host:port/bucket/prefix", s)
	}
	path, err := filepath.Abs(s)
	return configs.Target{Name: "target", Dir: &dir.Config{Path: path}}, err
}
