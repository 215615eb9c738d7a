package control_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// set sets the wall clock of the server, which is the database's, by d.
func (s *stepped) set(d time.Duration) {
	s.mu.Lock()
	s.now = s.now.Add(d)
	s.mu.Unlock()
}

// silently lets time pass without a tick.
func (s *stepped) silently(d time.Duration) {
	s.mu.Lock()
	s.now, s.elapsed = s.now.Add(d), s.elapsed+d
	s.mu.Unlock()
}

// The database's wall clock is set back, and two hours ahead for a moment: apps go on, new
// ones start, and no seat is free that is not.
func TestWallClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-20 * time.Second, 2 * time.Hour, -24 * time.Hour, 365 * 24 * time.Hour} {
		each(t, func(t *testing.T, s *stepped) {
			app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 5, Warnings: []int{2}, Seats: 1})
			other, _ := s.App("Other", servertest.Terms{Packages: command, Heartbeat: 5, Warnings: []int{2}})
			a, b := s.agent("LAB-1"), s.agent("LAB-2")
			id := s.running(a, app.ID)
			lives := func(when string) {
				t.Helper()
				for range 10 {
					was := s.Session(id).Lease
					s.step(5 * time.Second)
					s.say(a)
					is := s.Session(id).Lease
					if is == nil || is.ExpiresAt.Sub(was.ExpiresAt) != 5*time.Second {
						t.Fatalf("%s by %v: the lease went from %+v to %+v", when, by, was, is)
					}
					s.is(id, session.Running)
				}
			}
			lives("before it is set")
			s.set(by)
			lives("set")
			second := s.added(b, app.ID)
			if err := b.Start(second); err != nil {
				t.Fatal(err)
			}
			s.say(b)
			if s.Session(second).Lease != nil {
				t.Fatal("the one seat is given twice")
			}
			s.running(b, other.ID)
			s.set(-by)
			lives("set back")
		})
	}
}

// A session whose row somebody has locked keeps nothing waiting: neither the lease clock nor
// what time does to others.
func TestLockedSessionHoldsNothingUp(t *testing.T) {
	s := (&stepped{db: "postgres"}).fresh(t)
	app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 5, Warnings: []int{2}})
	a, b := s.agent("LAB-1"), s.agent("LAB-2")
	held, lapses := s.running(a, app.ID), s.running(b, app.ID)
	free := s.lock(held)
	was := s.leaseNow().Earliest
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.step(time.Hour)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("what time does waits for a lock")
	}
	if got := s.leaseNow().Earliest.Sub(was); got != time.Hour {
		t.Errorf("the lease clock went on by %v of an hour", got)
	}
	s.is(held, session.Running)
	s.is(lapses, session.Stopped)
	if s.Control.Skipped() == 0 {
		t.Error("what was skipped is not counted")
	}
	// A person who needs the row is told so, in bounded time.
	began := time.Now()
	if _, err := s.Control.Act(t.Context(), s.Admin, held, session.Evict, ""); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("an action on a locked session: %v after %v", err, time.Since(began))
	}
	free()
	s.step(time.Second)
	s.is(held, session.Stopped)
}

// Apps beside the one whose row is locked are renewed, also once the journal has entries that
// cannot be applied yet, and what was passed over is made up for.
func TestLockedSessionOfTheSameAgent(t *testing.T) {
	s := (&stepped{db: "postgres"}).fresh(t)
	terms := servertest.Terms{Packages: command, Heartbeat: 5, Warnings: []int{2}}
	app, _ := s.App("App", terms)
	second, _ := s.App("Second", terms)
	third, _ := s.App("Third", terms)
	a := s.agent("LAB-1")
	other, held, exits := s.running(a, second.ID), s.running(a, app.ID), s.running(a, third.ID)
	free := s.lock(held)
	renewed := func() {
		t.Helper()
		was := s.Session(other).Lease
		s.step(5 * time.Second)
		began := time.Now()
		s.say(a)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("a check-in beside a locked session took %v", took)
		}
		s.is(other, session.Running)
		if is := s.Session(other).Lease; is == nil || is.ExpiresAt.Sub(was.ExpiresAt) != 5*time.Second {
			t.Fatalf("the lease went from %+v to %+v", was, is)
		}
	}
	renewed()
	renewed()
	s.is(exits, session.Running)
	a.Exit(held)
	a.Exit(exits)
	for range 4 {
		renewed()
	}
	free()
	s.say(a)
	s.is(held, session.Stopped)
	s.is(exits, session.Stopped)
	renewed()
	late := s.added(a, app.ID) // a launch is added, not forgotten or removed
	s.is(late, session.Added)
}

// lock locks a session's row on PostgreSQL as somebody's open transaction does, until what
// it returns is called.
func (s *stepped) lock(id int64) (free func()) {
	s.t.Helper()
	db, err := sql.Open("pgx", s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE", id); err != nil {
		s.t.Fatal(err)
	}
	free = sync.OnceFunc(func() {
		if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(free)
	return free
}

// While a batch over many sessions runs, the lease clock is ticked on time and check-ins are
// answered.
func TestBatchDelaysNothing(t *testing.T) {
	s := servertest.New(t, control.Config{})
	app, dm := s.App("App", servertest.Terms{Packages: command, Heartbeat: 2, Warnings: []int{2}})
	const n = 4000
	for i := 0; i < n; i += 500 {
		if err := s.Store.Update(t.Context(), func(tx store.Tx) error {
			for range 500 {
				x := session.Launch(session.Device, s.User.UserID, app.ID, dm.ID, 1, session.Actor{Role: session.User, Name: "ann"}, tx.LeaseNow())
				x.AgentID = 1
				x.Observe(session.Observation{Type: session.ObsAdded, At: tx.WallNow()}, session.Source{Agent: session.Actor{Role: session.Agent}})
				if err := tx.CreateSession(x); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan struct{})
	go func() { defer close(kept); s.Control.Run(ctx) }()
	defer func() { cancel(); <-kept }()
	b, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Expire, Filter: &store.SessionQuery{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Control.RunBatch(t.Context(), s.Admin, b.ID, ""); err != nil {
		t.Fatal(err)
	}
	var worst, slowest time.Duration
	for state := store.BatchRunning; state == store.BatchRunning; time.Sleep(5 * time.Millisecond) {
		lag, ok := s.Control.ClockLag(t.Context())
		if !ok {
			t.Fatal("the lease clock cannot be read while a batch runs")
		}
		worst = max(worst, lag)
		began := time.Now()
		if err := s.Store.Update(t.Context(), func(tx store.Tx) error { return tx.SetSetting("x", fmt.Sprint(began)) }); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		v, err := s.Control.Batch(t.Context(), s.Admin, b.ID)
		if err != nil {
			t.Fatal(err)
		}
		state = v.State
	}
	t.Logf("the clock was at most %v behind, an update took at most %v", worst, slowest)
	if worst > lease.Period+lease.Period/2 {
		t.Errorf("the lease clock was %v behind", worst)
	}
}
