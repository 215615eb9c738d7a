package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// streamHost is a host that says what the test has it say.
type streamHost struct {
	s      *stepped
	id     int64
	slots  int
	number uint64
	seq    uint64
	token  string
	grant  uint64
	states map[int64]*wire.SessionState
	got    *wire.Answer
}

func (s *stepped) host(name string, slots int) *streamHost {
	s.t.Helper()
	e, err := s.Control.Enrol(s.t.Context(), &wire.Enrol{V: 1, Key: s.EnrolmentKeyFor(wire.Host), Kind: wire.Host, Name: name, OS: "linux", Arch: "amd64"}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	h := &streamHost{s: s, id: e.AgentID, slots: slots, states: map[int64]*wire.SessionState{}}
	h.say()
	return h
}

// say checks in with observations, and takes over what it is told to add and to remove.
func (h *streamHost) say(list ...wire.Observation) {
	h.s.t.Helper()
	h.number++
	m := &wire.CheckIn{V: 1, Number: h.number, Token: h.token, Granted: h.grant, Epoch: 1, Complete: true, Slots: h.slots}
	for _, o := range list {
		h.seq++
		o.Seq, o.At = h.seq, h.s.now
		m.Observations = append(m.Observations, o)
	}
	for _, st := range h.states {
		m.Sessions = append(m.Sessions, *st)
	}
	a, err := (&servertest.Direct{Control: h.s.Control, Agent: h.id}).CheckIn(h.s.t.Context(), m)
	if err != nil {
		h.s.t.Fatal(err)
	}
	if h.got = a; a.Token != "" {
		h.token, h.grant = a.Token, a.Number
	}
	for _, d := range a.Directives {
		switch d.Type {
		case wire.DirAdd:
			h.states[d.Session] = &wire.SessionState{Session: d.Session, State: session.IsRunning, Run: 1, Guard: true, Method: d.App.DeliveryMethod, RunMethod: d.App.DeliveryMethod}
		case wire.DirRemove:
			delete(h.states, d.Session)
		}
	}
}

// up lets the session come up.
func (h *streamHost) up(id int64) {
	h.s.t.Helper()
	h.say() // learns of it
	if h.states[id] == nil {
		h.s.t.Fatalf("the host was not told of session %d: %+v", id, h.got.Directives)
	}
	h.say(wire.Observation{Type: session.ObsStarted, Session: id, Run: 1})
	h.states[id].Up, h.states[id].Holds = true, true
	h.say(wire.Observation{Type: session.ObsUp, Session: id, Run: 1})
	h.s.is(id, session.Connected)
}

func (s *stepped) streamed(name string, terms servertest.Terms, st catalog.StreamSettings) int64 {
	st.Geometry = "800x600"
	terms.Packages, terms.Stream, terms.Heartbeat = command, &st, 10
	app, _ := s.App(name, terms)
	return app.ID
}

// TestStreamLaunch: to the host with the most room, refused with a reason where there is none.
func TestStreamLaunch(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		refused := func(want string) {
			t.Helper()
			_, err := s.Control.Launch(t.Context(), s.User, app, 0)
			var r *session.Refusal
			if !errors.As(err, &r) || r.Code != session.RefusedNoHost || !strings.Contains(r.Message, want) {
				t.Errorf("launch: %v, want %q", err, want)
			}
		}
		refused("No host")
		one, two := s.host("one", 1), s.host("two", 3)
		launched := func() string {
			t.Helper()
			l, err := s.Control.Launch(t.Context(), s.User, app, 0)
			if err != nil {
				t.Fatal(err)
			}
			if l.URL != fmt.Sprintf("%s/streams/%d", s.Control.PublicURL, l.Session.ID) || l.Link != "" || l.Session.Status != session.Starting {
				t.Errorf("launched %+v", l)
			}
			return l.Session.AgentName
		}
		for i, want := range []string{"two", "two", "one", "two"} {
			if got := launched(); got != want {
				t.Errorf("launch %d is on %s, want %s", i+1, got, want)
			}
		}
		refused("full")
		// A host in another pool, or silent, is none of these.
		if _, err := s.Control.UpdateAgent(t.Context(), s.Admin, one.id, control.Ending{}, func(a *store.Agent) error { a.Pool, a.Slots = "gpu", 9; return nil }); err != nil {
			t.Fatal(err)
		}
		refused("full")
		s.step(31 * time.Second)
		refused("No host")
		two.slots = 4
		two.say()
		s.step(time.Second) // when it was heard from is written in bulk
		if got := launched(); got != "two" {
			t.Errorf("on %s", got)
		}
		// The pool that is called default is the one of those that name none.
		methods, _, err := s.Control.ListDeliveryMethods(t.Context(), app, "", store.Page{Size: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []struct{ method, host string }{{"default", ""}, {"", " Default "}, {"default", "DEFAULT"}, {"gpu", "gpu "}} {
			_, err := s.Control.UpdateAgent(t.Context(), s.Admin, two.id, control.Ending{}, func(a *store.Agent) error { a.Pool, a.Slots = p.host, 99; return nil })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Control.UpdateDeliveryMethod(t.Context(), s.Admin, methods[0].ID, func(d *catalog.DeliveryMethod) error { d.Stream.Pool = p.method; return nil }); err != nil {
				t.Fatal(err)
			}
			if got := launched(); got != "two" {
				t.Errorf("a method of pool %q and a host in pool %q: launched on %q", p.method, p.host, got)
			}
		}
		// A player's pool is refused.
		dev := s.agent("LAB-1")
		_, err = s.Control.UpdateAgent(t.Context(), s.Admin, dev.ID, control.Ending{}, func(a *store.Agent) error { a.Pool = "gpu"; return nil })
		if err == nil || !strings.Contains(err.Error(), "pool") {
			t.Errorf("a pool for a device: %v", err)
		}
	})
}

// TestStreamLaunchesAtOnce: as many launches as there are slots get one each, whoever is
// first.
func TestStreamLaunchesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		s.host("one", 2)
		s.host("two", 2)
		errs := make(chan error)
		for range 8 {
			go func() {
				_, err := s.Control.Launch(t.Context(), s.User, app, 0)
				errs <- err
			}()
		}
		n := 0
		for range 8 {
			var r *session.Refusal
			if err := <-errs; err == nil {
				n++
			} else if !errors.As(err, &r) {
				t.Error(err)
			}
		}
		if n != 4 {
			t.Errorf("%d launches on four slots", n)
		}
	})
}

