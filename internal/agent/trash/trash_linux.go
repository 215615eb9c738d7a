// Package trash removes folders of other people, whatever is in them. What
// goes is first moved into a trash folder, which takes one step, so that its
// old name is free at once; then the trash is emptied, which can be broken off
// at any time and be taken up again, also by another process.
//
// Nothing recurses: a folder within a folder is moved up into the trash before
// it is emptied in its turn. So a tree of any depth takes two descriptors, no
// path is longer than one name, and no link is followed.
package trash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Move moves a file or folder into the trash, a folder that is made if it is
// not there, on the same file system. What is not there counts as moved.
func Move(path, trash string) error {
	if err := os.Mkdir(trash, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("move into the trash: %w", err)
	}
	for {
		err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, filepath.Join(trash, fresh()), unix.RENAME_NOREPLACE)
		switch {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EEXIST):
			return fmt.Errorf("move %s into the trash: %w", short(filepath.Base(path)), err)
		}
	}
}

// Remove removes a file or folder, by a trash folder of its own beside it.
func Remove(ctx context.Context, path string) error {
	if err := unix.Unlink(path); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	trash, err := os.MkdirTemp(filepath.Dir(path), ".trash-")
	if err != nil {
		return fmt.Errorf("remove %s: %w", short(filepath.Base(path)), err)
	}
	if err := Move(path, trash); err != nil {
		return errors.Join(err, os.Remove(trash))
	}
	return Empty(ctx, trash)
}

// Empty removes what is in the trash, and the trash. It ends early with ctx.
// Several may do it at once. Its error names one thing that stays, in a line
// of bounded length.
func Empty(ctx context.Context, trash string) error {
	d, err := unix.Open(trash, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("empty the trash: %w", err)
	}
	root := os.NewFile(uintptr(d), "trash")
	defer root.Close()
	e := emptier{ctx: ctx, root: d}
	for {
		progress, kept := e.clear(root, false)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("empty the trash: %w", errors.Join(err, kept))
		}
		if err := os.Remove(trash); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !progress {
			if kept == nil {
				kept = errors.New("something is put into it")
			}
			return fmt.Errorf("empty the trash: %w", kept)
		}
	}
}

type emptier struct {
	ctx  context.Context
	root int // descriptor of the trash
}

// batch is how many names are read at once.
const batch = 512

// clear removes what is in a folder of the trash, or in the trash itself. It
// moves folders that are not empty up into the trash; in the trash it enters
// them. It reports whether anything changed, and why something stays.
func (e *emptier) clear(dir *os.File, below bool) (progress bool, kept error) {
	for {
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return progress, err
		}
		// From the start again after each batch: what a file system tells of a
		// folder that is changed meanwhile is its own affair.
		changed := false
		for {
			names, err := dir.Readdirnames(batch)
			for _, name := range names {
				if e.ctx.Err() != nil {
					return progress, kept
				}
				done, err := e.remove(dir, name, below)
				changed = changed || done
				if err != nil {
					kept = err
				}
			}
			if err != nil {
				break
			}
		}
		progress = progress || changed
		if !changed {
			return progress, kept
		}
		kept = nil
	}
}

// remove removes one entry, or moves it up.
func (e *emptier) remove(dir *os.File, name string, below bool) (changed bool, err error) {
	fd := int(dir.Fd())
	err = unix.Unlinkat(fd, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return err == nil, nil
	}
	if unlinkErr := err; !e.isFolder(fd, name) {
		return false, fmt.Errorf("%s: %w", short(name), unlinkErr)
	}
	if err = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR); err == nil || errors.Is(err, unix.ENOENT) {
		return err == nil, nil
	}
	if below {
		e.open(fd, name) // to move a folder is to write into it
		if err := unix.Renameat2(fd, name, e.root, fresh(), unix.RENAME_NOREPLACE); err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("%s: %w", short(name), err)
		}
		return true, nil
	}
	e.open(fd, name)
	sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		return false, fmt.Errorf("%s: %w", short(name), err)
	}
	f := os.NewFile(uintptr(sub), "folder")
	changed, err = e.clear(f, true)
	f.Close()
	if rerr := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR); rerr == nil {
		return true, nil
	} else if err == nil && !changed {
		err = fmt.Errorf("%s: %w", short(name), rerr)
	}
	return changed, err
}

func (e *emptier) isFolder(dir int, name string) bool {
	var stat unix.Stat_t
	err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// open gives its owner all rights to a folder, which may have taken them from
// itself. It is that folder that gets them, and not what its name means later.
func (e *emptier) open(dir int, name string) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return // the next step says why
	}
	defer unix.Close(fd)
	_ = unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o700)
}

// fresh is a name that nothing in the trash is likely to have.
func fresh() string { return strconv.FormatUint(rand.Uint64(), 36) }

// short is a name as an error tells it: whoever chose it may have chosen a long one,
// and control characters in it.
func short(name string) string {
	if len(name) > 60 {
		name = name[:60] + "…"
	}
	return strconv.QuoteToGraphic(name)
}
