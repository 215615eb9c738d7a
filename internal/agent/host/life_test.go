//go:build linux

package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/stage"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// A session comes up on a real display, goes on under renewed leases, and is killed.
func TestStreamIsKilled(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 1)
	m := enrol(t, s)
	m.start()
	id := launch(t, s, app)
	st := is(t, s, id, session.Connected)
	if st.Observed != session.IsRunning || st.UnwatchedSince.IsZero() || st.Viewers != 0 || len(pids()) != 1 {
		t.Errorf("%+v, processes %v", st, pids())
	}
	first := st.Lease
	servertest.Eventually(t, long, "its lease is renewed", func() bool {
		l := s.Session(id).Lease
		return l != nil && first != nil && l.GrantedAt > first.ExpiresAt.Add(-time.Second) || first == nil && l != nil
	})
	s.Act(id, session.Kill, "it hangs")
	if got := s.Session(id).Status; got != session.Killed {
		t.Errorf("status %s at once", got)
	}
	servertest.Eventually(t, long, "the order is closed", func() bool { return !s.Session(id).Order.Open() })
	if o := s.Session(id).Order; o.ClosedBy != session.ByAgent || o.DeliveredAt.IsZero() {
		t.Errorf("order %+v", o)
	}
	m.nothing(pids()...)
	servertest.Eventually(t, long, "the host has forgotten it", func() bool { return s.Session(id).Observed == session.IsAbsent })
}

// The app ends, its user ends it, its display is killed: each says why.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, s *servertest.Server, id int64, pid int)
		want string
	}{
		{"the app exits", func(t *testing.T, _ *servertest.Server, _ int64, pid int) {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}, "the app was closed"},
		{"its user", func(t *testing.T, s *servertest.Server, id int64, _ int) {
			if err := s.Control.EndStream(t.Context(), s.User, id); err != nil {
				t.Error(err)
			}
		}, "ended by its user"},
		{"its display is killed", func(t *testing.T, _ *servertest.Server, _ int64, pid int) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if err != nil {
				t.Fatal(err)
			}
			for v := range strings.SplitSeq(string(b), "\x00") {
				if home, ok := strings.CutPrefix(v, "HOME="); ok {
					ready, err := stage.ReadReady(filepath.Dir(home))
					if err != nil {
						t.Fatal(err)
					}
					_ = syscall.Kill(ready.PIDs["display"], syscall.SIGKILL)
				}
			}
		}, "The display server ended unexpectedly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, app, pids := organisation(t, 1)
			m := enrol(t, s)
			m.start()
			id := launch(t, s, app)
			is(t, s, id, session.Connected)
			m.displays()
			tt.end(t, s, id, pids()[0])
			st := is(t, s, id, session.Disconnected)
			if st.Reason != tt.want || st.EndedAt.IsZero() {
				t.Errorf("reason %q, ended %v", st.Reason, st.EndedAt)
			}
			m.nothing(pids()...)
			m.forgotten()
		})
	}
}

// What never comes up fails, and says why.
func TestStreamFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no such program", []string{"/no/such/app"}, "/no/such/app"},
		{"it exits at once", []string{"sh", "-c", "echo no licence here >&2; exit 3"}, "The app ended at its start with exit code 3: no licence here"},
		{"it is killed at once", []string{"sh", "-c", "kill -9 $$"}, "The app ended at its start by a signal (killed)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, app, _ := organisation(t, 1, tt.args...)
			m := enrol(t, s)
			m.start()
			id := launch(t, s, app)
			if st := is(t, s, id, session.Failed); !strings.Contains(st.Reason, tt.want) {
				t.Errorf("reason %q", st.Reason)
			}
			m.nothing()
			m.forgotten()
		})
	}
}

// A host that dies: its sessions are unknown, and what they truly are when it is back. One
// that was killed meanwhile is ended then.
func TestHostDies(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 20)
	m := enrol(t, s)
	m.start()
	stays, killed := launch(t, s, app), launch(t, s, app)
	is(t, s, stays, session.Connected)
	is(t, s, killed, session.Connected)
	if _, err := s.Control.Launch(t.Context(), s.User, app, 0); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a third session on two slots: %v", err)
	}
	began := pids()
	m.displays()
	m.kill(syscall.SIGKILL)
	for _, id := range []int64{stays, killed} {
		if st := is(t, s, id, session.Unknown); st.Reason != "nothing heard from the host" || !st.EndedAt.IsZero() {
			t.Errorf("unknown: reason %q, ended %v", st.Reason, st.EndedAt)
		}
	}
	first := s.Session(stays).Lease
	s.Act(killed, session.Kill, "")
	if st := s.Session(killed); st.Status != session.Killed || !st.Order.Open() {
		t.Errorf("killed while the host is away: %s, order %+v", st.Status, st.Order)
	}
	m.start()
	if st := is(t, s, stays, session.Connected); st.Run != 1 || st.Observed != session.IsRunning {
		t.Errorf("back: %+v", st)
	}
	servertest.Eventually(t, long, "the kill is carried out", func() bool { return !s.Session(killed).Order.Open() })
	if by := s.Session(killed).Order.ClosedBy; by != session.ByAgent {
		t.Errorf("closed by %q", by)
	}
	living := 0
	for _, pid := range began {
		if alive(pid) {
			living++
		}
	}
	if now := pids(); living != 1 || len(now) != 2 {
		t.Errorf("%d of %v are alive, now there are %v", living, began, now)
	}
	// It is truly connected: it goes on under leases that are granted from now on.
	servertest.Eventually(t, long, "its lease is renewed", func() bool {
		l := s.Session(stays).Lease
		return l != nil && l.GrantedAt > first.GrantedAt
	})
	s.Act(stays, session.Kill, "")
	m.nothing(began...)
	m.forgotten()
}

// A host that dies and never comes back: the guards end its sessions with their leases, and
// so does the server.
func TestHostNeverComesBack(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 5)
	m := enrol(t, s)
	m.start()
	id := launch(t, s, app)
	is(t, s, id, session.Connected)
	m.kill(syscall.SIGKILL)
	m.nothing(pids()...)
	if st := is(t, s, id, session.Disconnected); !strings.HasPrefix(st.Reason, session.ReasonLapsed+": ") || st.Lease != nil {
		t.Errorf("%q, %+v", st.Reason, st.Lease)
	}
}
