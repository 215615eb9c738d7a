package session_test

import (
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// An end that nobody can prove is reported like any other and frees nothing: the end of the
// lease does, which closes the order too.
func TestUnprovedEnds(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	freeAt := began.Add(5 * time.Minute)
	src := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB-204"}}
	for _, c := range []struct {
		name     string
		kind     lease.Kind
		typ      session.ObservationType
		unproved bool
		guard    bool // as the snapshot says; an agent that reports an unproved end says so
		held     bool // afterwards
		status   session.Status
	}{
		{"proved", lease.Floating, session.ObsExited, false, false, false, session.Evicted},
		{"unproved", lease.Floating, session.ObsExited, true, true, true, session.Evicted},
		{"unproved, and proved by now", lease.Floating, session.ObsExited, true, false, false, session.Evicted},
		{"a fixed lease, returned", lease.Fixed, session.ObsReturned, false, false, false, session.Evicted},
		{"a fixed lease, returned, unproved", lease.Fixed, session.ObsReturned, true, true, true, session.Evicted},
		{"removed", lease.Floating, session.ObsRemoved, false, false, false, session.Removed},
		{"removed, unproved", lease.Floating, session.ObsRemoved, true, true, true, session.Removed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := session.Launch(session.Device, 1, 1, 1, 1, session.Actor{Role: session.User, Name: "ann"}, clock(began))
			s.Observe(session.Observation{Type: session.ObsAdded, At: began}, src)
			s.Lease = &lease.Grant{Kind: c.kind, Generation: 1, Run: 1, ExpiresAt: leaseAt(freeAt), FreeAt: leaseAt(freeAt)}
			if c.kind == lease.Fixed {
				s.Lease.Run = 0
			}
			s.Observe(session.Observation{Type: session.ObsStarted, Run: 1, At: began}, src)
			now := began.Add(time.Minute)
			if err := s.Act(session.Evict, session.Actor{Role: session.Admin, Name: "olga"}, "", clock(now), time.Minute); err != nil {
				t.Fatal(err)
			}
			s.Observe(session.Observation{Type: session.ObsRevoked, UpTo: 1, At: now}, src)
			s.Observe(session.Observation{Type: session.ObsExited, Run: 1, At: now, Unproved: c.unproved}, src)
			s.Observe(session.Observation{Type: c.typ, Run: 1, UpTo: 1, At: now, Unproved: c.unproved}, src)
			snap := session.Snapshot{State: session.IsIdle, Run: 1, Stored: 1, Ended: 1, Guard: c.guard}
			if c.guard {
				snap.Ended = 0
			}
			if c.typ == session.ObsRemoved {
				snap.State = session.IsAbsent
			}
			s.Reconcile(snap, clock(now), src)
			if s.Status != c.status || s.Observed == session.IsRunning {
				t.Errorf("%s, observed %s", s.Status, s.Observed)
			}
			if (s.Lease != nil) != c.held || s.Order.Open() != c.held {
				t.Errorf("lease %+v, order %+v", s.Lease, s.Order)
			}
			s.Tick(clock(freeAt), session.Contact{}, 0)
			by := session.ByAgent
			if c.held {
				by = session.ByLapse
			}
			if s.Lease != nil || s.Order.ClosedBy != by {
				t.Errorf("at the lease's end: lease %+v, order %+v", s.Lease, s.Order)
			}
		})
	}
}
