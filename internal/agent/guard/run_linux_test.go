package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/guard"
)

// script is a run of a shell script, with a folder for what it writes.
func script(t *testing.T, text string) (guard.Spec, string) {
	s := spec(time.Minute)
	dir := t.TempDir()
	s.Argv = []string{"/bin/sh", "-c", "cd " + dir + "\n" + text}
	return s, dir
}

// An app that says when it is ready has not started before that.
func TestReady(t *testing.T) {
	t.Parallel()
	s, dir := script(t, "until [ -e go ]; do sleep 0.01; done; touch ready; exec sleep 1000")
	s.Ready = filepath.Join(dir, "ready")
	go func() { _ = os.WriteFile(filepath.Join(dir, "go"), nil, 0o600) }()
	h := spawn(t, s)
	if _, err := os.Stat(s.Ready); err != nil {
		t.Errorf("started before it was ready: %v", err)
	}
	if _, err := h.Stop(t.Context(), "enough"); err != nil {
		t.Fatal(err)
	}
	wantTypes(t, follow(t, h), "starting started closing asked exited")
}

// One that never gets ready has not started, and says why if it can.
func TestNeverReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, reason string }{
		{"it ends", "exit 3", "It ended before it was ready"},
		{"it says why", `echo '{"reason":"no licence"}' > report; exit 3`, "no licence"},
		{"it takes too long", "sleep 1000 & sleep 1000", "It was not ready within 300ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, dir := script(t, c.script)
			s.Ready, s.Report = filepath.Join(dir, "ready"), filepath.Join(dir, "report")
			s.ReadyWithin = 300 * time.Millisecond
			run := filepath.Join(t.TempDir(), "run")
			_, err := guard.Spawn(t.Context(), run, s, command)
			if !errors.Is(err, guard.ErrNotStarted) || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("got %v", err)
			}
			h, err := guard.Open(run)
			if err != nil {
				t.Fatal(err)
			}
			events := follow(t, h)
			wantTypes(t, events, "starting exited")
			if e := events[1]; e.Outcome != guard.NotStarted || e.Reason != c.reason {
				t.Errorf("exited %+v", e)
			}
		})
	}
}

// An order ends a run that is not ready yet.
func TestStopBeforeReady(t *testing.T) {
	t.Parallel()
	s, dir := script(t, "exec sleep 1000")
	s.Ready = filepath.Join(dir, "ready")
	run := filepath.Join(t.TempDir(), "run")
	go func() {
		for t.Context().Err() == nil {
			if h, err := guard.Open(run); err == nil {
				if changed, err := h.Stop(t.Context(), "cancelled"); err == nil && changed {
					return
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := guard.Spawn(t.Context(), run, s, command); !errors.Is(err, guard.ErrNotStarted) || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("got %v", err)
	}
}

// What the main process leaves behind ends with it, if the spec says so, and
// what it has reported is told.
func TestEndsWithMain(t *testing.T) {
	t.Parallel()
	s, dir := script(t, `setsid -f sh -c 'echo $$ > pid; trap "" TERM; while :; do sleep 1000; done'
		until [ -s pid ]; do sleep 0.01; done; echo '{"reason":"out of paper"}' > report; exit 5`)
	s.EndsWithMain, s.Report = true, filepath.Join(dir, "report")
	h := spawn(t, s)
	events := follow(t, h)
	wantTypes(t, events, "starting started exited")
	if e := events[2]; e.Outcome != guard.ByItself || e.Code == nil || *e.Code != 5 || e.Reason != "out of paper" {
		t.Errorf("exited %+v", e)
	}
	if left := living(pids(t, filepath.Join(dir, "pid"), 1)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
}

// What comes after a run comes when nothing of it is left, before its end is
// told, also if its guard was killed; once, if several ask.
func TestAfter(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("guardKilled=%v", killed), func(t *testing.T) {
			t.Parallel()
			s, dir := script(t, "setsid -f sleep 1000; echo $$ > pid; exec sleep 1000")
			after := filepath.Join(dir, "after")
			s.After = []string{"/bin/sh", "-c", "grep -sv ' Z ' /proc/$(cat " + dir + "/pid)/stat >> " + after + "; echo over >> " + after + "; false"}
			h := spawn(t, s)
			pids(t, filepath.Join(dir, "pid"), 1)
			st, err := h.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if killed {
				if err := syscall.Kill(st.Guard, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				await(t, "the guard to die", func() bool { return !h.Alive() })
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						if e, err := guard.Sweep(context.Background(), h.Dir()); err != nil || e.Outcome != guard.GuardLost {
							t.Errorf("swept %+v, %v", e, err)
						}
					})
				}
				wg.Wait()
				wantTypes(t, follow(t, h), "starting started exited")
			} else {
				if _, err := h.Stop(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				follow(t, h)
			}
			// It failed, and the run came to its end all the same.
			if b, err := os.ReadFile(after); err != nil || string(b) != "over\n" {
				t.Errorf("after: %q, %v", b, err)
			}
		})
	}
}

// A run that was refused is to be found as one that did not start.
func TestRefuse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	if err := guard.Refuse(dir, spec(time.Minute), "no room"); err != nil {
		t.Fatal(err)
	}
	if err := guard.Refuse(dir, spec(time.Minute), "no room"); !errors.Is(err, guard.ErrExists) {
		t.Errorf("refused twice: %v", err)
	}
	h, err := guard.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	events := follow(t, h)
	wantTypes(t, events, "starting exited")
	if events[1].Outcome != guard.NotStarted || events[1].Reason != "no room" || h.Alive() {
		t.Errorf("exited %+v", events[1])
	}
	if err := guard.Remove(dir); err != nil {
		t.Error(err)
	}
}
