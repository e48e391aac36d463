package dir

import (
	"context"
	"os"
	"syscall"

	"offsite/providers"
)

var _ providers.Inspector = (*Target)(nil)

// Inspect is part of providers.Inspector.
func (t *Target) Inspect(ctx context.Context) (f providers.Facts, err error) {
	err = ctx.Err()
	var root *os.Root
	if err == nil {
		root, err = t.open()
	}
	if err != nil {
		return f, t.translate("open", "", err)
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err != nil {
		return f, t.translate("open", "", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		device := uint64(st.Dev)
		f.Device = &device
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(t.path, &fs); err == nil && fs.Blocks > 0 {
		free := int64(fs.Bavail) * fs.Bsize
		f.Free = &free
	}
	return f, nil
}