// TestHostsAreHeardOften: a host checks in every ten seconds, whatever it runs, and so also
// while it runs nothing: one that is not heard from gets no sessions.
func TestHostsAreHeardOften(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		h := s.host("one", 5)
		within := func(what string) {
			t.Helper()
			if next := time.Duration(h.got.NextMillis) * time.Millisecond; next < 10*time.Second || next > 11*time.Second {
				t.Errorf("%s: the next check-in is in %v", what, next)
			}
		}
		within("with nothing to run")
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 300, Stream: &catalog.StreamSettings{Geometry: "800x600", ReconnectSeconds: 60}})
		l, err := s.Control.Launch(t.Context(), s.User, app.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		h.up(l.Session.ID)
		within("with a session of a long heartbeat")
	})
}

// TestStreamStatuses: each of them, for its reason.
func TestStreamStatuses(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{Seats: 2}, catalog.StreamSettings{ReconnectSeconds: 60, MaxSeconds: 3600})
		h := s.host("one", 5)
		launch := func() int64 {
			t.Helper()
			l, err := s.Control.Launch(t.Context(), s.User, app, 0)
			if err != nil {
				t.Fatal(err)
			}
			return l.Session.ID
		}
		reason := func(id int64, status session.Status, want string) {
			t.Helper()
			s.is(id, status)
			if got := s.Session(id).Reason; got != want {
				t.Errorf("session %d is %s: %q, want %q", id, status, got, want)
			}
		}

		// It is seen by its own user alone, who ends it.
		first := launch()
		h.up(first)
		h.states[first].Viewers = 2
		h.say()
		if st := s.Session(first); st.Viewers != 2 || !st.UnwatchedSince.IsZero() || st.Lease == nil {
			t.Errorf("watched: %+v", st)
		}
		stranger := s.User
		stranger.UserID++
		if _, err := s.Control.Stream(t.Context(), stranger, first); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a stranger sees it: %v", err)
		}
		if err := s.Control.EndStream(t.Context(), stranger, first); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a stranger ends it: %v", err)
		}
		v, err := s.Control.Stream(t.Context(), s.User, first)
		if err != nil || v.AppName != "App" || !v.Clipboard || v.Waits != time.Minute || !v.EndsAt.Equal(s.Session(first).FirstRunAt.Add(time.Hour)) {
			t.Errorf("view %+v, %v", v, err)
		}
		if err := s.Control.EndStream(t.Context(), s.User, first); err != nil {
			t.Fatal(err)
		}
		reason(first, session.Disconnected, "ended by its user")
		h.say()
		if h.states[first] != nil || s.Session(first).Lease == nil {
			t.Errorf("told to end: %+v; its seat is free before it has: %+v", h.got.Directives, s.Session(first).Lease)
		}
		h.say(wire.Observation{Type: session.ObsExited, Session: first, Run: 1}, wire.Observation{Type: session.ObsRemoved, Session: first, UpTo: 1})
		if s.Session(first).Lease != nil {
			t.Error("its seat is not free when the host has ended it")
		}

		// What the host says of its end is its reason.
		idle := launch()
		h.up(idle)
		h.states[idle].State, h.states[idle].Guard, h.states[idle].Up, h.states[idle].Holds = session.IsIdle, false, false, false
		h.say(wire.Observation{Type: session.ObsExited, Session: idle, Run: 1, Reason: "nobody used it for 1 h"})
		reason(idle, session.Disconnected, "nobody used it for 1 h")

		// It never comes up.
		fails := launch()
		h.say()
		h.say(wire.Observation{Type: session.ObsStarted, Session: fails, Run: 1})
		h.states[fails].State, h.states[fails].Guard = session.IsIdle, false
		h.say(wire.Observation{Type: session.ObsExited, Session: fails, Run: 1, Reason: "no such program"})
		reason(fails, session.Failed, "no such program")
		late := launch()
		s.step(2*time.Minute + time.Second)
		reason(late, session.Failed, "the host did not bring it up in time")

		// The host gets no launches for a while, because two have failed in a row.
		for range 2 {
			h.say()
			s.step(16 * time.Second)
		}

		// A silent host: unknown, and back.
		h.say()
		s.step(time.Second)
		away := launch()
		h.up(away)
		s.step(29 * time.Second)
		s.is(away, session.Connected)
		s.step(2 * time.Second)
		reason(away, session.Unknown, "nothing heard from the host")
		h.say()
		s.is(away, session.Connected)
		s.step(time.Second)

		// No seat: refused at the launch.
		other := launch()
		h.up(other)
		var r *session.Refusal
		if _, err := s.Control.Launch(t.Context(), s.User, app, 0); !errors.As(err, &r) || r.Code != session.RefusedNoSeat {
			t.Errorf("a third session with two seats: %v", err)
		}

		// Its user may not any more, at once.
		s.provision(1, control.Ending{Now: true}, func(p *directory.Provision) { p.Enabled = false })
		s.check()
		s.is(away, session.Killed)
		h.say()

		// The host goes: the lease ends it.
		if _, err := s.Control.Act(t.Context(), s.Admin, other, session.Kill, ""); err == nil {
			t.Error("killed twice")
		}
	})
}

