package untrusted

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func open(path string) (*os.File, error) {
	// Without O_NONBLOCK, opening a pipe waits for its other end.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Base(path)), nil
}

// Dial connects to the socket of that name in dir, if the process that
// listens on it runs as the user uid. The path may be longer than the address
// of a socket. The error is [ErrNotSocket], [ErrForeign], or that of
// connecting.
func Dial(ctx context.Context, dir, name string, uid int) (net.Conn, error) {
	path := filepath.Join(dir, name)
	// The socket that was looked at is the one that is connected to, whatever
	// the name means by then.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, failed("connect to", path, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, failed("connect to", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, failed("connect to", path, ErrNotSocket)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, failed("connect to", path, err)
	}
	peer, err := Peer(conn)
	if err == nil && int(peer.Uid) != uid {
		err = fmt.Errorf("%w: user %d, not %d", ErrForeign, peer.Uid, uid)
	}
	if err != nil {
		return nil, failed("connect to", path, errors.Join(err, conn.Close()))
	}
	return conn, nil
}

// Peer returns who is at the other end of a connection by a socket of this
// machine: for one that was dialled, who has listened.
func Peer(conn net.Conn) (*unix.Ucred, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, ErrNotSocket
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, cerr
}
