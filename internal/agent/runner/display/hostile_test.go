//go:build linux

package display_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/stage"
	"leasehold/internal/agent/untrusted"
)

// An app puts a pipe, or a file without end, where the lock of its display was:
// the session ends as any other, and the agent's answers do not wait for it.
func TestLockReplaced(t *testing.T) {
	for name, replace := range map[string]string{
		"a pipe":          `mkfifo "$lock"`,
		"a sparse file":   `truncate -s 1T "$lock"`,
		"a link":          `ln -s /dev/zero "$lock"`,
		"a folder":        `mkdir "$lock"`,
		"a foreign owner": `echo 1 > "$lock"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			s := h.up(spec(1, "/bin/sh", "-c", `
				lock=/tmp/.X${DISPLAY#:}-lock
				rm -f "$lock"; `+replace+`; : > "$HOME/done"; exec `+sample))
			await(t, "the attack", func() bool { return exists(filepath.Join(s.dir, "home", "done")) })
			began := time.Now()
			s.stop()
			if e := s.exit(); e.Outcome != guard.Closed {
				t.Errorf("exited %+v", e)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v to end", took)
			}
			if err := s.Forget(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := h.Live(); err != nil {
				t.Error(err)
			}
			await(t, "the session to be gone", func() bool { return len(s.left()) == 0 })
		})
	}
}

// A home of 45,000 nested folders gives its slot and account back at once, and
// is removed in the background, also by an agent that was started anew.
func TestDeepHome(t *testing.T) {
	h := newHarness(t)
	s := h.up(spec(1, "/usr/bin/perl", "-e", `chdir $ENV{HOME};
		for (1..45000) { mkdir "d" x 20 or die $!; chdir "d" x 20 or die $! }
		open my $f, ">", "$ENV{HOME}/done"; close $f; exec "`+sample+`"`))
	await(t, "the folders", func() bool { return exists(filepath.Join(s.dir, "home", "done")) })
	began := time.Now()
	s.stop()
	if e := s.exit(); e.Outcome != guard.Closed {
		t.Errorf("exited %+v", e)
	}
	s.nothingLeft()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if live, err := h.Live(); err != nil || live != 0 {
		t.Errorf("%d slots are taken, %v", live, err)
	}
	if _, err := h.Recover(t.Context()); err != nil {
		t.Error(err)
	}
	awaitLong(t, "the trash to be emptied", func() bool { return !exists(stage.Trash(filepath.Join(h.root, "sessions"))) })
	if log := readFile(t, filepath.Join(h.root, "runs", "1.1", "guard.log")); longest(log) > 2000 {
		t.Errorf("a line of %d bytes in the log", longest(log))
	}
}

// The agent connects to no socket but the session's own.
func TestSocketReplaced(t *testing.T) {
	h := newHarness(t)
	s := h.up(spec(1, sample))
	socket := stage.Socket(s.dir)
	if err := os.Rename(socket, socket+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(socket+".old", socket); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Dial(t.Context(), s.Key()); !errors.Is(err, untrusted.ErrNotSocket) {
		t.Errorf("a link: %v", err)
	}
	if !account.Can() {
		return // there is no other user to be had
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(h.root, "s")
	l, err := net.Listen("unix", short)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(short, socket); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Dial(t.Context(), s.Key()); !errors.Is(err, untrusted.ErrForeign) {
		t.Errorf("root's socket: %v", err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// awaitLong waits for what a slow disk may take minutes for.
func awaitLong(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// longest is the length of the longest line.
func longest(text string) (n int) {
	for line := range strings.Lines(text) {
		n = max(n, len(line))
	}
	return n
}
