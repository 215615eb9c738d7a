package session_test

import (
	"fmt"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// An order for an app that has exited is closed at once, by time alone, and the agent's
// report says later that there was nothing to close. What runs after that changes nothing.
func TestAlreadyClosed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	step := func() time.Time { now = now.Add(time.Second); return now }
	src := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB-204"}}
	admin := session.Actor{Role: session.Admin, Name: "olga"}
	s := session.Launch(session.Device, 1, 1, 1, 1, session.Actor{Role: session.User, Name: "ann"}, clock(now))
	s.Observe(session.Observation{Type: session.ObsAdded, At: step()}, src)
	s.Observe(session.Observation{Type: session.ObsStarted, Run: 1, At: step()}, src)
	s.Observe(session.Observation{Type: session.ObsExited, Run: 1, At: step()}, src)
	if err := s.Act(session.Expire, admin, "", clock(step()), time.Minute); err != nil {
		t.Fatal(err)
	}
	if o := s.Order; o.Open() || o.ClosedBy != session.ByLapse || o.Already || !o.ClosedAt.Equal(now) {
		t.Fatalf("by time alone: %+v", o)
	}
	s.Reconcile(session.Snapshot{State: session.IsIdle, Run: 1, Stored: 1, Ended: 1}, clock(step()), src)
	if o := s.Order; !o.Already || o.ClosedBy != session.ByLapse || !o.ClosedAt.Equal(o.RequestedAt) {
		t.Errorf("once the agent has told: %+v", o)
	}
	s.Reconcile(session.Snapshot{State: session.IsRunning, Run: 2, Mark: 1, Stored: 1, Ended: 1}, clock(step()), src)
	if o := s.Order; !o.Already || o.Open() {
		t.Errorf("after the next run: %+v", o)
	}
}

// Whether the app had exited before the order arrived is told by the order of the agent's
// journal: its clock may be behind the server's, as any two are.
func TestAlreadyByTheJournal(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	src := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB-204"}}
	for _, c := range []struct {
		name    string
		types   []session.ObservationType
		already bool
	}{
		{"closed by it", []session.ObservationType{session.ObsRevoked, session.ObsWarned, session.ObsExited}, false},
		{"closed before", []session.ObservationType{session.ObsExited, session.ObsRevoked}, true},
		{"removed before", []session.ObservationType{session.ObsRemoved}, true},
		{"removed by it", []session.ObservationType{session.ObsRevoked, session.ObsRemoved}, false},
	} {
		for _, behind := range []time.Duration{-time.Minute, -time.Millisecond, 0, time.Millisecond, time.Minute} {
			s := session.Launch(session.Device, 1, 1, 1, 1, session.Actor{Role: session.User, Name: "ann"}, clock(began))
			s.Observe(session.Observation{Type: session.ObsAdded, At: began}, src)
			s.Lease = &lease.Grant{Kind: lease.Floating, Generation: 1, Run: 1, FreeAt: leaseAt(began.Add(time.Hour))}
			s.Observe(session.Observation{Type: session.ObsStarted, Run: 1, At: began}, src)
			if err := s.Act(session.Evict, session.Actor{Role: session.Admin, Name: "olga"}, "", clock(began.Add(2*time.Minute)), time.Minute); err != nil {
				t.Fatal(err)
			}
			now := began.Add(2*time.Minute - behind)
			for _, typ := range c.types {
				s.Observe(session.Observation{Type: typ, Run: 1, UpTo: 1, At: now}, src)
				now = now.Add(100 * time.Microsecond)
			}
			state := session.IsIdle
			if typ := c.types[len(c.types)-1]; typ == session.ObsRemoved {
				state = session.IsAbsent
			}
			s.Reconcile(session.Snapshot{State: state, Run: 1, Stored: 1, Ended: 1}, clock(now), src)
			if o := s.Order; o.Open() || o.Already != c.already || o.DeliveredAt.Before(o.RequestedAt) || o.ClosedAt.Before(o.RequestedAt) {
				t.Errorf("%s, the agent %v behind: %+v", c.name, behind, o)
			}
		}
	}
}

