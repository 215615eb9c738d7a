// Package filelock lets one process at a time use a folder. The lock goes with the process
// that took it, however that ends, so that none is ever left behind.
package filelock

import (
	"errors"
	"fmt"
	"os"
)

// ErrLocked: another process has the lock.
var ErrLocked = errors.New("another process is using it")

// Take takes the lock of a file, which is made if it is not there, or returns ErrLocked.
// Closing the file gives the lock back.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}
