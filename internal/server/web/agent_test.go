package web

import (
	"testing"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// An agent plays a device over the use cases: it reports what its test says.
type agent struct {
	site   *site
	id     int64
	number uint64
	seq    uint64
	token  string
	states map[int64]*wire.SessionState
}

func (s *site) agentOf(device int64) *agent {
	if s.agents[device] == nil {
		s.agents[device] = &agent{site: s, id: device, states: map[int64]*wire.SessionState{}}
	}
	return s.agents[device]
}

// observe reports that the session's app was added and runs.
func (s *site) observe(device, id int64) {
	s.t.Helper()
	a := s.agentOf(device)
	a.report(s.t, id, session.IsIdle, wire.Observation{Type: session.ObsAdded})
	a.report(s.t, id, session.IsRunning, wire.Observation{Type: session.ObsStarted, Run: 1})
}

// exit reports that the session's app ended by itself.
func (s *site) exit(device, id int64) {
	s.t.Helper()
	s.agentOf(device).report(s.t, id, session.IsIdle, wire.Observation{Type: session.ObsExited, Run: 1})
}

// report checks in with one observation and what is known of every session.
func (a *agent) report(t *testing.T, id int64, state session.State, o wire.Observation) *wire.Answer {
	t.Helper()
	a.number++
	a.seq++
	o.Seq, o.Session, o.At = a.seq, id, time.Now()
	st := a.states[id]
	if st == nil {
		st = &wire.SessionState{Session: id}
		a.states[id] = st
	}
	st.State, st.Guard = state, state == session.IsRunning
	if o.Run != 0 {
		st.Run = o.Run
	}
	if o.Type == session.ObsRevoked {
		st.Stored = o.UpTo
	}
	m := &wire.CheckIn{V: wire.Version, Number: a.number, Epoch: 1, Complete: true, Token: a.token, Observations: []wire.Observation{o}}
	for _, s := range a.states {
		m.Sessions = append(m.Sessions, *s)
	}
	ans, err := a.site.c.CheckIn(t.Context(), a.id, m, "")
	if err != nil {
		t.Fatal(err)
	}
	if ans.Token != "" {
		a.token = ans.Token
	}
	for _, l := range ans.Leases {
		if s := a.states[l.Session]; s != nil {
			s.Holds = true
		}
	}
	return ans
}
