package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// undo takes back what install did, all of it or what an install that failed had done. What is gone already is no error, and after one it
// goes on with the rest.
func (in *installing) undo(ctx context.Context) error {
	ours, err := in.written()
	if err != nil {
		return err
	}
	if len(ours) == 0 {
		fmt.Fprintln(in.std.err, "nothing is there that `offsite install` wrote")
		return nil
	}
	var errs []error
	if in.starts {
		for _, unit := range slices.Backward(enabledUnits) {
			if in.has(unit) {
				errs = append(errs, in.run(ctx, "systemctl", "disable", "--now", unit))
			}
		}
		if in.has(againTimer) {
			errs = append(errs, in.run(ctx, "systemctl", "stop", againTimer))
		}
	}
	for _, path := range ours {
		errs = append(errs, in.step(func() error { return remove(path) }, "removes %s", path))
	}
	if in.starts {
		errs = append(errs, in.run(ctx, "systemctl", "daemon-reload"))
		errs = append(errs, in.clear())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nAll else was removed that `offsite install` wrote", err)
	}
	fmt.Fprintf(in.std.err, "The backups, %s, the state in %s and the user %s are still there.\n", in.path("/etc/offsite"), in.path(usualState), serviceUser)
	return nil
}

// has says whether systemd knows a unit of ours.
func (in *installing) has(unit string) bool {
	return in.packaged() || exists(in.path(filepath.Join(unitDir, unit)))
}

// written are the files that an install wrote, and the program first if one copied it.
func (in *installing) written() (ours []string, err error) {
	copied := false
	for _, pattern := range []string{unitDir + "/offsite*", unitDir + "/offsite*.d/" + dropInName + "*", "/etc/sysusers.d/offsite.conf*", "/etc/tmpfiles.d/offsite.conf*"} {
		found, err := filepath.Glob(in.path(pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			text, err := os.ReadFile(path)
			if err == nil && bytes.HasPrefix(text, []byte(writtenByInstall)) {
				ours = append(ours, path)
				copied = copied || bytes.Contains(text, []byte(copiedProgram))
			}
		}
	}
	if program := in.path(programCopy); copied && exists(program) {
		ours = slices.Insert(ours, 0, program)
	}
	return ours, nil
}

// remove removes a file, and the directory of drop-ins around it unless there is something of others in it.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.HasSuffix(filepath.Dir(path), ".service.d") {
		os.Remove(filepath.Dir(path))
	}
	return nil
}

// clear removes what is in /run for the units, unless a package has units that need it.
func (in *installing) clear() error {
	if in.packaged() {
		return nil
	}
	var errs []error
	for _, dir := range []string{"/run/offsite", "/run/offsite-root"} {
		errs = append(errs, in.step(func() error { return os.RemoveAll(in.path(dir)) }, "removes %s", in.path(dir)))
	}
	return errors.Join(errs...)
}
