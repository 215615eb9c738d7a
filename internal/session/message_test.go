package session_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// Where a message applies, and that it changes nothing but itself.
func TestWhereAMessageApplies(t *testing.T) {
	want := map[session.Status][2]bool{ // while the app runs, while it does not
		session.Running: {true, true}, session.RenewalRequested: {true, true}, session.UpgradeRequested: {true, false}, session.Evicted: {true, false},
		session.Connected: {true, true}, session.Unknown: {true, true},
	}
	for _, k := range []session.Kind{session.Device, session.Stream} {
		for _, st := range session.Statuses(k) {
			for i, running := range []bool{true, false} {
				if err := session.Check(session.Tell, k, st, running, false); (err == nil) != want[st][i] {
					t.Errorf("%s, running %t: %v", st, running, err)
				}
			}
			if session.Check(session.Tell, k, st, true, true) == nil {
				t.Errorf("%s, deleted: a message applies", st)
			}
		}
	}
	err := session.Check(session.Tell, session.Stream, session.Killed, false, false)
	if err == nil || err.Error() != "the session is killed; message applies to connected or unknown" {
		t.Error(err)
	}
}

func running(t *testing.T, now time.Time) (*session.Session, session.Source) {
	t.Helper()
	src := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB-204"}}
	s := session.Launch(session.Device, 1, 1, 1, 1, session.Actor{Role: session.User, Name: "ann"}, clock(now))
	s.Observe(session.Observation{Type: session.ObsAdded, At: now}, src)
	s.Lease = &lease.Grant{Kind: lease.Floating, Generation: 1, Run: 1, FreeAt: leaseAt(now.Add(time.Hour))}
	s.Observe(session.Observation{Type: session.ObsStarted, Run: 1, At: now}, src)
	return s, src
}

func TestMessages(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	olga := session.Actor{Role: session.Admin, Name: "olga"}
	s, src := running(t, now)
	before := *s
	for i := range 3 {
		if err := s.Act(session.Tell, olga, fmt.Sprint("text ", i), clock(now.Add(time.Minute)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if s.Status != before.Status || s.Order != nil || s.Wanted != before.Wanted || s.LastActivityAt != before.LastActivityAt || s.Said != 3 || s.Told != 0 {
		t.Errorf("a message has changed more: %+v", s)
	}
	list := s.TakeMessages()
	if len(list) != 3 || list[2].N != 3 || list[2].Text != "text 2" || list[2].By != olga || len(s.TakeMessages()) != 0 {
		t.Errorf("kept: %+v", list)
	}
	// Shown in part, twice; more than were said; late.
	for _, c := range []struct {
		upTo  uint64
		told  uint32
		fresh int
	}{{2, 2, 2}, {2, 2, 0}, {1, 2, 0}, {1 << 39, 3, 1}} {
		s.Observe(session.Observation{Type: session.ObsTold, UpTo: c.upTo, At: now}, src)
		if got := s.TakeMessages(); s.Told != c.told || len(got) != c.fresh {
			t.Errorf("shown up to %d: %d told, %+v", c.upTo, s.Told, got)
		}
	}
	// What waits when the app ends is never shown.
	if err := s.Act(session.Tell, olga, "hurry", clock(now), 0); err != nil {
		t.Fatal(err)
	}
	m := s.TakeMessages()[0]
	if !s.Waits(&m) {
		t.Error("it does not wait")
	}
	s.Observe(session.Observation{Type: session.ObsExited, Run: 1, At: now}, src)
	if s.Waits(&m) || len(s.TakeMessages()) != 0 {
		t.Error("it waits for the next run")
	}
	s.Observe(session.Observation{Type: session.ObsStarted, Run: 2, Mark: 0, At: now}, src)
	if s.Waits(&m) {
		t.Error("the next run shows it")
	}
}

// What an agent says that it has shown is believed; more than was ever said comes of a
// database that was restored, and the next message has a number above.
func TestToldByReport(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, src := running(t, now)
	tell := func() {
		t.Helper()
		if err := s.Act(session.Tell, session.Actor{Role: session.Admin}, "x", clock(now), 0); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	tell()
	s.TakeMessages()
	report := session.Snapshot{State: session.IsRunning, Run: 1, Told: 1}
	s.Reconcile(report, clock(now), src)
	if got := s.TakeMessages(); len(got) != 1 || got[0].N != 1 || s.Told != 1 {
		t.Errorf("%+v, %d told", got, s.Told)
	}
	report.Told = 7
	s.Reconcile(report, clock(now), src)
	if got := s.TakeMessages(); len(got) != 0 || s.Told != 7 || s.Said != 7 {
		t.Errorf("restored: %+v, %d said, %d told", got, s.Said, s.Told)
	}
	tell()
	if got := s.TakeMessages(); got[0].N != 8 || !s.Waits(&got[0]) {
		t.Errorf("after that: %+v", got)
	}
}

func TestTooManyMessages(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, src := running(t, now)
	tell := func() error { return s.Act(session.Tell, session.Actor{Role: session.Admin}, "x", clock(now), 0) }
	for range session.MaxWaiting {
		if err := tell(); err != nil {
			t.Fatal(err)
		}
	}
	var e *session.RefusedError
	if err := tell(); !errors.As(err, &e) || s.Said != session.MaxWaiting {
		t.Errorf("%v; %d said", err, s.Said)
	}
	s.Observe(session.Observation{Type: session.ObsTold, UpTo: 1, At: now}, src)
	if err := tell(); err != nil {
		t.Error(err)
	}
}
