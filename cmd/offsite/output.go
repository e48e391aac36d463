package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeJSON prints what --json asks for.
func writeJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// many is "1 problem", "2 problems".
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// writeFile makes a file of what write writes: aside, synced, then under its name, so that it is never there in part.
// Whatever fails, nothing is left. An existing file stays unless replace is set.
func writeFile(path string, replace bool, write func(*os.File) error) (err error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return &fs.PathError{Op: "write", Path: path, Err: fs.ErrExist}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".offsite-restore-*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	return finish(f, path, replace)
}

// finish makes f, which was written aside, durable under its name, and closes it then.
func finish(f *os.File, path string, replace bool) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := publish(f.Name(), path, replace); err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

// publish renames; without replace it links first, which fails if somebody made the file meanwhile.
func publish(temp, path string, replace bool) error {
	if replace {
		return os.Rename(temp, path)
	}
	err := os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if err != nil {
		return os.Rename(temp, path) // a file system without links
	}
	return os.Remove(temp)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
