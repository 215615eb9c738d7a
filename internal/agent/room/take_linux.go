package room

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Take takes room for a file up to a size, without changing how long it is. What is written
// there later needs no more, but on disks that never write in place. A disk that cannot say
// so in advance is taken at its word later: no error.
func Take(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}
