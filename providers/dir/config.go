package dir

import (
	"errors"
	"path/filepath"

	"offsite/providers"
)

// Config is a mounted directory.
type Config struct {
	// Path is absolute.
	Path string `yaml:"path"`
}

// Validate says what is wrong with it, without looking at the disk.
func (c *Config) Validate() error {
	var errs []error
	switch {
	case c.Path == "":
		errs = append(errs, &providers.FieldError{Key: "path", Problem: "is missing", Remedy: "write the directory where the NAS or disk is mounted, such as /mnt/nas/backups"})
	case !filepath.IsAbs(c.Path):
		errs = append(errs, &providers.FieldError{Key: "path", Problem: "is not absolute", Remedy: "begin it with /"})
	}
	return errors.Join(errs...)
}
