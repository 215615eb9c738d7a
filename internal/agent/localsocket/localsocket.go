// Package localsocket is how processes of one user on one machine speak to each other:
// through a socket in a folder of theirs, which only they can open. Folders may lie deeper
// than the address of a socket is long.
package localsocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Listen listens on the socket of that name in dir. Closing it does not remove the socket.
func Listen(dir, name string) (net.Listener, error) {
	path, release, err := pathOf(dir, name)
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	defer release()
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	// The path may be a way that is closed by then; the caller removes the socket.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Dial connects to the socket of that name in dir.
func Dial(ctx context.Context, dir, name string) (net.Conn, error) {
	path, release, err := pathOf(dir, name)
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	defer release()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	return conn, nil
}
