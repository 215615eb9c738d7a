//go:build linux

package display_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/stage"
)

// A session that does not start says why, leaves nothing, and is to be found as
// one that did not start.
func TestNotStarted(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*display.Config)
		spec   func(*runner.Spec)
		reason string
	}{
		{"crashes", nil, func(s *runner.Spec) {
			s.Argv = []string{"/bin/sh", "-c", "echo one; echo 'no licence file' >&2; exit 3"}
		}, "The app ended at its start with exit code 3: no licence file"},
		{"ends at once", nil, func(s *runner.Spec) { s.Argv = []string{"/bin/true"} }, "The app ended at its start with exit code 0"},
		{"is not there", nil, func(s *runner.Spec) { s.Argv = []string{"/no/such/app"} }, "The app could not be started: "},
		{"is not in the path", nil, func(s *runner.Spec) { s.Argv = []string{"no-such-app"} }, "The app could not be started: "},
		{"no such geometry", nil, func(s *runner.Spec) { s.Stream = &guard.Stream{Geometry: "9x"} }, "WIDTHxHEIGHT"},
		{"is slow", func(c *display.Config) { c.ReadyWithin, c.Settle = time.Second, time.Minute }, func(s *runner.Spec) {
			s.Argv = []string{"sleep", "1000"}
		}, "It was not ready within 1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(d *display.Config) {
				if c.change != nil {
					c.change(d)
				}
			})
			sp := spec(1, sample)
			c.spec(&sp)
			_, err := h.Start(t.Context(), sp)
			h.refused(err, c.reason)
		})
	}
}

// refused checks that a start failed for the reason, and left nothing.
func (h *harness) refused(err error, reason string) {
	t := h.t
	t.Helper()
	var why *display.StartError
	if !errors.Is(err, runner.ErrNotStarted) || !errors.As(err, &why) || !strings.Contains(why.Reason, reason) || strings.Contains(why.Reason, "\n") {
		t.Fatalf("got %v, want %q", err, reason)
	}
	if left, err := os.ReadDir(filepath.Join(h.root, "sessions")); err == nil && len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if account.Can() {
		notes, _ := filepath.Glob(filepath.Join(account.Registry, "*"))
		for _, note := range notes {
			if b, err := os.ReadFile(note); err == nil && strings.HasPrefix(string(b), h.root+"/") {
				t.Errorf("an account is still lent: %s", note)
			}
		}
	}
	runs, err := h.Recover(t.Context())
	if err != nil || len(runs) != 1 {
		t.Fatalf("recovered %d, %v", len(runs), err)
	}
	e, err := runs[0].Wait(t.Context())
	if err != nil || e.Outcome != guard.NotStarted || !strings.Contains(e.Reason, reason) {
		t.Errorf("exited %+v, %v", e, err)
	}
	if _, err := h.Start(t.Context(), spec(1, sample)); !errors.Is(err, runner.ErrExists) {
		t.Errorf("started again: %v", err)
	}
	if err := runs[0].Forget(t.Context()); err != nil {
		t.Error(err)
	}
}

// An agent that gives up a start gets none.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(c *display.Config) { c.Settle = time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		// Once there is something to be given up.
		for ctx.Err() == nil {
			if live, err := h.Live(); err == nil && live > 0 {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := h.Start(ctx, spec(1, "sleep", "1000"))
	if errors.Is(err, context.Canceled) {
		t.Errorf("the run is over, and the error says that it may not be: %v", err)
	}
	h.refused(err, "")
}

// An app that opens no window is up when it has lived for a while, and one
// whose launcher exits runs on.
func TestLaunchers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := h.up(spec(1, "/bin/sh", "-c", "xterm -T Late & exit 0"))
	await(t, "the launcher to exit", func() bool { return !living(s.ready.PIDs["app"]) })
	await(t, "the window", func() bool { return s.manages("Late") })
	if !s.Alive() {
		t.Error("the session ended with the launcher")
	}
	s.stop()
	if e := s.exit(); e.Outcome != guard.Closed {
		t.Errorf("exited %+v", e)
	}
	s.nothingLeft()
}

// What an app leaves running without a window is no app.
func TestServicesThatLinger(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := h.up(spec(1, "/bin/sh", "-c", "setsid -f sleep 1000; exec "+sample+" --exit-after 2s"))
	if e := s.exit(); e.Outcome != guard.ByItself || e.Code == nil || *e.Code != 0 {
		t.Errorf("exited %+v", e)
	}
	s.nothingLeft()
}

// The account of a session is in use by nobody else, and there may be none.
func TestNoAccountLeft(t *testing.T) {
	t.Parallel()
	one := account.Range{First: 61500, Last: 61500}
	h := newHarness(t, func(c *display.Config) {
		c.Accounts = stage.Lending{Range: one, Registry: filepath.Join(filepath.Dir(c.Runs), "accounts")}
	})
	s := h.up(spec(2, sample))
	if !account.Can() {
		if s.ready.Account != 0 {
			t.Errorf("an account without being root: %d", s.ready.Account)
		}
		return
	}
	_, err := h.Start(t.Context(), spec(1, sample))
	if !errors.Is(err, account.ErrNone) {
		t.Errorf("got %v", err)
	}
	s.stop()
	s.exit()
	s.nothingLeft()
	if err := s.Forget(t.Context()); err != nil {
		t.Error(err)
	}
	h.refused(err, "no account left")
}

// Twenty sessions, one after the other, and the machine is as it was.
func TestCycles(t *testing.T) {
	h := newHarness(t)
	for i := range 20 {
		s := h.up(spec(int64(i+1), sample))
		if i%2 == 0 {
			s.stop()
		} else {
			s.kill([]string{"display", "app", "stage", "guard"}[i/2%4])
		}
		s.exit()
		s.nothingLeft()
		await(t, "the guard to end", func() bool { return !living(s.guard()) })
		if err := s.Forget(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{"runs", "sessions"} {
		if left, err := os.ReadDir(filepath.Join(h.root, dir)); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", dir, left, err)
		}
	}
}
