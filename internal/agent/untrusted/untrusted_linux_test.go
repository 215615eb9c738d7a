package untrusted_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/untrusted"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever a session puts in the place of a file is refused, at once and
// without being read.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("good"), []byte("hello"), 0o600))
	must(t, os.WriteFile(at("full"), bytes.Repeat([]byte("x"), 64), 0o600))
	must(t, os.WriteFile(at("long"), bytes.Repeat([]byte("x"), 65), 0o600))
	must(t, os.Symlink("good", at("link")))
	must(t, syscall.Mkfifo(at("pipe"), 0o600))
	must(t, os.Mkdir(at("folder"), 0o700))
	sparse, err := os.Create(at("sparse"))
	must(t, err)
	must(t, sparse.Truncate(1<<40))
	must(t, sparse.Close())
	l, err := net.Listen("unix", at("socket"))
	must(t, err)
	defer l.Close()

	for name, want := range map[string]error{
		"good": nil, "full": nil, "long": untrusted.ErrTooLarge, "sparse": untrusted.ErrTooLarge,
		"link": unix.ELOOP, "pipe": untrusted.ErrNotRegular, "folder": untrusted.ErrNotRegular,
		"socket": unix.ENXIO, "none": fs.ErrNotExist,
	} {
		done := make(chan error, 1)
		go func() {
			_, err := untrusted.ReadFile(at(name), 64)
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: it waits", name)
		}
	}
	if _, err := untrusted.ReadFile("/dev/null", 64); !errors.Is(err, untrusted.ErrNotRegular) {
		t.Errorf("a device: %v", err)
	}
	if b, err := untrusted.ReadFile(at("good"), 64); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	// A file of /proc has no size, and is read all the same, within its bound.
	if b, err := untrusted.ReadFile("/proc/self/status", 64<<10); err != nil || len(b) == 0 {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := untrusted.ReadFile("/proc/self/status", 16); !errors.Is(err, untrusted.ErrTooLarge) {
		t.Errorf("one that says it has no bytes: %v", err)
	}
	if _, err := untrusted.ReadFile(at(strings.Repeat("n", 4000)), 1); err == nil || len(err.Error()) > 300 {
		t.Errorf("a long name: %v", err)
	}
}

// Only the socket of the user who is meant is connected to.
func TestDial(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	must(t, os.MkdirAll(dir, 0o700))
	short, err := os.MkdirTemp("", "u")
	must(t, err)
	defer os.RemoveAll(short)
	l, err := net.Listen("unix", filepath.Join(short, "s"))
	must(t, err)
	defer l.Close()
	must(t, os.Rename(filepath.Join(short, "s"), filepath.Join(dir, "s")))
	must(t, os.Symlink(filepath.Join(dir, "s"), filepath.Join(dir, "link")))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	me := os.Getuid()
	for _, c := range []struct {
		name string
		uid  int
		want error
	}{
		{"s", me, nil}, {"s", me + 1, untrusted.ErrForeign}, {"link", me, untrusted.ErrNotSocket},
		{"file", me, untrusted.ErrNotSocket}, {"none", me, fs.ErrNotExist},
	} {
		conn, err := untrusted.Dial(context.Background(), dir, c.name, c.uid)
		if !errors.Is(err, c.want) {
			t.Errorf("%s as %d: %v, want %v", c.name, c.uid, err, c.want)
		}
		if err == nil {
			conn.Close()
		}
	}
}
