package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"offsite/agent"
	"offsite/configs"
	"offsite/providers"
	"offsite/providers/dir"
	"offsite/providers/minio"
	"offsite/providers/s3"
	"offsite/providers/sftp"
)

// openTarget is the only place that knows every kind of target.
func openTarget(t configs.Target) (providers.Target, error) {
	switch {
	case t.Dir != nil:
		return dir.New(*t.Dir)
	case t.MinIO != nil:
		return minio.New(*t.MinIO)
	case t.S3 != nil:
		return s3.New(*t.S3)
	case t.SFTP != nil:
		return sftp.New(*t.SFTP)
	}
	return nil, fmt.Errorf("target %s has no kind", t.Name)
}

// location tells one place from another.
func location(t configs.Target) string {
	switch {
	case t.Dir != nil:
		return "dir:" + t.Dir.Path
	case t.MinIO != nil:
		return strings.Join([]string{t.MinIO.Endpoint, t.MinIO.Bucket, strings.Trim(t.MinIO.Prefix, "/")}, "/")
	case t.S3 != nil:
		return "s3:" + strings.Join([]string{t.S3.Endpoint, t.S3.Bucket, strings.Trim(t.S3.Prefix, "/")}, "/")
	case t.SFTP != nil:
		return fmt.Sprintf("sftp:%s@%s:%d/%s", t.SFTP.User, t.SFTP.Host, t.SFTP.Port, t.SFTP.Path)
	}
	return ""
}

// describe is a target that is not open: all that can be said without asking it.
func describe(c *configs.Config, t configs.Target, zone *time.Location) agent.Target {
	return agent.Target{Name: t.Name, Location: location(t), Retention: agent.Mode(t.Retention), Policy: policies(c, t, zone), Lock: t.Locks(), Scrub: scrub(t), Backfill: t.Backfill}
}

// prepareTarget makes ready what can be: the directory and its marker.
func prepareTarget(ctx context.Context, t configs.Target) error {
	switch {
	case t.Dir != nil:
		return dir.Init(*t.Dir)
	case t.SFTP != nil:
		return sftp.Init(ctx, *t.SFTP)
	}
	return nil
}

// keysFromElsewhere says where a target's keys come from if neither the configuration nor a file that it names has them.
func keysFromElsewhere(t configs.Target) string {
	switch {
	case t.MinIO != nil && t.MinIO.SecretKeyFile == "" && !t.MinIO.SecretKey.IsSet():
		return "the environment"
	case t.S3 != nil && t.S3.SecretKeyFile == "" && !t.S3.SecretKey.IsSet():
		return "the environment, a profile or the machine's role"
	case t.SFTP != nil && t.SFTP.KeyFile == "" && t.SFTP.PasswordFile == "" && !t.SFTP.Password.IsSet():
		return "a key agent or ~/.ssh"
	}
	return ""
}

// openTargets opens those of the configuration, or the one called name.
func openTargets(c *configs.Config, name string) ([]agent.Target, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, err
	}
	var open []agent.Target
	for _, t := range c.Targets {
		if name != "" && t.Name != name {
			continue
		}
		one := describe(c, t, zone)
		if one.Target, err = openTarget(t); err != nil {
			return nil, errors.Join(fmt.Errorf("target %s: %w", t.Name, err), closeTargets(open))
		}
		open = append(open, one)
	}
	if len(open) == 0 {
		return nil, fmt.Errorf("target %q: %w in the configuration", name, errNotFound)
	}
	return open, nil
}

// scrub is how often what lies on a target is read.
func scrub(t configs.Target) agent.Scrub {
	if t.Verify.Every == configs.Never {
		return agent.Scrub{}
	}
	return agent.Scrub{Every: time.Duration(cmp.Or(t.Verify.Every, 30)) * 24 * time.Hour, Budget: int64(t.Verify.Budget)}
}

func closeTargets(targets []agent.Target) error {
	var errs []error
	for _, t := range targets {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
