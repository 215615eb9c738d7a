//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// privateFiles has what this process makes belong to its user alone. The database holds the
// keys that sign leases, and what passwords and tokens are checked by.
func privateFiles() { syscall.Umask(0o077) }

// tighten takes from other users what they may do with a folder and the files in it, as of
// one that was made by hand or copied back.
func tighten(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	names := []string{"."}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	var errs []error
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		mode := info.Mode()
		if mode.Type() != 0 && !mode.IsDir() || mode.Perm()&0o077 == 0 {
			continue
		}
		if err := os.Chmod(path, mode.Perm()&0o700); err != nil {
			errs = append(errs, fmt.Errorf("other users may use it, and that cannot be changed: %w", err))
			continue
		}
		log.Warn("other users could use a file of the server; now they cannot", "file", path, "was", mode.Perm().String())
	}
	return errors.Join(errs...)
}
