package control_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// refused launches an app and wants no host for it, and what the refusal says.
func (s *stepped) refused(app int64, want string) {
	s.t.Helper()
	_, err := s.Control.Launch(s.t.Context(), s.User, app, 0)
	var r *session.Refusal
	if !errors.As(err, &r) || r.Code != session.RefusedNoHost || !strings.Contains(r.Message, want) {
		s.t.Errorf("launch: %v, want %q", err, want)
	}
}

// TestHostIsApproved: no launch goes to a host that nobody has approved, however much room it
// says it has.
func TestHostIsApproved(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		good := s.host("good", 2)
		key, _, err := s.Control.NewEnrolmentKey(t.Context(), s.Admin, control.KeyTerms{Kind: wire.Host})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Control.Enrol(t.Context(), &wire.Enrol{V: 1, Key: key, Kind: wire.Host, Name: "stranger", OS: "linux", Arch: "amd64"}, "")
		if err != nil {
			t.Fatal(err)
		}
		stranger := &streamHost{s: s, id: e.AgentID, slots: 4000, states: map[int64]*wire.SessionState{}}
		stranger.say()
		for range 2 {
			if l := s.Launch(app); l.Session.AgentID != good.id {
				t.Errorf("launched on %s", l.Session.AgentName)
			}
		}
		s.refused(app, "full")
		approve := func(yes bool) {
			if _, err := s.Control.UpdateAgent(t.Context(), s.Admin, stranger.id, control.Ending{}, func(a *store.Agent) error { a.Approved = yes; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		approve(true)
		if l := s.Launch(app); l.Session.AgentID != stranger.id {
			t.Errorf("once it is approved: launched on %s", l.Session.AgentName)
		}
		approve(false)
		s.refused(app, "full")
	})
}

// TestSlotsAreCapped: a host that says it has room for thousands gets as many sessions as the
// setting lets it have.
func TestSlotsAreCapped(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		s.host("greedy", 4000)
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(set *control.Settings) error { set.HostSlots = 3; return nil }); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.Launch(app)
		}
		s.refused(app, "full")
	})
}

// fail launches an app, and has the host say that it did not start.
func (h *streamHost) fail(app int64) {
	h.s.t.Helper()
	l := h.s.Launch(app)
	if l.Session.AgentID != h.id {
		h.s.t.Fatalf("launched on %s", l.Session.AgentName)
	}
	h.say()
	h.say(wire.Observation{Type: session.ObsStarted, Session: l.Session.ID, Run: 1})
	h.states[l.Session.ID].State = session.IsIdle
	h.say(wire.Observation{Type: session.ObsExited, Session: l.Session.ID, Run: 1, Reason: "no display"})
	h.s.is(l.Session.ID, session.Failed)
	delete(h.states, l.Session.ID)
	h.say()
}

// TestHostThatFails: a host on which an app fails to start draws no launches of it for ever
// longer, nor of any app once three have failed; its page says why. One start that succeeds
// ends it.
func TestHostThatFails(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		other := s.streamed("Other", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		bad := s.host("bad", 50)
		bad.fail(app)
		bad.fail(app) // one may be chance
		s.refused(app, "failed to start on every host")
		list, err := s.Control.HostFailures(t.Context(), bad.id)
		if err != nil || len(list) != 1 || list[0].Failures != 2 || list[0].Pause <= 0 || !strings.Contains(list[0].String(), "no display") {
			t.Errorf("failures %v, %v", list, err)
		}
		good := s.host("good", 1)
		if l := s.Launch(app); l.Session.AgentID != good.id {
			t.Errorf("launched on %s", l.Session.AgentName)
		}
		s.refused(app, "full")
		if l := s.Launch(other); l.Session.AgentID != bad.id {
			t.Errorf("another app: on %s", l.Session.AgentName)
		}
		again := func() {
			t.Helper()
			for range 31 {
				s.step(time.Second)
				bad.say()
			}
			s.step(time.Second)
		}
		again()
		bad.fail(app)
		again() // twice as long now
		s.refused(app, "failed to start")
		again()
		l := s.Launch(app)
		bad.up(l.Session.ID)
		if list, err := s.Control.HostFailures(t.Context(), bad.id); err != nil || len(list) != 0 {
			t.Errorf("failures %v, %v", list, err)
		}
		for _, name := range []string{"A", "B", "C"} {
			bad.fail(s.streamed(name, servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60}))
		}
		s.refused(app, "failed to start")
	})
}