// TestStreamStartedAndUpAtOnce: a host that was cut off while a session came up tells both
// at once; it is connected with its first lease, and lapses not.
func TestStreamStartedAndUpAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 5)
		l, err := s.Control.Launch(t.Context(), s.User, app, 0)
		if err != nil {
			t.Fatal(err)
		}
		id := l.Session.ID
		h.say()
		h.states[id].Up = true
		h.say(wire.Observation{Type: session.ObsStarted, Session: id, Run: 1}, wire.Observation{Type: session.ObsUp, Session: id, Run: 1})
		s.is(id, session.Connected)
		if got := fmt.Sprint(s.history(id)); got != "[starting connected]" || s.Session(id).Lease == nil {
			t.Errorf("history %s, lease %v", got, s.Session(id).Lease)
		}
	})
}

// TestStreamLapses: a host that never comes back, and one that has lost its folder.
func TestStreamLapses(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 5)
		launch := func() int64 {
			t.Helper()
			l, err := s.Control.Launch(t.Context(), s.User, app, 0)
			if err != nil {
				t.Fatal(err)
			}
			h.up(l.Session.ID)
			return l.Session.ID
		}
		lost := launch()
		delete(h.states, lost)
		h.say()
		s.is(lost, session.Disconnected)
		gone := launch()
		for range 60 {
			s.step(time.Second)
		}
		st := s.Session(gone)
		if st.Status != session.Disconnected || !strings.HasPrefix(st.Reason, session.ReasonLapsed+": ") || st.Lease != nil {
			t.Errorf("%s, %q, %+v", st.Status, st.Reason, st.Lease)
		}
		if got := fmt.Sprint(s.history(gone)); got != "[starting connected unknown disconnected]" {
			t.Errorf("history %s", got)
		}
	})
}

