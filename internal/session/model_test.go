package session_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// TestRandomHistories drives sessions of both kinds through random histories of what
// users, administrators, agents, the server and housekeeping do, and checks after each
// step what must always hold.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]session.Kind{session.Device, session.Stream}).Draw(t, "kind")
		licence := rapid.SampledFrom([]lease.Kind{lease.Floating, lease.Fixed}).Draw(t, "licence")
		now := at(0)
		terms := lease.Terms{Kind: licence, Heartbeat: time.Minute, Window: 2 * time.Minute, Offline: time.Hour, ForceMargin: 10 * time.Second}
		s := session.Launch(kind, 1, 1, 1, 1, session.Actor{Role: session.User}, clock(now))
		s.ID = 1
		history := s.TakeTransitions()
		src := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB-1"}}
		h := lease.Holder{Session: 1, Kind: licence}
		check := func(what string) {
			for _, tr := range s.TakeTransitions() {
				last := history[len(history)-1]
				if tr.From != last.To {
					t.Fatalf("%s: history breaks: %s follows %s", what, tr.From, last.To)
				}
				if tr.From == tr.To && tr.Event != session.EvUpgradeGranted && tr.Event != session.EvUpgradeRefused && tr.Event != session.EvNeeded {
					t.Fatalf("%s: a transition from %s to itself", what, tr.From)
				}
				if !inTable(kind, tr) {
					t.Fatalf("%s: %s by %s from %s to %s is not in the table", what, tr.Event, tr.Actor.Role, tr.From, tr.To)
				}
				history = append(history, tr)
			}
			last := history[len(history)-1]
			for n := len(history); n > 2 && history[n-1].Event == session.EvRenewalGranted && history[n-2].Event == session.EvRenewalAsked && history[n-1].At.Equal(history[n-2].At); n -= 2 {
				last = history[n-3] // a renewal that was granted at once changes nothing
			}
			if last.To != s.Status || last.Reason != s.Reason || !last.At.Equal(s.StatusSince) {
				t.Fatalf("%s: the history ends with %+v, the session says %s, %q since %v", what, last, s.Status, s.Reason, s.StatusSince)
			}
			if s.Status == session.Running && s.Lease == nil {
				t.Fatalf("%s: running without a lease", what)
			}
			if s.Status.Ended() == s.EndedAt.IsZero() {
				t.Fatalf("%s: %s, and ended at %v", what, s.Status, s.EndedAt)
			}
			if s.Ended > s.Stored || s.Stored > s.Wanted {
				t.Fatalf("%s: ended %d, stored %d, wanted %d", what, s.Ended, s.Stored, s.Wanted)
			}
			if o := s.Order; o != nil && (o.ETA < leaseAt(o.RequestedAt) || !o.Open() && o.ClosedAt.Before(o.RequestedAt)) {
				t.Fatalf("%s: an order ends before it begins: %+v", what, o)
			}
			// An action that is offered is accepted, any other is refused and changes nothing.
			offered := s.Actions()
			for _, a := range session.Actions {
				c := cloneSession(s)
				err := c.Act(a, session.Actor{Role: session.Admin}, "", clock(now), time.Minute)
				var refused *session.RefusedError
				switch has := contains(offered, a); {
				case has && err != nil:
					t.Fatalf("%s: %s is offered and refused: %v", what, a, err)
				case !has && !errors.As(err, &refused):
					t.Fatalf("%s: %s is not offered and not refused: %v", what, a, err)
				case !has && (c.Status != s.Status || c.Wanted != s.Wanted):
					t.Fatalf("%s: a refused %s changed the session", what, a)
				case !has && refused.Why == "":
					t.Fatalf("%s: %s is refused without a reason", what, a)
				}
			}
		}
		snapshot := func() session.Snapshot {
			st := session.Snapshot{State: session.IsIdle, Run: h.Run, Mark: h.Mark, Stored: h.Stored, Ended: h.Ended(), Seen: h.Seen, Guard: h.Running, Holds: h.Lease != nil, Left: -1}
			if h.Running {
				st.State = session.IsRunning
			}
			return st
		}
		check("launch")
		steps := map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 900).Draw(t, "seconds")) * time.Second)
				s.Tick(clock(now), session.Contact{}, 0)
			},
			"added": func(*rapid.T) { s.Observe(session.Observation{Type: session.ObsAdded, At: now}, src) },
			"up":    func(*rapid.T) { s.Observe(session.Observation{Type: session.ObsUp, Run: 1, At: now}, src) },
			"its user ends it": func(*rapid.T) {
				if was := s.Status; s.End(session.Actor{Role: session.User}, "ended by its user", now) != (kind == session.Stream && (was == session.Connected || was == session.Unknown)) {
					t.Fatalf("a user ends a session that is %s", was)
				}
			},
			"overdue": func(t *rapid.T) {
				heard := now.Add(-time.Duration(rapid.IntRange(0, 60).Draw(t, "silent")) * time.Second)
				s.Overdue(session.Contact{Lease: leaseAt(heard)}, clock(now))
				if kind == session.Stream && s.Status == session.Starting && s.Lease == nil && now.Sub(s.StartedAt) >= session.StartWithin {
					t.Fatal("it is starting for ever")
				}
			},
			"renewal":     func(*rapid.T) { s.Observe(session.Observation{Type: session.ObsRenewalAsked, At: now}, src) },
			"upgrade":     func(*rapid.T) { s.Observe(session.Observation{Type: session.ObsUpgradeAsked, At: now}, src) },
			"not upgrade": func(*rapid.T) { s.Observe(session.Observation{Type: session.ObsUpgradePutOff, At: now}, src) },
			"start": func(*rapid.T) {
				if run, err := h.Start(); err == nil {
					s.Observe(session.Observation{Type: session.ObsStarted, Run: run, Mark: h.Mark, At: now}, src)
				}
			},
			"exit": func(*rapid.T) {
				if h.Running {
					h.Exit()
					s.Observe(session.Observation{Type: session.ObsExited, Run: h.Run, Reason: "idle", At: now}, src)
				}
			},
			"remove": func(*rapid.T) {
				if !h.Running {
					s.Observe(session.Observation{Type: session.ObsRemoved, UpTo: h.GiveUp(0), At: now}, src)
				}
			},
			"check-in": func(t *rapid.T) {
				s.Reconcile(snapshot(), clock(now), src)
				check("reconcile")
				refuse := rapid.Bool().Draw(t, "refuse")
				g, refusal := s.Ask(snapshot(), session.Asking{Now: clock(now), Terms: terms, Agent: src.Agent,
					Entitled: func() *session.Refusal {
						if refuse {
							return &session.Refusal{Code: session.RefusedEntitled, Message: "no"}
						}
						return nil
					},
					Seat: func() (bool, *session.Refusal) { return true, nil }})
				if g != nil && refusal != nil {
					t.Fatal("granted and refused")
				}
				if g != nil && (s.Status.Ended() || g.Generation != s.Wanted+1) {
					t.Fatalf("a lease of generation %d to a session that is %s and wants %d", g.Generation, s.Status, s.Wanted)
				}
				if g != nil && rapid.Bool().Draw(t, "arrives") {
					_ = h.Accept(g.Generation, g.Run, 1<<60, 0, 1)
				}
			},
			"order arrives": func(*rapid.T) {
				if s.Wanted > h.Stored {
					h.Revoke(s.Wanted)
					s.Observe(session.Observation{Type: session.ObsRevoked, UpTo: h.Stored, At: now}, src)
				}
			},
			"act": func(t *rapid.T) {
				a := rapid.SampledFrom(session.Actions).Draw(t, "action")
				_ = s.Act(a, session.Actor{Role: session.Admin, Name: "root"}, "because", clock(now), time.Minute)
			},
			"not needed":   func(*rapid.T) { s.NotNeeded(session.UnneededEntitlement, now) },
			"superseded":   func(*rapid.T) { s.Supersede(now) },
			"needed again": func(*rapid.T) { s.NeededAgain(session.UnneededEntitlement, now) },
			"daily expiry": func(*rapid.T) { s.DailyExpiry("30 days without activity", clock(now)) },
		}
		steps[""] = func(*rapid.T) { check("step") }
		t.Repeat(steps)
	})
}

