//go:build linux

package display_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/stage"
)

// messy is an app that leaves behind whatever an app can: a process in a
// session of its own and, with an account of its own, files and memory.
func messy(args string) []string {
	mess := "setsid -f sleep 1000; "
	if account.Can() {
		// Without an account of its own, what hides its marker and loses its guard
		// is not known to be the session's.
		mess += "setsid -f env -i sleep 1000; "
		mess += "ipcmk -M 4096 -S 1 -Q >/dev/null; touch /tmp/left.$$ /var/tmp/left.$$ /dev/shm/left.$$; "
	}
	return []string{"/bin/sh", "-c", mess + "exec " + sample + " " + args}
}

// Whatever ends a session, the reason is told and nothing of it is left.
func TestHowASessionEnds(t *testing.T) {
	for _, c := range []struct {
		name    string
		args    string
		do      func(s *session)
		outcome guard.Outcome
		code    int    // -1: not known
		reason  string // a part of it
	}{
		{"the app ends", "--exit-after 3s", nil, guard.ByItself, 0, ""},
		{"the app ends badly", "--exit-after 3s --exit-code 7", nil, guard.ByItself, 7, "The app ended with exit code 7"},
		{"it is stopped", "", func(s *session) { s.stop() }, guard.Closed, 0, "enough"},
		{"it is deaf", "--ignore-term", func(s *session) { s.stop() }, guard.Killed, -1, "enough"},
		{"the display dies", "", func(s *session) { s.kill("display") }, guard.ByItself, stage.ExitDisplay, "The display server ended unexpectedly"},
		{"the app is killed", "", func(s *session) { s.kill("app") }, guard.ByItself, 128 + 9, "The app ended by a signal (killed)"},
		{"the stage is killed", "", func(s *session) { s.kill("stage") }, guard.ByItself, -1, ""},
		{"the guard is killed", "", func(s *session) { s.kill("guard") }, guard.GuardLost, -1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newHarness(t).up(spec(1, messy(c.args)...))
			if account.Can() {
				await(t, "the app's mess", func() bool { return s.mess() >= 3 })
			}
			if c.do != nil {
				c.do(s)
			}
			e := s.exit()
			s.nothingLeft()
			if e.Outcome != c.outcome || !strings.Contains(e.Reason, c.reason) || c.reason == "" && e.Reason != "" {
				t.Errorf("exited %+v", e)
			}
			if c.code >= 0 && (e.Code == nil || *e.Code != c.code) {
				t.Errorf("exited %+v, want code %d", e, c.code)
			}
			if _, ok := s.h.Socket(s.Key()); ok {
				t.Error("its socket is still told")
			}
			await(t, "the guard to end", func() bool { return !living(s.guard()) })
		})
	}
}

func (s *session) stop() {
	s.h.t.Helper()
	if changed, err := s.Stop(s.h.t.Context(), "enough"); err != nil || !changed {
		s.h.t.Errorf("stop: %v, %v", changed, err)
	}
}

// A window manager that dies is started again, until it dies too often.
func TestTheWindowManagerDies(t *testing.T) {
	t.Parallel()
	s := newHarness(t).up(spec(1, messy("")...))
	manager := s.ready.PIDs["manager"]
	for i := range 4 {
		if err := syscall.Kill(manager, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			break
		}
		if !living(s.ready.PIDs["app"]) {
			t.Error("the app died with the window manager")
		}
		old := manager
		await(t, "another window manager", func() bool {
			manager = s.child("openbox")
			return manager != 0 && manager != old && s.manages("Leasehold Sample")
		})
	}
	if e := s.exit(); e.Code == nil || *e.Code != stage.ExitManager || !strings.Contains(e.Reason, "window manager") {
		t.Errorf("exited %+v", e)
	}
	s.nothingLeft()
}

// The agent is killed and never comes back: the guard alone ends the session at
// its deadline and clears up.
func TestTheAgentIsGoneForGood(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := h.orphan()
	if _, err := s.Close(t.Context(), guard.Order{Deadline: boottime.Now().Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	await(t, "the guard to end", func() bool { return !living(s.guard()) })
	s.nothingLeft()
}

// The agent is killed and comes back: its sessions are what they were, with
// their displays.
func TestTheAgentComesBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := h.orphan()
	if !s.Alive() {
		t.Error("the run is not alive")
	}
	name, _, _ := s.rfb()
	if name != "The App" {
		t.Errorf("the display is called %q", name)
	}
	if got := s.Spec(); got.Argv[0] != sample || got.App != "The App" || got.After != nil {
		t.Errorf("spec %+v", got)
	}
	s.stop()
	if e := s.exit(); e.Outcome != guard.Closed {
		t.Errorf("exited %+v", e)
	}
	s.nothingLeft()
}

// The agent is killed, and then the guard.
func TestAgentAndGuardAreKilled(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := h.orphan()
	s.kill("guard")
	await(t, "the stage to die with the guard", func() bool { return !living(s.guard()) && !living(s.ready.PIDs["stage"]) })
	runs, err := h.Recover(t.Context())
	if err != nil || len(runs) != 1 {
		t.Fatalf("recovered %d, %v", len(runs), err)
	}
	s.nothingLeft()
	if e := s.exit(); e.Outcome != guard.GuardLost {
		t.Errorf("exited %+v", e)
	}
}

// orphan is a session whose agent was killed.
func (h *harness) orphan() *session {
	h.t.Helper()
	argv := append(as("agent")(h.root), sample)
	agent := exec.Command(argv[0], argv[1:]...)
	agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	agent.Stderr = os.Stderr
	out, err := agent.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		h.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		h.t.Errorf("the agent did not start the session: %q, %v", line, err)
	}
	if err := syscall.Kill(-agent.Process.Pid, syscall.SIGKILL); err != nil {
		h.t.Fatal(err)
	}
	_ = agent.Wait()
	runs, err := h.Recover(h.t.Context())
	if err != nil || len(runs) != 1 {
		h.t.Fatalf("recovered %d, %v", len(runs), err)
	}
	return h.look(runs[0])
}
