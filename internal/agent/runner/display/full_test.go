//go:build linux

package display_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner/display"
)

// small gives a harness a disk of its own, with room for so much. Only root can
// have one; package stage tries a full disk without.
func (h *harness) small(options string) {
	h.t.Helper()
	if err := unix.Mount("none", h.root, "tmpfs", 0, options+",mode=0711"); err != nil {
		h.t.Fatalf("mount a small disk: %v", err)
	}
	h.beforeRemove = func() {
		if err := unix.Unmount(h.root, unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	}
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// A full disk: before the session, while it starts, and while it runs.
func TestDiskFull(t *testing.T) {
	if !account.Can() {
		t.Log("a disk of its own is root's; package stage tries the rest")
		return
	}
	const reason = "The host's disk is full"
	t.Run("before", func(t *testing.T) {
		h := newHarness(t)
		h.small("size=40m")
		// The first session makes the folders.
		s := h.up(spec(2, sample))
		s.stop()
		s.exit()
		if err := s.Forget(t.Context()); err != nil {
			t.Error(err)
		}
		fill(t, filepath.Join(h.root, "big"))
		_, err := h.Start(t.Context(), spec(1, sample))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v", err)
		}
		if err := os.Remove(filepath.Join(h.root, "big")); err != nil {
			t.Error(err)
		}
		h.end()
	})
	t.Run("no room for the folders", func(t *testing.T) {
		h := newHarness(t, func(c *display.Config) { c.Sessions = filepath.Join(c.Sessions, "small") })
		sessions := filepath.Join(h.root, "sessions", "small")
		if err := os.MkdirAll(sessions, 0o711); err != nil {
			t.Fatal(err)
		}
		// Room for the folder and two files, not for its folders.
		if err := unix.Mount("none", sessions, "tmpfs", 0, "size=40m,nr_inodes=5,mode=0711"); err != nil {
			t.Fatal(err)
		}
		_, err := h.Start(t.Context(), spec(1, sample))
		if left, rerr := os.ReadDir(sessions); rerr != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, rerr)
		}
		if err := unix.Unmount(sessions, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := os.Remove(sessions); err != nil {
			t.Error(err)
		}
		h.refused(err, reason)
	})
	t.Run("by the app at its start", func(t *testing.T) {
		h := newHarness(t)
		h.small("size=40m")
		_, err := h.Start(t.Context(), spec(1, "/bin/sh", "-c", "cat /dev/zero > $HOME/big; exit 1"))
		h.refused(err, reason)
	})
	t.Run("by the app", func(t *testing.T) {
		h := newHarness(t)
		h.small("size=40m")
		s := h.up(spec(1, "/bin/sh", "-c", sample+" --exit-after 1s; cat /dev/zero > $HOME/big; exit 1"))
		e := s.exit()
		if e.Outcome != guard.ByItself || !strings.Contains(e.Reason, reason) {
			t.Errorf("exited %+v", e)
		}
		s.nothingLeft()
	})
}
