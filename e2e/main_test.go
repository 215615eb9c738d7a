//go:build linux

// Package e2e tries the built programs as people use them: the server, a player with real
// processes, and a real browser, over the network alone. Nothing here reaches into them.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The built programs.
var leasehold, sample string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// No dialogs: the warnings are looked for on the player's terminal.
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY"} {
		os.Unsetenv(name)
	}
	dir, err := os.MkdirTemp("", "leasehold-e2e-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	leasehold, sample = filepath.Join(dir, "leasehold"), filepath.Join(dir, "leasehold-sample")
	build := exec.Command("go", "build", "-trimpath", "-o", dir, "leasehold/cmd/leasehold", "leasehold/cmd/leasehold-sample")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("build: %w\n%s", err, out))
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// eventually waits until something that can be observed holds.
func eventually(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	if !waitFor(within, f) {
		t.Fatalf("not within %v: %s", within, what)
	}
}

func waitFor(within time.Duration, f func() bool) bool {
	for deadline := time.Now().Add(within); ; {
		if f() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// command runs leasehold to its end.
func command(t testing.TB, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, leasehold, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
