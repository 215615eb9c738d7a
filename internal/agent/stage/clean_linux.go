package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/trash"
)

// emptyWithin is how long Clean removes the files of a session: the others wait
// in the trash.
const emptyWithin = 3 * time.Second

// Clean takes away what there is of the session in dir, in which nothing may
// run any more: what a killed display has left in public folders; all
// processes, files and memory of the account, if that is the session's own;
// and the folder. The folder is moved into [Trash], and what a few seconds do
// not suffice for stays there: for a later Clean, of that session, of another or of
// the trash itself. It can be repeated, and called by several at once; for a
// folder that is gone it does nothing.
//
// It goes through what the session has left, so it is for a process of its own
// that is ended when it takes too long.
func Clean(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	trashed := Trash(filepath.Dir(dir))
	if dir == Trash(filepath.Dir(dir)) {
		return trash.Empty(ctx, dir)
	}
	err = clear(ctx, dir)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, emptyWithin)
		defer cancel()
		if err = trash.Empty(ctx, trashed); ctx.Err() != nil {
			err = nil
		}
	}
	if err != nil {
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
	var c Config
	switch err := readJSON(filepath.Join(dir, configFile), &c); {
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
	} else if err := cleanDisplay(ctx, dir); err != nil {
		return err
	}
	if err := trash.Move(dir, Trash(filepath.Dir(dir))); err != nil {
		return err
	}
	if c.Account > 0 {
		// Its next holder does not get into the trash.
		return account.Release(c.Registry, c.Account, dir)
	}
	return nil
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
	return trash.Move(dir, Trash(filepath.Dir(dir)))
}
