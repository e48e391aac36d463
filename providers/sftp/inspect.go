package sftp

import (
	"context"

	"offsite/providers"
)

var _ providers.Inspector = (*Target)(nil)

// extensions are those that make a difference here.
var extensions = []string{"posix-rename@openssh.com", "fsync@openssh.com", "statvfs@openssh.com", "hardlink@openssh.com", limitsExtension}

// Inspect is part of providers.Inspector.
func (t *Target) Inspect(ctx context.Context) (f providers.Facts, err error) {
	err = t.do(ctx, "open", "", func(c *conn) error {
		if _, err := stat(c, c.Stat, t.base); err != nil {
			return err
		}
		f.HostKey = c.hostKey
		for _, x := range extensions {
			if c.offers(x) {
				f.Extensions = append(f.Extensions, x)
			}
		}
		if free, known := t.free(c); known {
			left := int64(min(free, 1<<62))
			f.Free = &left
		}
		return nil
	})
	return f, err
}