// TestStreamCannotStart: a host that says why it cannot begin to start a session.
func TestStreamCannotStart(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 5)
		l, err := s.Control.Launch(t.Context(), s.User, app, 0)
		if err != nil {
			t.Fatal(err)
		}
		id := l.Session.ID
		h.states[id] = &wire.SessionState{Session: id, State: session.IsAbsent}
		h.say()
		s.is(id, session.Starting) // it is only just beginning
		h.states[id].Problem = "The host's disk is full"
		h.say()
		if st := s.Session(id); st.Status != session.Failed || st.Reason != "The host's disk is full" || st.EndedAt.IsZero() {
			t.Errorf("%s, %q, ended at %v", st.Status, st.Reason, st.EndedAt)
		}
		if h.say(); h.states[id] != nil {
			t.Error("the host is not told that it need not keep it")
		}
	})
}

// TestStreamLapsedEarlier: a host that tells after a lapse when the app had really ended.
func TestStreamLapsedEarlier(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 5)
		l, err := s.Control.Launch(t.Context(), s.User, app, 0)
		if err != nil {
			t.Fatal(err)
		}
		id := l.Session.ID
		h.up(id)
		exited := s.now.Add(20 * time.Second).UTC()
		for range 60 {
			s.step(time.Second)
		}
		s.is(id, session.Disconnected)
		now := s.now
		s.now = exited // say dates its observations so
		o := wire.Observation{Type: session.ObsExited, Session: id, Run: 1}
		h.states[id] = &wire.SessionState{Session: id, State: session.IsIdle, Run: 1}
		h.say(o)
		s.now = now
		if st := s.Session(id); !st.EndedAt.Equal(exited) || st.Status != session.Disconnected || !strings.HasPrefix(st.Reason, session.ReasonLapsed+": ") {
			t.Errorf("%s, %q, ended at %v, want %v", st.Status, st.Reason, st.EndedAt, exited)
		}
	})
}

// TestStreamsAreKept: a stream is listed as long as its history is kept, and then goes.
func TestStreamsAreKept(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 5)
		l, err := s.Control.Launch(t.Context(), s.User, app, 0)
		if err != nil {
			t.Fatal(err)
		}
		id := l.Session.ID
		h.up(id)
		if err := s.Control.EndStream(t.Context(), s.User, id); err != nil {
			t.Fatal(err)
		}
		h.say()
		h.say(wire.Observation{Type: session.ObsExited, Session: id, Run: 1}, wire.Observation{Type: session.ObsRemoved, Session: id, UpTo: 1})
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(c *control.Settings) error { c.HistoryDays = 10; return nil }); err != nil {
			t.Fatal(err)
		}
		d, err := s.Control.Session(t.Context(), id)
		if err != nil || len(d.Outlook) != 1 || !strings.Contains(d.Outlook[0].What, "deleted for good") {
			t.Fatalf("outlook %+v, %v", d.Outlook, err)
		}
		for day := range 12 {
			s.step(24 * time.Hour)
			if _, err := s.Control.Housekeep(t.Context(), s.Admin, false); err != nil {
				t.Fatal(err)
			}
			list, err := s.Control.ListSessions(t.Context(), store.SessionQuery{Kind: session.Stream, PageSize: 10})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Control.Session(t.Context(), id)
			if kept := day < 10; (len(list.Rows) == 1) != kept || errors.Is(err, store.ErrNotFound) == kept {
				t.Errorf("after %d days: %d rows, %v", day+1, len(list.Rows), err)
			}
		}
	})
}
