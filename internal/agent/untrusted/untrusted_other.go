//go:build !linux

package untrusted

import (
	"context"
	"errors"
	"net"
	"os"
)

// open opens a file. Only Linux has streamed sessions; elsewhere nobody but the
// user of this process writes what it opens.
func open(path string) (*os.File, error) { return os.Open(path) }

// Dial connects to the socket of a session, which only Linux has. The error is
// errors.ErrUnsupported.
func Dial(ctx context.Context, dir, name string, uid int) (net.Conn, error) {
	return nil, failed("connect to", name, errors.ErrUnsupported)
}