func contains(as []session.Action, a session.Action) bool {
	for _, x := range as {
		if x == a {
			return true
		}
	}
	return false
}

func inTable(k session.Kind, tr session.Transition) bool {
	for _, a := range session.Table {
		if a.Kind != k || a.Event != tr.Event || a.To != session.WhatIsObserved && a.To != tr.To {
			continue
		}
		role := false
		for _, r := range a.By {
			role = role || r == tr.Actor.Role
		}
		for _, f := range a.From {
			if role && f.Status == tr.From {
				return true
			}
		}
	}
	return false
}

// TestTable checks the table against spec §2, "Statuses and what an admin may do".
func TestTable(t *testing.T) {
	for _, tt := range []struct {
		status        session.Status
		idle, running []session.Action
	}{
		{session.Launched, nil, nil},
		{session.Added, []session.Action{session.Expire}, []session.Action{session.Expire}},
		{session.Running, []session.Action{session.Evict}, []session.Action{session.Evict}},
		{session.RenewalRequested, []session.Action{session.Evict}, []session.Action{session.Evict}},
		{session.UpgradeRequested, []session.Action{session.Expire}, []session.Action{session.Evict}},
		{session.Stopped, []session.Action{session.Expire}, []session.Action{session.Expire}},
		{session.Evicted, []session.Action{session.Expire}, []session.Action{session.Expire}},
		{session.AwaitingExpiry, []session.Action{session.Expire}, []session.Action{session.Expire}},
		{session.Expired, nil, nil},
		{session.Removed, nil, nil},
	} {
		same(t, tt.status, session.Allowed(session.Device, tt.status, false), tt.idle)
		same(t, tt.status, session.Allowed(session.Device, tt.status, true), tt.running)
	}
	for _, s := range session.Statuses(session.Stream) {
		var want []session.Action
		switch s {
		case session.Connected, session.Unknown:
			want = []session.Action{session.Kill}
		case session.Starting:
			want = []session.Action{session.Cancel}
		}
		same(t, s, session.Allowed(session.Stream, s, true), want)
	}
}

func same(t *testing.T, s session.Status, got, want []session.Action) {
	t.Helper()
	if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
		t.Errorf("%s: %v may be done, want %v", s, got, want)
	}
}
