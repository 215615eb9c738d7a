package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/room"
)

// errNoRoom means that the disk of the host is full.
var errNoRoom = errors.New("the disk is full")

// leastFree is how much room on its disk a session needs to start.
const leastFree = 16 << 20

// freeBytes returns how much room there is on the disk of a folder. The tests
// of a full disk take its place.
var freeBytes = func(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// Explain says for people what went wrong, where it is something that they can
// do something about, and otherwise what the error says.
func Explain(err error) string {
	if errors.Is(err, errNoRoom) || room.Gone(err) {
		return "The host's disk is full"
	}
	if errors.Is(err, account.ErrNone) {
		return "The host has no account left for another session"
	}
	return err.Error()
}

// Prepare makes the folder of a session, with an account of its own if this
// process is root. The error is [ErrExists] for a folder that is there,
// [ErrInvalid], or what [Explain] explains; then nothing is left.
func Prepare(dir string, c Config, l Lending) (err error) {
	if err := c.Valid(); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if account.Can() {
		if err := passable(filepath.Dir(dir)); err != nil {
			return fmt.Errorf("prepare a session: %w", err)
		}
	}
	if free, err := freeBytes(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("prepare a session: %w", err)
	} else if free < leastFree {
		return fmt.Errorf("prepare a session: %w: %d MiB are free", errNoRoom, free>>20)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %w", ErrExists, err)
		}
		return fmt.Errorf("prepare a session: %w", err)
	}
	c.Account, c.Registry = 0, ""
	defer func() {
		if err != nil {
			err = fmt.Errorf("prepare a session: %w", err)
			if c.Account > 0 {
				err = errors.Join(err, account.Release(c.Registry, c.Account, dir))
			}
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if account.Can() {
		if c.Registry = l.Registry; c.Registry == "" {
			c.Registry = account.Registry
		}
		if l.Range == (account.Range{}) {
			l.Range = account.Default
		}
		if c.Account, err = account.Reserve(c.Registry, l.Range, dir); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(dir, configFile), c); err != nil {
		return err
	}
	if err := writeOutcome(dir, Outcome{}); err != nil {
		return err
	}
	for _, name := range []string{displayDir, homeDir, tmpDir, runDir} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		if c.Account > 0 {
			if err := os.Lchown(path, c.Account, c.Account); err != nil {
				return err
			}
		}
	}
	if c.Account > 0 {
		// The account passes through, and sees nothing.
		return os.Chmod(dir, 0o711)
	}
	return nil
}

// passable reports an error if an account of a session could not get to what
// is in dir.
func passable(dir string) error {
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the accounts of sessions cannot pass through %s: it needs mode o+x", d)
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}
