// Package untrusted opens what a session may have put there: a privileged
// program that opens a path of somebody else's must expect a link to another
// file, a pipe that nobody writes to, a device, a file without end, or a socket
// of somebody else.
//
// So nothing is followed, nothing is waited for, what was opened is looked at
// before it is read, and no more is read than the caller asks for.
package untrusted

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Errors of this package; compare with errors.Is.
var (
	// ErrNotRegular means that the name is not that of a regular file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge means that the file is larger than it may be.
	ErrTooLarge = errors.New("larger than it may be")
	// ErrNotSocket means that the name is not that of a socket.
	ErrNotSocket = errors.New("not a socket")
	// ErrForeign means that the file or the process that listens is another user's.
	ErrForeign = errors.New("it belongs to another user")
)

// ReadFile returns the content of a regular file of at most limit bytes. It
// follows no link in the last element of the path. The error is
// [ErrNotRegular], [ErrTooLarge], or that of opening it.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, failed("read", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, failed("read", path, err)
	case !info.Mode().IsRegular():
		return nil, failed("read", path, ErrNotRegular)
	case info.Size() > limit:
		return nil, failed("read", path, fmt.Errorf("%w: %d bytes, not %d", ErrTooLarge, info.Size(), limit))
	}
	// It may have grown since.
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, failed("read", path, err)
	case int64(len(b)) > limit:
		return nil, failed("read", path, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit))
	}
	return b, nil
}

// pathLimit is how much of a path an error names: a session chooses how long it is.
const pathLimit = 200

// failed is a PathError whose path is bounded and whose error stands alone.
func failed(op, path string, err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if len(path) > pathLimit {
		path = path[:pathLimit] + "…"
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
