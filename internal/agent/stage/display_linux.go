package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	crand "crypto/rand"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"leasehold/internal/agent/untrusted"
	"leasehold/internal/agent/xdisplay"
)

// Where X servers keep their sockets and their locks.
const (
	xSockets = "/tmp/.X11-unix"
	xLocks   = "/tmp"
)

// Display numbers are picked at random from here on: the first belong to
// desktops and to servers that count up from 0 without a lock.
const firstDisplay, displays = 1000, 50000

// displayWithin is how long a display server or window manager may take.
const displayWithin = 15 * time.Second

// displayRecord is display.json.
type displayRecord struct {
	Number int `json:"number"`
	PID    int `json:"pid,omitempty"` // of the server; 0 if we died before it had the number
}

func lockPath(n int) string    { return filepath.Join(xLocks, fmt.Sprintf(".X%d-lock", n)) }
func xSocketPath(n int) string { return filepath.Join(xSockets, fmt.Sprintf("X%d", n)) }

// lockHolder returns which process holds a display's number; 0 if none.
func lockHolder(n int) int {
	// Any user may have made it: as a pipe, or without end.
	b, err := untrusted.ReadFile(lockPath(n), 64)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// freeDisplay reports whether a display's number looks free. The server itself makes
// sure, by its lock.
func freeDisplay(n int) bool {
	for _, path := range []string{lockPath(n), xSocketPath(n)} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	// Servers on an abstract socket alone.
	b, err := os.ReadFile("/proc/net/unix")
	return err != nil || !strings.Contains(string(b), "@"+xSocketPath(n)+"\n")
}

// startDisplay starts the display server on a number of its own and returns
// when it answers.
//
// Not by -displayfd: a server that picks its number that way takes no lock,
// and then two of one account take each other's socket away.
func (s *session) startDisplay(ctx context.Context) error {
	if err := shareSockets(); err != nil {
		return err
	}
	for range 20 {
		n := firstDisplay + rand.IntN(displays)
		if !freeDisplay(n) {
			continue
		}
		taken, err := s.tryDisplay(ctx, n)
		if !taken {
			return err
		}
	}
	return errors.New("there is no free display")
}

// shareSockets makes the folder of the sockets of X servers as they all do.
func shareSockets() error {
	err := os.Mkdir(xSockets, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(xSockets, 0o777|fs.ModeSticky)
}

// writeRecord notes the display for [Clean]. In a sandbox there is nothing to clean: lock and
// socket are in the session's own /tmp, and the session's folder is not writable.
func (s *session) writeRecord(r displayRecord) error {
	if s.inside {
		return nil
	}
	return writeJSON(filepath.Join(s.dir, displayFile), r)
}

// tryDisplay starts the server on the number n. It reports whether another was
// quicker.
func (s *session) tryDisplay(ctx context.Context, n int) (taken bool, err error) {
	s.display = fmt.Sprintf(":%d", n)
	if err := s.writeAuthority(n); err != nil {
		return false, err
	}
	if err := s.writeRecord(displayRecord{Number: n}); err != nil {
		return false, err
	}
	cmd := exec.Command("Xvnc", s.serverArgs()...)
	cmd.Dir = filepath.Join(s.dir, displayDir) // so that the socket's path is short
	cmd.Env = s.environment()
	if s.server, err = s.launcher.start(cmd, os.Stderr); err != nil {
		return false, err
	}
	deadline := time.After(displayWithin)
	for {
		switch pid := lockHolder(n); {
		case pid == s.server.pid():
			if err := s.writeRecord(displayRecord{Number: n, PID: pid}); err != nil {
				return false, err
			}
			if s.x, err = xdisplay.Open(s.display); err == nil {
				if _, err := os.Lstat(Socket(s.dir)); err == nil {
					return false, s.displayUp()
				}
				s.x.Close()
				s.x = nil
			}
		case pid != 0:
			_ = s.server.cmd.Process.Kill()
			<-s.server.done
			return true, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.server.done:
			return false, fmt.Errorf("the display server ended: %s", s.server.out.lastLine())
		case <-deadline:
			return false, errors.New("the display server does not answer")
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// serverArgs are those of Xvnc: no network, one socket that only we can open,
// and nothing that ends it or throws viewers out.
func (s *session) serverArgs() []string {
	onOff := func(name string, on bool) string {
		if on {
			return "-" + name + "=1"
		}
		return "-" + name + "=0"
	}
	geometry := s.config.Geometry
	if geometry == "" {
		geometry = DefaultGeometry
	}
	return []string{
		s.display, "-auth", authorityFile, "-geometry", geometry, "-depth", "24", "-desktop", s.config.App,
		"-nolisten", "tcp", "-nolisten", "local", // local is the abstract socket
		"-rfbport", "-1", "-rfbunixpath", socketFile, "-rfbunixmode", "384", // 0600
		"-SecurityTypes", "None", "-UseBlacklist=0",
		"-AlwaysShared=1", "-DisconnectClients=0", "-AcceptSetDesktopSize=1",
		"-IdleTimeout=0", "-MaxIdleTime=0", "-MaxConnectionTime=0", "-MaxDisconnectionTime=0",
		onOff("AcceptCutText", s.config.Clipboard), onOff("SendCutText", s.config.Clipboard),
		"-AllowOverride=", // by default programs on the display may switch the clipboard on
		"-noreset", "-s", "0", "-br",
	}
}

// protect takes the display's folder from the account once the socket is in
// it: see the package comment.
func (s *session) protect() error {
	if s.config.Account == 0 {
		return nil
	}
	dir := filepath.Join(s.dir, displayDir)
	return errors.Join(os.Lchown(dir, 0, 0), os.Chmod(dir, 0o711))
}

// own gives a file of ours to the account to read.
func (s *session) own(path string) error {
	if s.config.Account == 0 {
		return nil
	}
	return errors.Join(os.Lchown(path, 0, s.config.Account), os.Chmod(path, 0o640))
}

func (s *session) authority() string { return filepath.Join(s.dir, displayDir, authorityFile) }

// writeAuthority makes the cookie that opens the display, in the one format
// there is: family, address, number, protocol, cookie; each with its length.
func (s *session) writeAuthority(number int) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	cookie := make([]byte, 16)
	_, _ = crand.Read(cookie) // never fails
	var b []byte
	// For this machine by its name; and for any, should its name change or the display
	// be reached by the path of its socket.
	for _, entry := range []struct {
		family uint16
		number string
	}{{256, strconv.Itoa(number)}, {65535, ""}} {
		b = binary.BigEndian.AppendUint16(b, entry.family)
		for _, field := range []string{host, entry.number, "MIT-MAGIC-COOKIE-1", string(cookie)} {
			b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
			b = append(b, field...)
		}
	}
	if err := os.WriteFile(s.authority(), b, 0o600); err != nil {
		return err
	}
	return s.own(s.authority())
}

// cleanDisplay removes the lock and the socket that a killed server has left,
// if they were the session's. It is for a session without an account of its
// own: what belongs to an account goes with that.
func cleanDisplay(ctx context.Context, dir string) error {
	var r displayRecord
	if err := readJSON(filepath.Join(dir, displayFile), &r); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	holder := lockHolder(r.Number)
	switch {
	case holder == 0:
		return nil // the server has cleared up: its lock goes last
	case r.PID != 0 && holder != r.PID:
		return nil // another's by now
	case r.PID == 0 && serverLives(holder):
		return nil // another's; ours was killed before it had the lock
	}
	// It was killed, and may not be quite dead.
	for serverLives(holder) {
		_ = unix.Kill(holder, unix.SIGKILL)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("end the display server: %w", ctx.Err())
		}
	}
	return errors.Join(removeIfThere(xSocketPath(r.Number)), removeIfThere(lockPath(r.Number)))
}

// serverLives reports whether a process is a living display server: another
// program may have got its number.
func serverLives(pid int) bool {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	stat, err := p.Stat()
	return err == nil && stat.State != "Z" && stat.State != "X" && stat.Comm == "Xvnc"
}
