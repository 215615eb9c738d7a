package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
)

// Clean takes away what there is of the session in dir, in which nothing may
// run any more: what a killed display has left in public folders; all
// processes, files and memory of the account, if that is the session's own;
// and the folder. It can be repeated, and called by several at once; for a
// folder that is gone it does nothing.
func Clean(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := clear(ctx, dir); err != nil {
		return fmt.Errorf("take the session in %s away: %w", filepath.Base(dir), err)
	}
	return nil
}

func clear(ctx context.Context, dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.Close()
	// One at a time: at the end the account may be lent to another session.
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	path := filepath.Join(dir, configFile)
	var c Config
	switch err := readJSON(path, &c); {
	case errors.Is(err, fs.ErrNotExist):
		// Never finished, nothing ran; or somebody else has just cleaned it.
		return removeUnfinished(dir)
	case err != nil:
		return err
	}
	if c.Account > 0 {
		if err := account.Clear(ctx, c.Account); err != nil {
			return err
		}
	}
	if err := cleanDisplay(ctx, dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == configFile {
			continue // last: it is what a repeated Clean goes by
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if c.Account > 0 {
		if err := account.Release(c.Registry, c.Account, dir); err != nil {
			return err
		}
	}
	return errors.Join(removeIfThere(path), removeIfThere(dir))
}

// removeUnfinished removes a folder that has no config, if it is one of ours.
func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !slices.Contains([]string{configFile + ".tmp", outcomeFile}, e.Name()) {
			return fmt.Errorf("%w: there is %s in it, and no %s", ErrInvalid, e.Name(), configFile)
		}
	}
	return os.RemoveAll(dir)
}
