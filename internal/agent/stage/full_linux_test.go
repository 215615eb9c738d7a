package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
)

// place is a folder for sessions that accounts can pass through.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stage")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// On a full disk no session is prepared, and nothing of it is left.
func TestFullDisk(t *testing.T) {
	old := freeBytes
	t.Cleanup(func() { freeBytes = old })
	freeBytes = func(string) (uint64, error) { return 1 << 20, nil }
	root := place(t)
	lend := Lending{Registry: filepath.Join(root, "accounts")}
	err := Prepare(filepath.Join(root, "1.1"), Config{Argv: []string{"true"}}, lend)
	if err == nil || Explain(err) != "The host's disk is full" {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "1.1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("write: %w", unix.ENOSPC), "The host's disk is full"},
		{&os.PathError{Op: "mkdir", Path: "x", Err: unix.EDQUOT}, "The host's disk is full"},
		{fmt.Errorf("reserve: %w", account.ErrNone), "The host has no account left for another session"},
		{errors.New("something else"), "something else"},
	} {
		if got := Explain(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// The outcome has its room from the beginning: it is told on a full disk too.
func TestOutcomeKeepsItsRoom(t *testing.T) {
	root := place(t)
	dir := filepath.Join(root, "1.1")
	if err := Prepare(dir, Config{Argv: []string{"true"}}, Lending{Registry: filepath.Join(root, "accounts")}); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(OutcomeFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	long := make([]rune, 5000)
	for i := range long {
		long[i] = 'ü'
	}
	if err := writeOutcome(dir, Outcome{Cause: AppEnded, Reason: string(long)}); err != nil {
		t.Fatal(err)
	}
	if o, err := ReadOutcome(dir); err != nil || o.Cause != AppEnded || len([]rune(o.Reason)) != 200 {
		t.Errorf("%+v, %v", o, err)
	}
	if after := size(); after != before {
		t.Errorf("%d bytes, then %d", before, after)
	}
	if err := Clean(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(root, "accounts", "6*")); err != nil || len(left) > 0 {
		t.Errorf("accounts still lent: %v, %v", left, err)
	}
}