// The agent's report of an order whose ETA has passed may come before anybody looked at
// the time: it is closed as of its ETA all the same.
func TestReportedAfterItsETA(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	src := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB-204"}}
	s := session.Launch(session.Device, 1, 1, 1, 1, session.Actor{Role: session.User, Name: "ann"}, clock(now))
	s.Observe(session.Observation{Type: session.ObsAdded, At: now}, src)
	now = now.Add(time.Second)
	if err := s.Act(session.Expire, session.Actor{Role: session.Admin, Name: "olga"}, "", clock(now), time.Minute); err != nil {
		t.Fatal(err)
	}
	s.Reconcile(session.Snapshot{State: session.IsIdle, Stored: 1, Ended: 1}, clock(now.Add(40*time.Millisecond)), src)
	if o := s.Order; o.Open() || leaseAt(o.ClosedAt) > o.ETA || o.ClosedAt.Before(o.RequestedAt) {
		t.Errorf("closed %v, to be closed by %v", o.ClosedAt, o.ETA)
	}
}

// An order is for what could run when it was given, and that is over at its ETA. What its
// user starts afterwards, without a lease, before the device has heard of the order, ends
// with the authorisation wait and does not put the order off.
func TestStartedBeforeTheOrderArrived(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, src := running(t, began)
	s.Lease.FreeAt = leaseAt(began.Add(8 * time.Second))
	at := func(n time.Duration) time.Time { return began.Add(n * time.Second) }
	if err := s.Act(session.Evict, session.Actor{Role: session.Admin, Name: "olga"}, "", clock(at(4)), 8*time.Second); err != nil {
		t.Fatal(err)
	}
	// All of it comes in one message, before anybody has looked at the time.
	for _, o := range []session.Observation{{Type: session.ObsExited, Run: 1, At: at(5)}, {Type: session.ObsStarted, Run: 2, At: at(6)},
		{Type: session.ObsRevoked, UpTo: 1, At: at(7)}, {Type: session.ObsWarned, Run: 2, At: at(7)}, {Type: session.ObsExited, Run: 2, At: at(10)}} {
		s.Observe(o, src)
	}
	s.Reconcile(session.Snapshot{State: session.IsIdle, Run: 2, Stored: 1, Ended: 1}, clock(at(11)), src)
	if o := s.Order; o.Open() || leaseAt(o.ClosedAt) > o.ETA {
		t.Errorf("closed %v, to be closed by %v", o.ClosedAt, o.ETA)
	}
}

// A lease that is over and was not swept yet leaves nothing to wait for: an order is not
// closed before it was given.
func TestOrderedAfterTheLease(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, _ := running(t, began)
	s.Lease.FreeAt = leaseAt(began.Add(time.Second))
	if err := s.Act(session.Evict, session.Actor{Role: session.Admin, Name: "olga"}, "", clock(began.Add(2*time.Second)), time.Minute); err != nil {
		t.Fatal(err)
	}
	if o := s.Order; o.Open() || o.ETA < leaseAt(o.RequestedAt) || o.ClosedAt.Before(o.RequestedAt) {
		t.Errorf("%+v", o)
	}
}

func TestActionsOf(t *testing.T) {
	for k, want := range map[session.Kind]string{session.Device: "[evict expire]", session.Stream: "[kill cancel]"} {
		if got := fmt.Sprint(session.ActionsOf(k)); got != want {
			t.Errorf("%s: %s, want %s", k, got, want)
		}
	}
}

// Between two ticks the earliest reading of lease time is behind the latest: an order that
// is done at once is closed when it is given all the same, and not after its ETA.
func TestOrderedBetweenTicks(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := session.Launch(session.Device, 1, 1, 1, 1, session.Actor{Role: session.User, Name: "ann"}, clock(began))
	s.Observe(session.Observation{Type: session.ObsAdded, At: began}, session.Source{})
	now := clock(began.Add(time.Minute))
	now.Earliest = now.Earliest.Add(-time.Second)
	if err := s.Act(session.Expire, session.Actor{Role: session.Admin, Name: "olga"}, "", now, time.Minute); err != nil {
		t.Fatal(err)
	}
	if o := s.Order; o.Open() || !o.ClosedAt.Equal(now.Wall) || o.ClosedAt.After(o.Promised) {
		t.Errorf("given at %v: %+v", now.Wall, o)
	}
}
